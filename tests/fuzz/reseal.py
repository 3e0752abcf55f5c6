"""Data files that lie under a good checksum: what no accident writes, and no reader may believe.

`tests.support.spoil` damages octets, which the checksums find. Here entries, snapshots and rows of the definitions are changed and sealed
again, so that the readers behind the checksum see them (docs/format/journal.md, docs/format/snapshot.md).
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from posthouse.journal import entry
from tests.support.entries import HEADER

WORDS = (0, 1, 7, 8, 9, 16, 24, 4096, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF)
SNAPSHOT_HEADER = 48
CHUNK_HEADER = 16
KINDS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 255)
JSON_VALUES = (
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b'""',
    b'"x"',
    b"[]",
    b"{}",
    b"[[]]",
    b'["Q",1]',
    b'["l",99999999999999999999]',
    b'["T","x"]',
    b'["F",{"a":["A",[]]}]',
    b"[" * 3000 + b"]" * 3000,
    b"\xff\xfe",
    b'"\\ud800"',
)


def spans_of(data: bytes) -> list[tuple[int, int]]:
    """Where the entries of an undamaged segment begin and end."""
    spans = []
    at = 0
    while len(data) - at >= HEADER:
        end = at + HEADER + int.from_bytes(data[at + 24 : at + 28], "little")
        spans.append((at, end))
        at = end
    return spans


def frames_of(data: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """Where the frames of an undamaged entry begin and end."""
    frames = []
    at = start + HEADER
    while at < end:
        size = int.from_bytes(data[at : at + 4], "little")
        frames.append((at, at + size))
        at += size
    return frames


def change_segment(data: bytes, choice: random.Random) -> bytes:
    """One entry of a segment, changed and sealed again; or one in the place of another of its size."""
    changed = bytearray(data)
    start, end = choice.choice(spans_of(data))
    frames = frames_of(data, start, end)
    at, stop = choice.choice(frames)
    kind = choice.random()
    if kind < 0.5:
        # A word of the frame's head, where sizes and counts are.
        place = at + 4 * choice.randrange(min(8, (stop - at) // 4))
        changed[place : place + 4] = choice.choice(WORDS).to_bytes(4, "little")
    elif kind < 0.6:
        changed[at + 4] = choice.choice(KINDS)
    elif kind < 0.7:
        place = choice.randrange(at, stop)
        changed[place] ^= 1 << choice.randrange(8)
    elif kind < 0.8:
        place = start + choice.choice((5, 8, 28, 36))
        changed[place : place + 4] = choice.choice(WORDS).to_bytes(4, "little")
    elif data[at + 4] == 6:
        _change_row(changed, at, stop, choice)
    else:
        changed[at + 8 : stop] = choice.randbytes(stop - at - 8)
    unsynced = int.from_bytes(changed[start + 36 : start + 40], "little")
    entry.finish(changed, start, end, unsynced)
    return bytes(changed)


def _change_row(changed: bytearray, at: int, stop: int, choice: random.Random) -> None:
    """Put another value, or nonsense, somewhere into the JSON of a row; it keeps its place and size."""
    room = stop - at - 12
    size = int.from_bytes(changed[at + 8 : at + 12], "little")
    text = bytes(changed[at + 12 : at + 12 + size])
    places = [n for n, octet in enumerate(text) if octet in b':,[{"']
    place = choice.choice(places) + 1
    stretch = choice.choice((0, 1, 2, 5))
    text = (text[:place] + choice.choice(JSON_VALUES) + text[place + stretch :])[:room]
    changed[at + 8 : at + 12] = len(text).to_bytes(4, "little")
    changed[at + 12 : stop] = text.ljust(room, b"\0")


def change_snapshot(data: bytes, choice: random.Random) -> bytes:
    """The header or a chunk of a snapshot, changed and sealed again."""
    changed = bytearray(data)
    chunks = [(0, 0)]
    at = SNAPSHOT_HEADER
    while at < len(data):
        end = at + CHUNK_HEADER + 16 * int.from_bytes(data[at + 8 : at + 12], "little")
        chunks.append((at, end))
        at = end
    start, end = choice.choice(chunks)
    if not start:
        place = choice.choice((4, 8, 16, 24, 32))
        changed[place : place + 8] = _number(choice).to_bytes(8, "little")
        changed[40:44] = entry.crc_of(changed, 0, 40).to_bytes(4, "little")
        return bytes(changed)
    if choice.random() < 0.3 or end - start == CHUNK_HEADER:
        place = start + choice.choice((0, 4, 8))
        changed[place : place + 4] = choice.choice((*WORDS, 2, 3, 4, 5)).to_bytes(4, "little")
    else:
        place = choice.randrange(start + CHUNK_HEADER, end, 4)
        raw = struct.pack("<Q", _number(choice))[: choice.choice((4, 8))]
        changed[place : place + len(raw)] = raw
        del changed[len(data) :]
    changed[start + 12 : start + 16] = bytes(4)
    crc = entry.crc_of(changed, start, end)
    changed[start + 12 : start + 16] = crc.to_bytes(4, "little")
    return bytes(changed)


def _number(choice: random.Random) -> int:
    return choice.choice((*WORDS, 1 << 32, 1 << 62, 1 << 63, (1 << 64) - 1, 10**15))


def change_text(text: str, choice: random.Random) -> str:
    """A configuration file with some characters and lines changed."""
    lines = text.splitlines()
    for _ in range(choice.randint(1, 4)):
        at = choice.randrange(len(lines))
        kind = choice.randrange(5)
        if kind == 0:
            lines[at] = lines[at][: choice.randrange(len(lines[at]) + 1)]
        elif kind == 1:
            name = lines[at].partition("=")[0]
            lines[at] = f"{name} = {choice.choice(TOML_VALUES)}"
        elif kind == 2:
            lines.insert(at, choice.choice(lines))
        elif kind == 3:
            place = choice.randrange(len(lines[at]) + 1)
            lines[at] = (
                lines[at][:place] + choice.choice('"[]{}=.#\0\x7f\n☃é\\') + lines[at][place:]
            )
        else:
            lines[at] = choice.choice(("[node", "[[node]]", "[a.b.c]", "node.x = 1", "x"))
    return "\n".join(lines)


TOML_VALUES = (
    "true",
    "-1",
    "1e400",
    "nan",
    "99999999999999999999999999",
    '"x"',
    '""',
    "[]",
    "[1]",
    '["a", 1]',
    "{}",
    "2026-11-25",
    "[" * 300 + "]" * 300,
)

CHANGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".seg": change_segment,
    ".snap": change_snapshot,
}
