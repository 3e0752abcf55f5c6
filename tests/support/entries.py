"""What the logs of an undamaged data directory say, entry by entry, read by hand (`docs/format/journal.md`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

DIRECTORY = "/data"
HEADER = 40
UNKNOWN = 0xFFFFFFFF
SEGMENT_NAME = re.compile(r"[0-9]{20}[.]seg")

Contents = Mapping[str, bytes]  # by path
Message = tuple[int, int]  # number of the queue, position


@dataclass
class Entry:
    """One entry of a log, and what it says."""

    log: str
    position: int
    octets: bytes
    messages: dict[Message, bytes] = field(default_factory=dict)
    acks: list[tuple[int, int, int]] = field(default_factory=list)  # queue, first, last
    queues: set[str] = field(default_factory=set)
    is_claim: bool = False

    @property
    def end(self) -> int:
        """The position behind it."""
        return self.position + len(self.octets)

    @property
    def synced_to(self) -> int:
        """Up to where the log was synced when it was written."""
        unsynced = _le32(self.octets, 36)
        return 0 if unsynced == UNKNOWN else self.position - unsynced

    def is_intact(self, damaged: Contents) -> bool:
        """Whether its octets still stand where they stood."""
        prefix = f"{DIRECTORY}/{self.log}/"
        for path, data in damaged.items():
            name = path.removeprefix(prefix)
            if name == path or not SEGMENT_NAME.fullmatch(name):
                continue
            at = self.position - int(name[:20])
            if 0 <= at < len(data):
                if data[at : at + len(self.octets)] == self.octets:
                    return True
        return False


def entries_of(contents: Contents) -> list[Entry]:
    """The entries of both logs of an undamaged directory, by hand."""
    found = []
    for path in sorted(contents):
        log = path.removeprefix(f"{DIRECTORY}/").partition("/")[0]
        if path.endswith(".seg"):
            found += _entries_of_segment(log, int(path[-24:-4]), contents[path])
    return found


def damaged_entries(entries: list[Entry], damaged: Contents) -> list[Entry]:
    """Those that are not intact, and those behind a torn tail: a bad place in the last segment that no entry says was synced (P10)."""
    bad = [entry for entry in entries if not entry.is_intact(damaged)]
    for log in {entry.log for entry in bad}:
        paths = [path for path in damaged if path.startswith(f"{DIRECTORY}/{log}/")]
        bases = [int(path[-24:-4]) for path in paths if path[-24:-4].isdigit()]
        there = [entry for entry in entries if entry.log == log and entry not in bad]
        for first in [entry for entry in bad if entry.log == log]:
            if first.position < max(bases, default=0):
                continue
            behind = [entry for entry in there if entry.position > first.position]
            if max((entry.synced_to for entry in behind), default=0) <= first.position:
                bad += behind
                break
    return bad


def _entries_of_segment(log: str, base: int, data: bytes) -> Iterator[Entry]:
    at = 0
    while at < len(data):
        assert data[at : at + 4] == b"PHE1"
        end = at + HEADER + _le32(data, at + 24)
        entry = Entry(log, base + at, data[at:end], is_claim=bool(data[at + 5] & 1))
        frame = at + HEADER
        while frame < end:
            _note(entry, data, frame, base + frame)
            frame += _le32(data, frame)
        yield entry
        at = end


def _note(entry: Entry, data: bytes, at: int, position: int) -> None:
    """What one frame says."""
    kind = data[at + 4]
    if kind == 1:
        _note_message(entry, data, at, position)
    elif kind == 2:
        queue, count = _le32(data, at + 8), _le32(data, at + 12)
        for n in range(count):
            first, last = (_le64(data, at + 16 + 16 * n + 8 * k) for k in (0, 1))
            entry.acks.append((queue, first, last))
    elif kind == 3:
        base, count = _le64(data, at + 8), _le32(data, at + 20)
        record = at + 24 + (4 * count + 7 & ~7)
        for n in range(count):
            _note_message(entry, data, record, base + _le32(data, at + 24 + 4 * n))
            record += _le32(data, record)
    elif kind == 6 and b'"k":"queue"' in data[at : at + _le32(data, at)]:
        text = data[at + 12 : at + 12 + _le32(data, at + 8)].decode()
        entry.queues.add(text.partition('"/","')[2].partition('"')[0])


def _note_message(entry: Entry, data: bytes, record: int, position: int) -> None:
    route = int.from_bytes(data[record + 6 : record + 8], "little")
    body = record + 24 + route + _le32(data, record + 8)
    end = body + _le32(data, record + 12)
    first = record + (end - record + 3 & ~3)
    for n in range(_le32(data, record + 16)):
        entry.messages[_le32(data, first + 4 * n), position] = data[body:end]


def _le32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _le64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")
