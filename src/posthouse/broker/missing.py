"""What a snapshot knew and the log no longer holds at its beginning: settled since, moved since, or lost.

The beginning of a log goes when nobody needs it any more, and the log behind the snapshot then says why: acknowledgements, or copies
(MOVE).
What is left when all of that was read is lost: a segment is missing that was not trimmed.
"""

from __future__ import annotations

import bisect
from array import array


class Missing:
    """Positions of messages by queue, 9 octets each, taken out again as the log accounts for them."""

    def __init__(self) -> None:
        self._positions: dict[int, array[int]] = {}
        self._open: dict[int, bytearray] = {}

    def add(self, number: int, position: int) -> None:
        """The message of queue ``number`` at ``position`` is not there; all come before `settle`."""
        self._positions.setdefault(number, array("Q")).append(position)

    def close(self) -> bool:
        """All were added; whether there are any."""
        for number, positions in self._positions.items():
            self._positions[number] = array("Q", sorted(positions))
            self._open[number] = bytearray(b"\1" * len(positions))
        return bool(self._positions)

    def settle(self, number: int, first: int, last: int) -> None:
        """The log accounts for the queue's messages at positions ``first`` to ``last``."""
        positions = self._positions.get(number)
        if positions is not None:
            start = bisect.bisect_left(positions, first)
            end = bisect.bisect_right(positions, last)
            self._open[number][start:end] = bytes(end - start)

    def lost(self) -> dict[int, list[int]]:
        """By queue, the positions that nothing accounts for."""
        found = {
            number: [positions[n] for n, is_open in enumerate(self._open[number]) if is_open]
            for number, positions in self._positions.items()
        }
        return {number: positions for number, positions in found.items() if positions}
