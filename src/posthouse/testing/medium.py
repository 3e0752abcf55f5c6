"""What a disk has at some moment: what was synced for certain, and operations since that it may have in part, in any order.

POSIX promises nothing about what was not synced: a later write may be there without an earlier one, a file's length without its
octets (they are zeros), sectors of 512 octets of a write and others not; a synced file may be missing because its name was not.
`Medium.survivor` gives one of these outcomes, chosen by a `Fate` for each operation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

SECTOR = 512
WHOLE = 1 << 62


@dataclass(frozen=True, slots=True)
class Write:
    """Octets of the file ``node``."""

    node: int
    offset: int
    data: bytes

    def sectors(self) -> Iterator[tuple[int, int]]:
        """Start and end in ``data`` of what lies in each sector of the file."""
        at = 0
        while at < len(self.data):
            end = min(len(self.data), at + SECTOR - (self.offset + at) % SECTOR)
            yield at, end
            at = end


@dataclass(frozen=True, slots=True)
class Cut:
    """The file ``node`` is made ``size`` octets long."""

    node: int
    size: int


@dataclass(frozen=True, slots=True)
class Link:
    """A new file gets a name."""

    path: str
    node: int


@dataclass(frozen=True, slots=True)
class Move:
    """A file's name is changed, in place of what had the new one."""

    old: str
    new: str
    node: int


@dataclass(frozen=True, slots=True)
class Remove:
    """A name goes."""

    path: str


@dataclass(frozen=True, slots=True)
class Make:
    """A directory is made."""

    path: str


Operation = Write | Cut | Link | Move | Remove | Make


@dataclass(frozen=True, slots=True)
class Fate:
    """What the disk has of an operation.

    Attributes:
        sectors: bit n is set if the n-th sector of a write is there; for other operations: not 0 if it is there.
        length: so many octets of a write count for the file's length; what is not there of them is zeros.
    """

    sectors: int
    length: int


KEPT = Fate(-1, WHOLE)
DROPPED = Fate(0, 0)
LENGTH_ONLY = Fate(0, WHOLE)


@dataclass(frozen=True, slots=True)
class Tree:
    """Directories and the contents of files by path."""

    directories: frozenset[str]
    contents: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Medium:
    """What is certain, and what is not.

    Attributes:
        names: synced names, to numbers of files.
        contents: what was synced of files, by number.
        pending: operations that were not synced, in order.
    """

    directories: frozenset[str]
    names: Mapping[str, int]
    contents: Mapping[int, bytes]
    pending: tuple[Operation, ...]

    def survivor(self, fates: Sequence[Fate]) -> Tree:
        """What is there after a power cut; ``fates`` are those of `pending`."""
        directories = set(self.directories)
        names = dict(self.names)
        changed: dict[int, bytearray] = {}
        for operation, fate in zip(self.pending, fates, strict=True):
            match operation:
                case Write() | Cut():
                    if operation.node not in changed:
                        changed[operation.node] = bytearray(self.contents.get(operation.node, b""))
                    apply_data(changed[operation.node], operation, fate)
                case Make():
                    if fate.sectors:
                        directories.add(operation.path)
                case _:
                    if fate.sectors:
                        apply_name(names, operation)
        contents: dict[str, bytes] = {}
        for path, node in names.items():
            if path.rpartition("/")[0] in directories:
                kept = changed.get(node)
                contents[path] = self.contents.get(node, b"") if kept is None else bytes(kept)
        return Tree(frozenset(directories), contents)

    def crash(self, choice: random.Random) -> Tree:
        """One outcome at random."""
        return self.survivor(random_fates(self.pending, choice))


def apply_data(content: bytearray, operation: Write | Cut, fate: Fate) -> None:
    """Carry out what ``fate`` leaves of a write or a cut."""
    if isinstance(operation, Cut):
        if fate.sectors:
            del content[operation.size :]
            content.extend(bytes(operation.size - len(content)))
        return
    length = min(fate.length, len(operation.data))
    end = operation.offset + length
    if length and len(content) < end:
        content.extend(bytes(end - len(content)))
    if fate.sectors == -1:
        content[operation.offset : end] = operation.data[:length]
        return
    for n, (start, stop) in enumerate(operation.sectors()):
        stop = min(stop, length)
        if fate.sectors >> n & 1 and start < stop:
            place = operation.offset + start
            content[place : place + stop - start] = operation.data[start:stop]


def apply_name(names: dict[str, int], operation: Link | Move | Remove) -> None:
    """Carry out a change of names; of what others changed differently it makes the best, as a journal's replay does."""
    match operation:
        case Link():
            names[operation.path] = operation.node
        case Move():
            if names.get(operation.old) == operation.node:
                del names[operation.old]
            names[operation.new] = operation.node
        case Remove():
            names.pop(operation.path, None)


def random_fates(pending: Sequence[Operation], choice: random.Random) -> list[Fate]:
    """A fate for each operation: sometimes all are kept or none, otherwise each has its own."""
    mode = choice.random()
    if mode < 0.1:
        return [KEPT] * len(pending)
    if mode < 0.2:
        return [DROPPED] * len(pending)
    return [random_fate(operation, choice) for operation in pending]


def random_fate(operation: Operation, choice: random.Random) -> Fate:
    """Kept, dropped, or torn: in sectors, or where nobody expects it."""
    draw = choice.random()
    if not isinstance(operation, Write):
        return KEPT if draw < 0.5 else DROPPED
    if draw < 0.3:
        return KEPT
    if draw < 0.5:
        return DROPPED
    if draw < 0.6:
        return LENGTH_ONLY
    size = len(operation.data)
    if draw < 0.75:
        return Fate(-1, choice.randrange(size + 1))
    count = size // SECTOR + 2
    return Fate(choice.getrandbits(count), WHOLE if draw < 0.9 else choice.randrange(size + 1))
