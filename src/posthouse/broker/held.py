"""Which messages of a queue its consumers have and did not settle, by log position."""

from __future__ import annotations

from posthouse.broker.dispatch import QueueCore
from posthouse.broker.walk import Walker
from posthouse.core import layout


class _Held(Walker):
    """Asks the channels about one queue."""

    def __init__(self, queue: QueueCore) -> None:
        super().__init__(queue.dispatcher.blocks, 1)
        self._queue = queue
        self.positions: list[int] = []

    def hold(self, queue: QueueCore, block_id: int, offset: int, size: int, flags: int) -> None:
        """See `Walker.hold`."""
        if queue is self._queue and flags & layout.PERSISTENT:
            self.positions.append(self.blocks.blocks[block_id].base + offset)


def held_positions(queue: QueueCore) -> list[int]:
    """The log positions of the persistent ones, in rising order."""
    held = _Held(queue)
    for holder in list(queue.dispatcher.holders):
        holder.tell(held)
    return sorted(held.positions)
