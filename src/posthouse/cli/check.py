"""``posthouse check``: look at a data directory that no broker has open, and repair it."""

from __future__ import annotations

import json
import os
import sys

import click

from posthouse.core.errors import PosthouseError
from posthouse.journal.local.check import Check, Finding
from posthouse.journal.local.disk import DiskFiles


def _run(check: Check) -> None:
    """All of it, with a progress bar where somebody is looking."""
    if not sys.stderr.isatty():
        for _ in check.run():
            pass
        return
    with click.progressbar(length=max(1, check.octets()), label="reading", file=sys.stderr) as bar:
        for octets in check.run():
            bar.update(octets)


def _report(check: Check, done: list[str]) -> dict[str, object]:
    return {
        "logs": {
            name: {
                "segments": state.segments,
                "octets": state.octets,
                "entries": state.entries,
                "messages": state.messages,
                "epoch": state.epoch,
            }
            for name, state in check.logs.items()
        },
        "findings": [
            {
                "path": finding.path,
                "text": finding.text,
                "repair": finding.repair,
                "is_loss": finding.is_loss,
            }
            for finding in check.findings
        ],
        "messages_hit": {
            check.queue_name(number): count for number, count in sorted(check.queues_hit.items())
        },
        "repaired": done,
    }


def _show(check: Check, done: list[str], *, would: bool) -> None:
    for name, state in check.logs.items():
        messages = f", {state.messages} messages written" if name == "shard" else ""
        click.echo(
            f"{name}: {state.segments} segments, {state.octets} octets, {state.entries} entries, epoch {state.epoch}{messages}"
        )
    for finding in check.findings:
        mark = "LOSS  " if finding.is_loss else "      "
        click.echo(f"{mark}{finding.path}: {finding.text}")
        if finding.repair:
            verb = "would " if would else "can "
            click.echo(f"        {verb if finding.path not in done else 'did '}{finding.repair}")
        else:
            click.echo("        cannot be repaired: a start reports it and serves the rest")
    for number, count in sorted(check.queues_hit.items()):
        click.echo(f"      {check.queue_name(number)}: {count} messages lie in damage")
    if not check.findings:
        click.echo("clean")
    elif not done and not would:
        click.echo(f"{len(check.findings)} findings; --repair does what can be done")


def _repair(findings: list[Finding]) -> list[str]:
    done = []
    for finding in findings:
        if finding.act is not None:
            finding.act()
            done.append(finding.path)
    return done


@click.command()
@click.argument("data_dir", type=click.Path(exists=True, file_okay=False))
@click.option("--repair", is_flag=True, help="Do what can be done; changed files are copied first.")
@click.option("--dry-run", is_flag=True, help="With --repair: only say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def check(data_dir: str, repair: bool, dry_run: bool, as_json: bool) -> None:
    """Check the data directory DATA_DIR while no broker runs on it.

    Exit code 0: clean. 1: something was found. Without --repair nothing is changed.
    """
    if dry_run and not repair:
        raise click.UsageError("--dry-run says what --repair would do: give both")
    directory = os.path.abspath(data_dir)
    if not os.path.exists(f"{directory}/format"):
        raise PosthouseError(f"{data_dir} is no data directory: it has no file 'format'")
    files = DiskFiles()
    lock = files.lock(f"{directory}/lock")
    try:
        result = Check(files, directory)
        _run(result)
        done = _repair(result.findings) if repair and not dry_run else []
    except OSError as error:
        raise PosthouseError(f"{data_dir}: {error.strerror or error}") from error
    finally:
        lock.release()
    if as_json:
        click.echo(json.dumps(_report(result, done), indent=2))
    else:
        _show(result, done, would=dry_run)
    raise SystemExit(1 if result.findings else 0)
