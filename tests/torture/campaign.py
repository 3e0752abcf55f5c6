"""What a long test is to the one who runs it: numbered units that can be done in any order and one by one.

A unit is given by its number, the seed: the same number does the same again. ``python -m tests.torture NAME --seed 17`` repeats one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

# Summed over units; keys that end in ``_max`` are the greatest, in ``_min`` the least.
Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Campaign:
    """A long test.

    Attributes:
        name: one word for the command line.
        what: one line for people: what is tried, which promises it tests.
        units: how many the long run does, seeds 0 to ``units - 1``.
        run: does the unit with this seed and returns its figures; raises when a promise is broken, with a message that says which.
        is_alone: it measures time or fills the machine, so nothing else may run beside it.
        batch: seeds done in one process before the next one is started; small units want many.
        timeout_s: a unit that takes longer has failed; its process is ended.
    """

    name: str
    what: str
    units: int
    run: Callable[[int], Figures]
    is_alone: bool = False
    batch: int = 1
    timeout_s: float = 900.0


def add_up(total: dict[str, float], figures: Figures) -> None:
    """Add the figures of one unit to those of the units before."""
    for key, value in figures.items():
        if key not in total:
            total[key] = value
        elif key.endswith("_max"):
            total[key] = max(total[key], value)
        elif key.endswith("_min"):
            total[key] = min(total[key], value)
        else:
            total[key] += value
