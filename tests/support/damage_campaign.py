"""Many ways to damage a data directory that the real broker wrote, and what a start makes of each (`damage` judges).

`FLIPS` goes through all octets of a small directory bit by bit, and through the last 4 KB of every log octet by octet; a seed is a slice of
these positions. `CAMPAIGN` spoils whole directories at random.
"""

from __future__ import annotations

import random
import traceback
from collections import Counter
from collections.abc import Iterator

from tests.support.damage import files_of, judge, look
from tests.support.entries import DIRECTORY, Contents, damaged_entries
from tests.support.sample import Sample, large_sample, small_sample
from tests.support.spoil import LOGS, changed, spoil
from tests.torture.campaign import Campaign, Figures

TAIL = 4096
DEFINITION = 6  # kind of frame
FORMAT = f"{DIRECTORY}/format"
SLICES = 40
SPOILED_PER_UNIT = 500


class Broken(AssertionError):
    """A promise was broken; says which, and how to do it again."""


def try_one(sample: Sample, damaged: Contents, what: str, **options: int) -> str:
    """Start on the damaged copy and judge; what came of it: ``served`` or ``refused``.

    Raises:
        Broken: a promise was broken.
    """
    try:
        seen = look(files_of(damaged), **options)
    except Exception as error:
        raise Broken(f"{what}: the start failed:\n{traceback.format_exc()}") from error
    if seen.refusal:
        if damaged.get(FORMAT) == sample.contents[FORMAT] and not is_blank(sample, damaged):
            raise Broken(f"{what}: refused: {seen.refusal}")
        return "refused"
    broken = judge(sample, damaged, seen)
    if broken:
        raise Broken(f"{what}: {broken}; said: {seen.lines[:5]}")
    return "served"


def is_blank(sample: Sample, damaged: Contents) -> bool:
    """Whether nothing is left of the definitions: then a start is refused, for it would trim what only they say is needed."""
    bad = damaged_entries(sample.entries, damaged)
    return all(entry in bad for entry in sample.entries if entry.octets[44] == DEFINITION)


def bits(sample: Sample) -> Iterator[tuple[str, Contents]]:
    """Each bit of the directory flipped, one at a time."""
    for path, data in sample.contents.items():
        for at in range(len(data)):
            for bit in range(8):
                flipped = changed(data, at, [data[at] ^ 1 << bit])
                yield f"{path} octet {at} bit {bit}", {**sample.contents, path: flipped}


def tail_positions(sample: Sample, log: str) -> list[tuple[str, int]]:
    """File and offset of the last `TAIL` octets of a log, over its segments."""
    found: list[tuple[str, int]] = []
    for path in sorted(sample.contents, reverse=True):
        if path.startswith(f"{DIRECTORY}/{log}/"):
            found += [(path, at) for at in reversed(range(len(sample.contents[path])))]
    return found[:TAIL]


def tails(sample: Sample) -> Iterator[tuple[str, Contents]]:
    """Each of the last octets of both logs spoiled in three ways, and the log cut there."""
    for log in LOGS:
        for path, at in tail_positions(sample, log):
            data = sample.contents[path]
            for mask in (0xFF, 0x01, 0x80):
                spoiled = changed(data, at, [data[at] ^ mask])
                yield f"{path} octet {at} ^ {mask:#x}", {**sample.contents, path: spoiled}
            cut = {p: d for p, d in sample.contents.items() if not (log in p and p > path)}
            yield f"{path} cut at {at}", {**cut, path: data[:at]}


def all_positions() -> Iterator[tuple[str, Sample, Contents]]:
    """Everything that `FLIPS` tries."""
    small = small_sample()
    for what, damaged in bits(small):
        yield f"small {what}", small, damaged
    for is_stopped in (False, True):
        large = large_sample(is_stopped=is_stopped)
        for what, damaged in tails(large):
            yield f"large, stopped {is_stopped} {what}", large, damaged


def flips(seed: int, slices: int = SLICES) -> Figures:
    """Each ``slices``-th position, from ``seed`` on.

    Raises:
        Broken: a promise was broken.
    """
    count: Counter[str] = Counter(positions=0, served=0, refused=0)
    for n, (what, sample, damaged) in enumerate(all_positions()):
        if n % slices == seed % slices:
            count["positions"] += 1
            count[try_one(sample, damaged, what)] += 1
    return dict(count)


def sample_for(seed: int) -> Sample:
    """A running broker's directory, a stopped one's, or a small one."""
    return small_sample() if seed % 5 == 0 else large_sample(is_stopped=seed % 2 == 1)


def spoiled_once(seed: int) -> tuple[str, str]:
    """One directory spoiled at random; in which way, and what came of it.

    Raises:
        Broken: a promise was broken.
    """
    sample = sample_for(seed)
    damaged, kinds = spoil(sample.contents, random.Random(seed))
    return kinds, try_one(sample, damaged, f"seed {seed}: {kinds}")


def run(seed: int, count: int = SPOILED_PER_UNIT) -> Figures:
    """Directories ``seed * count`` and following.

    Raises:
        Broken: a promise was broken.
    """
    figures: Counter[str] = Counter(directories=0, served=0, refused=0)
    for one in range(seed * count, (seed + 1) * count):
        figures["directories"] += 1
        figures[spoiled_once(one)[1]] += 1
    return dict(figures)


CAMPAIGN = Campaign(
    name="damage",
    what=f"{SPOILED_PER_UNIT} data directories spoiled at random: what is undamaged is served, the rest reported (P7, P10, P11)",
    units=100,
    run=run,
)

FLIPS = Campaign(
    name="flips",
    what="every bit of a small directory, every octet of the last 4 KB of the logs, and a cut there (P7, P10, P11)",
    units=SLICES,
    run=flips,
)
