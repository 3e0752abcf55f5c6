"""The end of a run: one table for people, the same as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import platform
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.torture.progress import replay_command
from tests.torture.runner import Summary


def number(value: float) -> str:
    """Whole numbers in groups, others short."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def print_table(console: Console, summaries: Sequence[Summary]) -> None:
    """One row a campaign, and below it how to repeat what failed."""
    table = Table("campaign", "units", "failures", "figures", "seconds")
    for summary in summaries:
        figures = "\n".join(f"{key} {number(value)}" for key, value in summary.figures.items())
        units = f"{summary.done}/{summary.asked}"
        if summary.skipped:
            units += f", {len(summary.skipped)} skipped"
        failures = str(len(summary.failures))
        table.add_row(summary.name, units, failures, figures, number(round(summary.seconds)))
    console.print(table)
    for summary in summaries:
        for outcome in summary.failures:
            console.print(f"failed: {replay_command(summary.name, outcome.seed)}", soft_wrap=True)
        for outcome in summary.skipped:
            text = f"skipped: {summary.name} {outcome.seed}: {outcome.skipped}"
            console.print(text, markup=False, soft_wrap=True)
        if len(summary.revisions) > 1:
            revisions = ", ".join(summary.revisions)
            console.print(f"{summary.name}: of several revisions: {revisions}", soft_wrap=True)


def write_json(path: pathlib.Path, summaries: Sequence[Summary]) -> None:
    """The machine and all summaries."""
    machine = {
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
    campaigns = [dataclasses.asdict(summary) for summary in summaries]
    report = {"machine": machine, "campaigns": campaigns}
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
