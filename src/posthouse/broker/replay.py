"""Replay: from the shard log's recovered entries back to the queues' indexes.

Message frames push entries onto the queues they name; acknowledgement frames take entries out again, by position.
Queues that no longer exist are passed over. Everything that comes back is marked as redelivered: whether it was delivered
before the end is not known (promise P5). Kernel: compiled with ``replay.pxd``.
"""

from __future__ import annotations

from posthouse.broker.dispatch import QueueCore
from posthouse.broker.index import QueueIndex
from posthouse.core import layout, mem
from posthouse.core.errors import CorruptRecord
from posthouse.journal.block import Block, BlockTable


class Replayer:
    """Replays entries in log order, then `finish`.

    Attributes:
        queues: durable queues by their number in the log.
        messages, acks: how many frames of each kind were met.
        dead: acknowledged entries that still stand in an index.
    """

    def __init__(self, blocks: BlockTable, queues: dict[int, QueueCore]) -> None:
        self.blocks = blocks
        self.queues = queues
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
            if x is not None:
                queue = x
                queue.index.push(block.id, at, size, layout.PERSISTENT | layout.REDELIVERED)
                block.refs += 1

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
            self.forget(queue.index, mem.le64(p, at + 16 + 16 * i), mem.le64(p, at + 24 + 16 * i))

    def position(self, index: QueueIndex, sequence: int) -> int:
        """The log position of a queue's entry."""
        i = index.seek(sequence, False)
        x = self.blocks.blocks[index.cw[i]]
        block = x
        return block.base + index.cw[i + 1]

    def forget(self, index: QueueIndex, first: int, last: int) -> None:
        """Drop the entries whose positions are in ``first`` to ``last``; the ring is in order of position."""
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

    def finish(self) -> int:
        """Drop what was acknowledged out of order; returns how many messages the queues hold."""
        total = 0
        for x in self.queues.values():
            queue = x
            if self.dead:
                self.compact(queue)
            total += queue.index.ready()
        return total

    def compact(self, queue: QueueCore) -> None:
        """Give the queue an index without the dead entries."""
        index = queue.index
        fresh = QueueIndex(index.pages, index.ring_max)
        while index.pop():
            if index.flags & layout.DEAD:
                x = self.blocks.blocks[index.block]
                block = x
                self.blocks.release(block)
            else:
                fresh.push(index.block, index.offset, index.size, index.flags)
        queue.index = fresh
