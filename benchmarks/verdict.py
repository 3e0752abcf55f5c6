"""From runs to verdicts: medians, ratios, floors."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any

from scenarios import Floor, Scenario

Run = dict[str, Any]  # the generator's JSON


@dataclass(frozen=True)
class Verdict:
    """One figure of a scenario. Values are None where there was no (good) run.

    ``ratio`` compares our worst run with RabbitMQ's best one, so it is below the ratio of the medians.
    """

    scenario: str
    figure: str
    ours: float | None
    theirs: float | None
    ratio: float | None
    floor: float | None
    at_most: float | None
    is_reached: bool | None  # None: no demand, or nothing to compare with

    def as_json(self) -> dict[str, Any]:
        """For the result file."""
        return asdict(self)


def median(runs: list[Run], figure: str) -> float | None:
    """The median of a figure over the runs that were complete."""
    values = values_of(runs, figure)
    return float(statistics.median(values)) if values else None


def values_of(runs: list[Run], figure: str) -> list[float]:
    """A figure of the runs that were complete."""
    return [float(r[figure]) for r in runs if r.get("ok") and figure in r]


def judge(scenario: Scenario, runs: dict[str, list[Run]]) -> list[Verdict]:
    """The verdicts of a scenario: its demands first, then what is only shown."""
    wanted = [*scenario.floors, *(Floor(f, is_less_better=_is_cost(f)) for f in scenario.shown)]
    return [_judge(scenario.name, floor, runs) for floor in wanted]


def _is_cost(figure: str) -> bool:
    return figure.endswith("_us") or "cpu" in figure or figure.startswith(("kb_", "bytes_"))


def _judge(name: str, floor: Floor, runs: dict[str, list[Run]]) -> Verdict:
    ours_all, theirs_all = runs.get("posthouse", []), runs.get("rabbitmq", [])
    ours, theirs = values_of(ours_all, floor.figure), values_of(theirs_all, floor.figure)
    ratio = None
    if ours and theirs:
        if floor.is_less_better:
            best, worst = min(theirs), max(ours)
            ratio = best / worst if worst > 0 else None
        else:
            best, worst = max(theirs), min(ours)
            ratio = worst / best if best > 0 else None
    reached: bool | None = None
    # a broken run of ours is a failure, never a gap in the statistics
    if (floor.ratio or floor.at_most) and ours_all and not all(r.get("ok") for r in ours_all):
        reached = False
    elif floor.at_most and ours:
        reached = max(ours) <= floor.at_most
    elif floor.ratio and ratio is not None:
        reached = ratio >= floor.ratio
    return Verdict(
        scenario=name,
        figure=floor.figure,
        ours=median(ours_all, floor.figure),
        theirs=median(theirs_all, floor.figure),
        ratio=round(ratio, 3) if ratio is not None else None,
        floor=floor.ratio or None,
        at_most=floor.at_most or None,
        is_reached=reached,
    )
