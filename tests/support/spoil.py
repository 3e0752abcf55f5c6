"""Ways to spoil a data directory: what disks, file systems and people do to files that nobody writes any more."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from tests.support.entries import DIRECTORY, Contents

Spoiled = dict[str, bytes]
BLOCK = 4096
SECTOR = 512
LOGS = ("definitions", "shard")


def logs_of(contents: Contents) -> list[str]:
    """The segment files."""
    return [path for path in contents if path.endswith(".seg")]


def pick(contents: Spoiled, choice: random.Random) -> str:
    """A file, the larger the more often."""
    paths = sorted(contents)
    return choice.choices(paths, [len(contents[path]) + 1 for path in paths])[0]


def changed(data: bytes, at: int, octets: Iterable[int]) -> bytes:
    """``data`` with other octets from ``at`` on."""
    new = bytes(octets)
    return data[:at] + new[: len(data) - at] + data[at + len(new) :]


def flip(contents: Spoiled, choice: random.Random) -> None:
    path = pick(contents, choice)
    data = contents[path]
    if data:
        at = choice.randrange(len(data))
        contents[path] = changed(data, at, [data[at] ^ 1 << choice.randrange(8)])


def octets(contents: Spoiled, choice: random.Random) -> None:
    """A few random ones, anywhere."""
    for _ in range(choice.randrange(2, 9)):
        path = pick(contents, choice)
        at = choice.randrange(len(contents[path]) + 1)
        contents[path] = changed(contents[path], at, choice.randbytes(choice.randrange(1, 5)))


def fill(contents: Spoiled, choice: random.Random) -> None:
    """A whole block or sector reads as zeros, as ones, or as rubbish."""
    path = pick(contents, choice)
    size = choice.choice([BLOCK, SECTOR])
    at = choice.randrange(len(contents[path]) // size + 1) * size
    value = choice.choice([bytes(size), b"\xff" * size, choice.randbytes(size)])
    contents[path] = changed(contents[path], at, value)


def stale(contents: Spoiled, choice: random.Random) -> None:
    """A sector of one file stands in another."""
    source, target = pick(contents, choice), pick(contents, choice)
    start = choice.randrange(len(contents[source]) // SECTOR + 1) * SECTOR
    at = choice.randrange(len(contents[target]) // SECTOR + 1) * SECTOR
    contents[target] = changed(contents[target], at, contents[source][start : start + SECTOR])


def cut(contents: Spoiled, choice: random.Random) -> None:
    path = pick(contents, choice)
    contents[path] = contents[path][: choice.randrange(len(contents[path]) + 1)]


def grow(contents: Spoiled, choice: random.Random) -> None:
    """Something stands behind the end: zeros, rubbish, the file once more."""
    path = pick(contents, choice)
    size = choice.randrange(1, 5000)
    data = contents[path]
    contents[path] = data + choice.choice([bytes(size), choice.randbytes(size), data])


def shift(contents: Spoiled, choice: random.Random) -> None:
    """Octets were put in, or taken out, in the middle."""
    path = pick(contents, choice)
    at, size = choice.randrange(len(contents[path]) + 1), choice.choice([1, 8, 40, 512])
    data = contents[path]
    contents[path] = data[:at] + (
        bytes(size) + data[at:] if choice.random() < 0.5 else data[at + size :]
    )


def empty(contents: Spoiled, choice: random.Random) -> None:
    contents[choice.choice(sorted(contents))] = b""


def remove(contents: Spoiled, choice: random.Random) -> None:
    del contents[choice.choice(sorted(contents))]


def swap(contents: Spoiled, choice: random.Random) -> None:
    """Two files of a directory have each other's names."""
    one = choice.choice(sorted(contents))
    directory = one.rpartition("/")[0]
    other = choice.choice([path for path in sorted(contents) if path.startswith(directory)])
    contents[one], contents[other] = contents[other], contents[one]


def copy(contents: Spoiled, choice: random.Random) -> None:
    """A second copy of a segment or snapshot, under the name of another position."""
    path = choice.choice([p for p in sorted(contents) if "." in p] or sorted(contents))
    if path[-24:-4].isdigit() or path[-25:-5].isdigit():
        directory, _, name = path.rpartition("/")
        base = choice.choice([0, int(name[:20]) + 8 * choice.randrange(1, 1000), 10**15])
        contents[f"{directory}/{base:020d}{name[20:]}"] = contents[path]


def extra(contents: Spoiled, choice: random.Random) -> None:
    """Files that nobody knows."""
    directory = choice.choice(["", "/definitions", "/shard", "/snapshots", "/pages"])
    name = choice.choice(
        [
            "README",
            "notes.seg",
            "12.seg",
            "-0000000000000000001.seg",
            "0000000000000000000x.seg",
            "00000000000000000000.seg.damaged",
            "99999999999999999999.snap.new",
            "x.snap",
            "000000000007.page",
            "format.new",
            "core.1234",
        ]
    )
    contents.setdefault(f"{DIRECTORY}{directory}/{name}", choice.randbytes(choice.randrange(100)))


KINDS: dict[str, Callable[[Spoiled, random.Random], None]] = {
    function.__name__: function
    for function in (
        flip,
        octets,
        fill,
        stale,
        cut,
        grow,
        shift,
        empty,
        remove,
        swap,
        copy,
        extra,
    )
}


def spoil(contents: Contents, choice: random.Random) -> tuple[Spoiled, str]:
    """A copy that was spoiled in one to three ways, and which."""
    spoiled = dict(contents)
    kinds = [choice.choice(sorted(KINDS)) for _ in range(choice.choice([1, 1, 1, 2, 3]))]
    for kind in kinds:
        if spoiled:
            KINDS[kind](spoiled, choice)
    return spoiled, "+".join(kinds)
