"""Walking all entries of all queues while they work: who wants to know which records are needed subclasses `Walker`.

An entry that moves while slices are taken must not slip through. Rings are walked first: entries only leave them. Then, in one
step, what was delivered or came back: that is where they went. So the walk meets every entry that was there all the time,
some of them twice, and some that were settled meanwhile.

Kernel: compiled with ``walk.pxd``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from posthouse.broker.dispatch import QueueCore
from posthouse.journal.block import BlockTable


class Walker:
    """What to do with each entry.

    Attributes:
        slice: most entries of a ring that one step looks at.
        next: sequence number for the next step in the queue at hand, or -1: its ring is done.
    """

    def __init__(self, blocks: BlockTable, slice_entries: int) -> None:
        self.blocks = blocks
        self.slice = slice_entries
        self.next = 0

    def ready(self, queue: QueueCore, block_id: int, offset: int, size: int, flags: int) -> bool:
        """An entry of a ring, in order; False if the rest of the ring is of no interest."""
        raise AssertionError("Walker.ready is overridden")

    def hold(self, queue: QueueCore, block_id: int, offset: int, size: int, flags: int) -> None:
        """An entry that was delivered and is not settled, or came back."""
        raise AssertionError("Walker.hold is overridden")

    def walk_ring(self, queue: QueueCore, sequence: int) -> None:
        """One slice of a queue's ring, from ``sequence`` on; see `next`."""
        index = queue.index
        self.next = -1
        s = sequence
        if s < index.head:
            s = index.head
        end = s + self.slice
        while s < index.tail:
            if s == end:
                self.next = s
                return
            i = index.seek(s, True)
            w = index.cw
            if not self.ready(queue, w[i], w[i + 1], w[i + 2], w[i + 3]):
                return
            s += 1

    def walk_returned(self, queue: QueueCore) -> None:
        """The entries of a queue that came back, and those that could not be read."""
        index = queue.index
        k = index.r_start
        while k < index.r_end:
            i = k * 6
            self.hold(queue, index.r[i + 2], index.r[i + 3], index.r[i + 4], index.r[i + 5])
            k += 1
        for _, block_id, offset, size, flags in queue.unread:
            self.hold(queue, block_id, offset, size, flags)


def walk(
    walker: Walker, queues: Iterable[QueueCore], holders: Iterable[Any]
) -> Iterator[QueueCore]:
    """Walk everything; yields the queue after each slice. ``holders`` are channels, asked at the end."""
    queues = list(queues)
    for queue in queues:
        sequence = 0
        while sequence >= 0 and not queue.deleted:
            walker.walk_ring(queue, sequence)
            sequence = walker.next
            yield queue
    for queue in queues:
        if not queue.deleted:
            walker.walk_returned(queue)
    for holder in list(holders):
        holder.tell(walker)
