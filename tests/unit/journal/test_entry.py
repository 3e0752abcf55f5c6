"""Entries under a good checksum whose frames are not as long as their parts: they do not count (docs/format/journal.md)."""

from __future__ import annotations

import struct

import pytest

from posthouse.journal import entry
from posthouse.journal.table import def_frame

PLACE = 4096
ROUTE = b"\x02ex\x03key"


def sealed(frames: bytes) -> bytearray:
    """An entry with these frames at `PLACE`, its checksum right."""
    head = struct.pack("<IBBHQQIIII", 0x31454850, 1, 0, 0, 1, PLACE, len(frames), 1, 0, 0)
    data = bytearray(head + frames)
    entry.finish(data, 0, len(data), 0)
    return data


def is_good(frames: bytes) -> bool:
    data = sealed(frames)
    return entry.measure(data, 0, len(data), PLACE) == len(data)


def message(where: bytes = ROUTE, **lies: int) -> bytes:
    """An ENQ frame with 2 octets of properties, 5 of body and one queue; ``lies`` are what its head claims instead."""
    parts = where + bytes(2) + b"body!"
    size = (((24 + len(parts) + 3) & ~3) + 4 + 7) & ~7
    true = {"size": size, "route": len(where), "props": 2, "body": 5, "queues": 1}
    said = true | lies
    numbers = (said[name] for name in ("props", "body", "queues"))
    head = struct.pack("<IBBHIIII", said["size"], 1, 1, said["route"], *numbers, 0)
    return (head + parts).ljust(size, b"\0")


def acknowledgement(ranges: int, claimed: int) -> bytes:
    return struct.pack("<IBBHII", 16 + 16 * ranges, 2, 0, 0, 1, claimed) + bytes(16 * ranges)


def move(offsets: list[int], run: int, records: bytes, claimed: int | None = None) -> bytes:
    count = len(offsets) if claimed is None else claimed
    table = struct.pack(f"<{len(offsets)}I", *offsets)
    table = table.ljust((len(table) + 7) & ~7, b"\0")
    size = 24 + len(table) + len(records)
    return struct.pack("<IBBHQII", size, 3, 0, 0, 0, run, count) + table + records


RECORD = message()
GOOD = {
    "message": RECORD,
    "message without queues": message(queues=0),
    "message to nowhere": message(b"\0\0"),
    "two messages": RECORD * 2,
    "acknowledgement": acknowledgement(3, 3),
    "move": move([0, len(RECORD)], 2 * len(RECORD), RECORD * 2),
    "row": def_frame("queue", ("/", "q"), {}),
    "nothing": struct.pack("<IBBH", 8, 7, 0, 0),
    "unknown kind": struct.pack("<IBBHQ", 16, 99, 0, 0, 1 << 63),
}
LIES = {
    "size 0": message(size=0),
    "size too large": message(size=len(RECORD) + 8),
    "size not of 8": message(size=len(RECORD) - 4),
    "route too long": message(route=255),
    "route too short": message(route=3),
    "exchange longer than the route": message(b"\xffex\x03key"),
    "key longer than the route": message(b"\x02ex\xffkey"),
    "properties of 4 GB": message(props=0xFFFFFFFF),
    "body of 4 GB": message(body=0xFFFFFFFF),
    "parts that are too long together": message(props=0x80000000, body=0x80000000),
    "queues without number": message(queues=0xFFFFFFFF),
    "more queues than there is room for": message(queues=1 << 30),
    "message of 8 octets": struct.pack("<IBBH", 8, 1, 0, 0),
    "acknowledgement of more": acknowledgement(1, 2),
    "acknowledgement without number": acknowledgement(1, 0xFFFFFFFF),
    "acknowledgement of 8 octets": struct.pack("<IBBH", 8, 2, 0, 0),
    "move of more": move([0], len(RECORD), RECORD, 2),
    "move without number": move([0], len(RECORD), RECORD, 0xFFFFFFFF),
    "move beyond its run": move([8], len(RECORD), RECORD),
    "move far beyond its run": move([0xFFFFFFF8], 0xFFFFFFFF, RECORD),
    "move of something else": move([0], 16, acknowledgement(0, 0)),
    "move of a lie": move([0], 4096, message(body=0xFFFFFFFF)),
    "row longer than its frame": struct.pack("<IBBHII", 16, 6, 0, 0, 9, 0),
    "row of 8 octets": struct.pack("<IBBH", 8, 6, 0, 0),
    "a lie behind the truth": RECORD + message(body=0xFFFFFFFF),
    "octets behind the last frame": RECORD + bytes(8),
}


@pytest.mark.parametrize("name", GOOD)
def test_frames_that_are_as_long_as_their_parts_count(name: str) -> None:
    assert is_good(GOOD[name])


@pytest.mark.parametrize("name", LIES)
def test_frames_that_lie_do_not_count_whatever_the_checksum_says(name: str) -> None:
    assert not is_good(LIES[name])


def test_nobody_can_have_synced_before_the_log_began() -> None:
    data = sealed(RECORD)
    entry.finish(data, 0, len(data), PLACE + 1)
    assert entry.synced_to(data, 0) == 0
    entry.finish(data, 0, len(data), 96)
    assert entry.synced_to(data, 0) == PLACE - 96
