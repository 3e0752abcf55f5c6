"""A table folded from a log: kind -> key -> value, for definitions (vhosts, queues, users, permissions ...).

A change is one DEF frame with JSON ``{"k": kind, "i": [key...], "v": value or null}`` (`docs/format/journal.md`). The
table in memory is ahead of the disk; whoever promises durability waits for the commit that covers the change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from posthouse.core.errors import CorruptRecord
from posthouse.journal.block import LogBuffer
from posthouse.journal.constants import KIND_DEF

Key = tuple[str, ...]
Value = dict[str, Any]  # JSON

FRAME_HEADER = 12
# The log is rewritten when it holds more dead changes than this and than live ones.
DEAD_MIN = 1000


def def_frame(kind: str, key: Key, value: Value | None) -> bytes:
    """One DEF frame, padded to 8."""
    text = json.dumps({"k": kind, "i": list(key), "v": value}, separators=(",", ":")).encode()
    size = (FRAME_HEADER + len(text) + 7) & ~7
    head = size.to_bytes(4, "little") + bytes((KIND_DEF, 0, 0, 0)) + len(text).to_bytes(4, "little")
    return (head + text).ljust(size, b"\0")


class Table:
    """The folded table.

    Attributes:
        on_change: called after every change (the node marks that a commit is due).
        changes: how many changes the log holds, live and dead.
        dead_min: `DEAD_MIN`, or what a test has instead.
        removed: kind and last value of rows that `replay` saw removed; the owner empties it.
    """

    def __init__(self, log: LogBuffer | None) -> None:
        self._log = log
        self._kinds: dict[str, dict[Key, Value]] = {}
        self.on_change: Callable[[], object] = lambda: None
        self.changes = 0
        self.dead_min = DEAD_MIN
        self.removed: list[tuple[str, Value]] = []

    def items(self, kind: str) -> Iterator[tuple[Key, Value]]:
        """The rows of one kind, in order of first insertion."""
        return iter(list(self._kinds.get(kind, {}).items()))

    def get(self, kind: str, key: Key) -> Value | None:
        """One row, or None."""
        return self._kinds.get(kind, {}).get(tuple(key))

    def put(self, kind: str, key: Key, value: Value) -> None:
        """Insert or replace a row. ``value`` must be JSON and is not copied."""
        key = tuple(key)
        self._kinds.setdefault(kind, {})[key] = value
        self._append(kind, key, value)

    def remove(self, kind: str, key: Key) -> None:
        """Remove a row; nothing happens if there is none."""
        key = tuple(key)
        if self._kinds.get(kind, {}).pop(key, None) is not None:
            self._append(kind, key, None)

    def _append(self, kind: str, key: Key, value: Value | None) -> None:
        self.changes += 1
        if self._log is not None:
            self._log.append(def_frame(kind, key, value))
        self.on_change()

    def replay(self, data: bytes | bytearray, start: int, end: int) -> None:
        """Fold the frames of one good entry: ``data[start:end]`` without its header.

        Raises:
            CorruptRecord: a change that no broker wrote, though its checksum is right.
        """
        at = start
        while at < end:
            size = int.from_bytes(data[at : at + 4], "little")
            if data[at + 4] == KIND_DEF:
                length = int.from_bytes(data[at + 8 : at + 12], "little")
                text = bytes(data[at + FRAME_HEADER : at + FRAME_HEADER + length])
                kind, key, value = _change(text)
                rows = self._kinds.setdefault(kind, {})
                if value is None:
                    before = rows.pop(key, None)
                    if before is not None:
                        self.removed.append((kind, before))
                else:
                    rows[key] = value
                self.changes += 1
            at += size

    def live(self) -> int:
        """How many rows there are."""
        return sum(len(rows) for rows in self._kinds.values())

    def is_mostly_dead(self) -> bool:
        """Whether rewriting the log would be worth it."""
        dead = self.changes - self.live()
        return dead > self.dead_min and dead > self.live()

    @property
    def is_kept(self) -> bool:
        """Whether there is a log."""
        return self._log is not None

    def rows(self) -> list[tuple[str, Key]]:
        """Kind and key of every row."""
        return [(kind, key) for kind, rows in self._kinds.items() for key in rows]

    def append_again(self, kind: str, key: Key) -> None:
        """Append a row as it is now to the log once more, if it is still there; the caller commits."""
        value = self._kinds[kind].get(key)
        if value is not None and self._log is not None:
            self._log.append(def_frame(kind, key, value))

    def frames(self) -> Iterable[bytes]:
        """The whole table as frames: a rewrite."""
        for kind, rows in self._kinds.items():
            for key, value in rows.items():
                yield def_frame(kind, key, value)


def _change(text: bytes) -> tuple[str, Key, Value | None]:
    """Kind, key and new value of a row; the value is None if the row is removed."""
    try:
        change = json.loads(text)
        kind, key, value = change["k"], tuple(change["i"]), change["v"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptRecord("a change of the definitions cannot be read") from error
    is_row = value is None or isinstance(value, dict)
    if not (isinstance(kind, str) and all(isinstance(part, str) for part in key) and is_row):
        raise CorruptRecord("a change of the definitions makes no sense")
    return kind, key, value
