"""Every state in which a power cut may leave the disk of a recorded load (C5; as ALICE and CrashMonkey do it).

A `Recorder` keeps what the disk has, certainly and perhaps, after each operation. `outcomes` goes through what may be left of one such
moment: of up to six unsynced operations every subset, each write torn in several ways beside that; of more, some at random.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from posthouse.testing.files import MemoryFiles
from posthouse.testing.medium import (
    DROPPED,
    KEPT,
    LENGTH_ONLY,
    WHOLE,
    Fate,
    Link,
    Medium,
    Operation,
    Tree,
    Write,
    random_fate,
)

# Of so many operations all subsets are tried.
SUBSETS_MAX = 6
RANDOM_SUBSETS = 48
# What is in these directories means nothing to the next start.
IDLE = "/pages/"


class Recorder:
    """Keeps the medium of ``files`` after every operation from now on.

    Attributes:
        points: the medium as it is now, then after each operation.
    """

    def __init__(self, files: MemoryFiles) -> None:
        self.points: list[Medium] = [files.medium()]
        files.on_operation = lambda: self.points.append(files.medium())

    @property
    def moment(self) -> int:
        """How many operations there were; a crash now leaves an outcome of ``points[moment]``."""
        return len(self.points) - 1


def outcomes(medium: Medium, choice: random.Random) -> Iterator[Tree]:
    """What may be there after a power cut; the first is what a mere kill leaves. Equal ones may come several times."""
    idle = _idle_operations(medium)
    pending = medium.pending
    serious = [n for n in range(len(pending)) if n not in idle]
    for fates in _fates([pending[n] for n in serious], choice):
        every = [KEPT] * len(pending)
        for n, fate in zip(serious, fates, strict=True):
            every[n] = fate
        for n in _fates_of_idle(idle, choice):
            every[n] = DROPPED
        yield medium.survivor(every)


def _idle_operations(medium: Medium) -> set[int]:
    """Indexes of the operations on files that mean nothing."""
    nodes = {node for path, node in medium.names.items() if IDLE in path}
    found = set()
    for n, operation in enumerate(medium.pending):
        if isinstance(operation, Link) and IDLE in operation.path:
            nodes.add(operation.node)
        path = getattr(operation, "path", "")
        if IDLE in path or getattr(operation, "node", -1) in nodes:
            found.add(n)
    return found


def _fates_of_idle(idle: set[int], choice: random.Random) -> Iterator[int]:
    """Those that are dropped: mostly all, so that states differ in what counts."""
    keep = choice.choice((0.0, 0.0, 0.0, 0.0, 0.5, 1.0)) if idle else 0.0
    return (n for n in sorted(idle) if choice.random() >= keep)


def _fates(pending: list[Operation], choice: random.Random) -> Iterator[list[Fate]]:
    count = len(pending)
    if count <= SUBSETS_MAX:
        for subset in range(1 << count):
            yield [DROPPED if subset >> n & 1 else KEPT for n in range(count)]
    else:
        yield [KEPT] * count
        yield [DROPPED] * count
        for n in range(count):
            yield [DROPPED if k == n else KEPT for k in range(count)]
            yield [KEPT if k == n else DROPPED for k in range(count)]
        for _ in range(RANDOM_SUBSETS):
            yield [random_fate(operation, choice) for operation in pending]
    for n, operation in enumerate(pending):
        if isinstance(operation, Write):
            for torn in _torn(operation, choice):
                for others in (KEPT, DROPPED):
                    yield [torn if k == n else others for k in range(count)]


def _torn(write: Write, choice: random.Random) -> Iterator[Fate]:
    """Zeros; the first sectors; all but the first; all but one; any."""
    yield LENGTH_ONLY
    ends = [end for _, end in write.sectors()]
    if len(ends) < 2:
        return
    yield Fate(-1, choice.choice(ends[:-1]))
    yield Fate(-2, WHOLE)
    if len(ends) > 2:
        yield Fate(~(1 << choice.randrange(1, len(ends))), WHOLE)
        yield Fate(choice.getrandbits(len(ends)), WHOLE)
