"""Replay: from the shard log's recovered entries back to the queues' indexes.

Message frames push entries onto the queues they name; acknowledgement frames take entries out again, by position.
Queues that no longer exist are passed over. Everything that comes back is marked as redelivered: whether it was delivered
before the end is not known (promise P5). Kernel: compiled with ``replay.pxd``.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Callable

from posthouse.broker.dispatch import QueueCore
from posthouse.broker.index import QueueIndex
from posthouse.broker.missing import Missing
from posthouse.core import layout, mem
from posthouse.core.errors import CorruptRecord
from posthouse.journal.block import Block, BlockTable, LogBuffer


class Replayer:
    """Replays entries in log order, then `finish`.

    Attributes:
        queues: durable queues by their number in the log.
        messages, acks: how many frames of each kind were met.
        dead: acknowledged entries that still stand in an index.
        salvage: makes a queue for a number that is not in ``queues``, or says None; None where such messages are passed over.
        missing: what the snapshot knew and the log's beginning does not hold; None if there is nothing.
        moved: by queue number, messages that only a MOVE frame had: position, block, offset, size, by position.
    """

    def __init__(
        self, blocks: BlockTable, log: LogBuffer | None, queues: dict[int, QueueCore]
    ) -> None:
        self.blocks = blocks
        self.log = log
        self.moved: dict[int, list[tuple[int, int, int, int]]] = {}
        self.queues = queues
        self.salvage: Callable[[int], QueueCore | None] | None = None
        self.missing: Missing | None = None
        self.messages = 0
        self.acks = 0
        self.dead = 0

    def replay(self, block: Block, start: int, end: int) -> None:
        """One good entry of ``block``.

        Raises:
            CorruptRecord: a frame that the checksum covers but that makes no sense.
        """
        p = block.p
        at = start + layout.ENTRY_HEADER_SIZE
        while at < end:
            size = mem.le32(p, at)
            if size < 8 or size & 7 or at + size > end:
                raise CorruptRecord(f"a frame of {size} octets at position {block.base + at}")
            kind = p[at + 4]
            if kind == layout.KIND_ENQ:
                self.enqueue(block, at, size)
            elif kind == layout.KIND_ACK:
                self.acknowledge(block, at)
            elif kind == layout.KIND_MOVE:
                self.move(block, at, start)
            at += size

    def enqueue(self, block: Block, at: int, size: int) -> None:
        """Push the message at ``at`` onto its queues."""
        p = block.p
        count = mem.le32(p, at + 16)
        ids_at = mem.le16(p, at + 6) + mem.le32(p, at + 8) + mem.le32(p, at + 12) + 24
        ids_at = at + ((ids_at + 3) & ~3)
        self.messages += 1
        for i in range(count):
            x = self.queues.get(mem.le32(p, ids_at + 4 * i))
            if x is None and self.salvage is not None:
                x = self.salvage(mem.le32(p, ids_at + 4 * i))
            if x is not None:
                queue = x
                queue.index.push(block.id, at, size, layout.PERSISTENT | layout.REDELIVERED)
                block.refs += 1

    def move(self, block: Block, at: int, start: int) -> None:
        """Take what is not in the queues already from the MOVE frame at ``at``, whose entry begins at ``start``.

        What is there already came from where it was published: that place was not trimmed.
        """
        p = block.p
        base = mem.le64(p, at + 8)
        count = mem.le32(p, at + 20)
        x = self.blocks.adopt_absent(base, mem.le32(p, at + 16))
        target = x
        target.place = block.base + start
        record = at + 24 + ((4 * count + 7) & ~7)
        for i in range(count):
            offset = mem.le32(p, at + 24 + 4 * i)
            ids_at = (
                mem.le16(p, record + 6) + mem.le32(p, record + 8) + mem.le32(p, record + 12) + 24
            )
            ids_at = record + ((ids_at + 3) & ~3)
            for k in range(mem.le32(p, record + 16)):
                y = self.queues.get(mem.le32(p, ids_at + 4 * k))
                if y is None and self.salvage is not None:
                    y = self.salvage(mem.le32(p, ids_at + 4 * k))
                if y is not None:
                    queue = y
                    self.add_moved(queue, base + offset, target, mem.le32(p, record))
            record += mem.le32(p, record)
        assert self.log is not None
        self.log.history.append(target)
        self.blocks.release(target)

    def add_moved(self, queue: QueueCore, position: int, target: Block, size: int) -> None:
        """A moved message, unless the queue has it."""
        if self.missing is not None:
            self.missing.settle(queue.number, position, position)
        index = queue.index
        low = self.first_at(index, position)
        if low < index.tail and self.position(index, low) == position:
            return
        moved = self.moved.setdefault(queue.number, [])
        found = bisect.bisect_left(moved, (position,))
        if found == len(moved) or moved[found][0] != position:
            moved.insert(found, (position, target.id, position - target.base, size))
            target.refs += 1

    def acknowledge(self, block: Block, at: int) -> None:
        """Take the acknowledged ranges at ``at`` out of their queue."""
        p = block.p
        x = self.queues.get(mem.le32(p, at + 8))
        self.acks += 1
        if x is None:
            return
        queue = x
        count = mem.le32(p, at + 12)
        for i in range(count):
            first = mem.le64(p, at + 16 + 16 * i)
            last = mem.le64(p, at + 24 + 16 * i)
            self.forget(queue.index, first, last)
            self.forget_moved(queue.number, first, last)
            if self.missing is not None:
                self.missing.settle(queue.number, first, last)

    def position(self, index: QueueIndex, sequence: int) -> int:
        """The log position of a queue's entry."""
        i = index.seek(sequence, False)
        x = self.blocks.blocks[index.cw[i]]
        block = x
        return block.base + index.cw[i + 1]

    def first_at(self, index: QueueIndex, first: int) -> int:
        """The sequence number of the first entry at position ``first`` or later; the ring is in order of position."""
        low = index.head
        high = index.tail
        while low < high:
            if low == index.head and self.position(index, low) >= first:
                break
            middle = (low + high) >> 1
            if self.position(index, middle) < first:
                low = middle + 1
            else:
                high = middle
        return low

    def forget(self, index: QueueIndex, first: int, last: int) -> None:
        """Drop the entries whose positions are in ``first`` to ``last``."""
        low = self.first_at(index, first)
        while low < index.tail and self.position(index, low) <= last:
            i = index.seek(low, False)
            if not index.cw[i + 3] & layout.DEAD:
                index.cw[i + 3] |= layout.DEAD
                self.dead += 1
            low += 1
        while index.head < index.tail:
            i = index.seek(index.head, False)
            if not index.cw[i + 3] & layout.DEAD:
                break
            index.pop()
            self.dead -= 1
            x = self.blocks.blocks[index.block]
            block = x
            self.blocks.release(block)

    def forget_moved(self, number: int, first: int, last: int) -> None:
        """The same for moved messages."""
        moved = self.moved.get(number)
        if moved:
            start = bisect.bisect_left(moved, (first,))
            end = bisect.bisect_left(moved, (last + 1,))
            for x in moved[start:end]:
                y = self.blocks.blocks[x[1]]
                block = y
                self.blocks.release(block)
            del moved[start:end]

    def finish(self) -> int:
        """Drop what was acknowledged out of order, put in what was moved; returns how many messages the queues hold."""
        total = 0
        for x in self.queues.values():
            queue = x
            if self.dead or self.moved.get(queue.number):
                self.compact(queue)
            total += queue.index.ready()
        return total

    def compact(self, queue: QueueCore) -> None:
        """Give the queue an index without the dead entries, with the moved ones where they belong."""
        index = queue.index
        fresh = QueueIndex(index.pages, index.ring_max)
        moved = deque(self.moved.get(queue.number, ()))
        while index.pop():
            x = self.blocks.blocks[index.block]
            block = x
            if index.flags & layout.DEAD:
                self.blocks.release(block)
                continue
            while moved and moved[0][0] < block.base + index.offset:
                self.push_moved(fresh, moved.popleft())
            fresh.push(index.block, index.offset, index.size, index.flags)
        while moved:
            self.push_moved(fresh, moved.popleft())
        queue.index = fresh

    def push_moved(self, fresh: QueueIndex, moved: tuple[int, int, int, int]) -> None:
        """One moved entry."""
        fresh.push(moved[1], moved[2], moved[3], layout.PERSISTENT | layout.REDELIVERED)
