"""Who gets the next message: consumers of a queue, and the pass that serves all queues that need it.

Work is marked first and done at the end of a batch: whatever makes a queue deliverable again (a publish, an ack,
a consumer, output that drained) marks it in the `Dispatcher`; `Dispatcher.pump` then serves every marked queue in
runs. A protocol's consumer implements `Consumer.take`, one call per run.

Kernel: compiled with ``dispatch.pxd``; the cold half of a queue is `posthouse.broker.queues.queue.Queue`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from posthouse.broker.index import RING_MAX, QueueIndex
from posthouse.core import layout, mem
from posthouse.journal.block import BlockTable, LogBuffer

RUN_MAX = 4096
ACK_RANGES_MAX = 512


def _ignore(_queue: object, _position: int) -> None:
    """The default callback: nobody listens yet."""


class Consumer:
    """A subscription as its queue sees it.

    Attributes:
        queue: the queue it consumes.
        priority: higher ones are served first while they can take more.
    """

    def __init__(self, queue: QueueCore, priority: int) -> None:
        self.queue = queue
        self.priority = priority

    def take(self, limit: int) -> int:
        """Pop and deliver up to ``limit`` messages of the queue; returns how many (0: no credit now)."""
        raise AssertionError("Consumer.take is overridden by every protocol")

    def cancelled(self) -> None:
        """The queue is gone: tell the client. Called after the consumer left the queue's list."""
        raise AssertionError("Consumer.cancelled is overridden by every protocol")


class Dispatcher:
    """The tick's marks, shared by everything on one node.

    Attributes:
        blocks: all blocks of the node.
        transient: the log of messages that need not survive.
        durable: the shard log's buffer; None in a memory-only node.
        ring_max: entries of an index that are in memory or not together.
        next_commit: number of the commit that what is appended now will belong to.
        must_commit: somebody waits for that commit.
        changed: number of the commit with the last change that answers stand for: of definitions, a purge, a transaction.
        committed: number of the last commit that is done.
        dirty: queues to pump.
        touched: connections with output to flush.
        waiters: connections that wait for a commit (confirms, held replies).
        holders: channels, which may hold deliveries that are not settled.
        settled: block, offset and queue of what was settled in watched blocks, for the cleaner.
        alarm: publishers are blocked (memory or disk alarm).
        is_behind: much was appended that is not durable yet: publishers wait in ``held`` until the disk has caught up.
        arrivals: large messages that are being received.
        damaged_records: messages that could not be read back.
        on_damaged: called with the queue and the log position of each.
    """

    def __init__(
        self,
        blocks: BlockTable,
        transient: LogBuffer,
        durable: LogBuffer | None,
        ring_max: int = RING_MAX,
    ) -> None:
        self.blocks = blocks
        self.transient = transient
        self.durable = durable
        self.ring_max = ring_max
        self.next_commit = 1
        self.must_commit = False
        self.changed = 0
        self.committed = 0
        self.alarm = False
        self.is_behind = False
        self.held: list[Any] = []  # Any: brakes of sessions, which are above this layer
        self.arrivals = 0
        self.damaged_records = 0
        self.on_damaged: Callable[[Any, int], object] = (
            _ignore  # Any: the queue, with its cold half
        )
        self.dirty: list[QueueCore] = []
        self.acked: list[QueueCore] = []
        self.settled: list[tuple[int, int, QueueCore]] = []
        self.touched: list[Any] = []  # Any: sessions, which are above this layer
        # Dicts, not sets: whoever goes through them does it in the same order every time.
        self.waiters: dict[Any, None] = {}
        self.holders: dict[Any, None] = {}  # Any: channels, which are above this layer

    def note_change(self) -> None:
        """Something was appended that answers stand for: they leave when it is durable."""
        self.must_commit = True
        self.changed = self.next_commit

    def mark(self, queue: QueueCore) -> None:
        """Have ``queue`` pumped at the end of the batch."""
        if not queue.dirty:
            queue.dirty = True
            self.dirty.append(queue)

    def pump(self) -> bool:
        """Serve every marked queue once; True if anything was marked."""
        if not self.dirty:
            return False
        queues = self.dirty
        self.dirty = []
        done = 0
        try:
            for queue in queues:
                queue.dirty = False
                queue.pump()
                done += 1
        except Exception:
            # No memory for one of them, say: it is not forgotten, and comes behind the others the next time.
            self.dirty = queues[done + 1 :] + self.dirty
            self.mark(queues[done])
            raise
        return True

    def has_dirty(self) -> bool:
        """Whether a queue waits to be pumped."""
        return len(self.dirty) > 0

    def write_acks(self) -> None:
        """Append the gathered ack ranges of all queues to the shard log."""
        queues = self.acked
        self.acked = []
        done = 0
        try:
            for queue in queues:
                queue.write_acks()
                done += 1
        except Exception:
            self.acked = queues[done:] + self.acked
            raise


class QueueCore:
    """The hot half of a queue: its index, its consumers, its acknowledgements.

    Attributes:
        number: the durable queue's id in the log; 0 for a queue that does not survive.
        consumers: by falling priority, in order of subscription within one priority.
        deleted: the queue is gone; settling its messages only frees memory.
        published, delivered, acknowledged: counters since start.
        is_throttled: the last pump ended because a consumer's connection takes no more octets now.
        is_congested: publishers are held back until the queue has drained (see `bytes_low`).
        unread: sequence, block, offset, size and flags of messages that the disk did not give back; at most those of the queue.
    """

    def __init__(self, dispatcher: Dispatcher, number: int) -> None:
        self.dispatcher = dispatcher
        self.blocks = dispatcher.blocks
        self.number = number
        self.index = QueueIndex(dispatcher.blocks.pager, dispatcher.ring_max)
        self.consumers: list[Consumer] = []
        self.turn = 0
        self.dirty = False
        self.deleted = False
        self.is_throttled = False
        self.is_congested = False
        self.bytes_low = 0
        self.published = 0
        self.delivered = 0
        self.acknowledged = 0
        self.unacked = 0
        self.ack_first = 0
        self.ack_last = 0
        self.ack_sequence = 0
        self.ack_count = 0
        self.ranges = bytearray(0)
        self.range_count = 0
        self.unread: list[tuple[int, int, int, int, int]] = []

    def pump(self) -> None:
        """Deliver while there are messages and consumers that can take them."""
        consumers = self.consumers
        n = len(consumers)
        index = self.index
        start = 0
        self.is_throttled = False
        while start < n and index.ready():
            first = consumers[start]
            end = start + 1
            while end < n:
                other = consumers[end]
                if other.priority != first.priority:
                    break
                end += 1
            self.pump_equals(start, end)
            start = end
        if self.is_congested and index.bytes_ready <= self.bytes_low:
            self.drained()

    def pump_equals(self, start: int, end: int) -> None:
        """Round robin among the consumers ``start`` to ``end``, which have one priority."""
        consumers = self.consumers
        index = self.index
        n = end - start
        run = 1
        if n == 1:
            run = RUN_MAX
        blocked = 0
        while blocked < n and index.ready():
            if self.turn >= n:
                self.turn = 0
            consumer = consumers[start + self.turn]
            self.turn += 1
            taken = consumer.take(run)
            if taken == 0:
                blocked += 1
            else:
                blocked = 0
                self.delivered += taken
                if len(consumers) < end:
                    break
        # Whoever subscribes next comes behind those who are there.
        if self.turn >= n:
            self.turn = 0

    def drained(self) -> None:
        """The congestion is over; the cold half tells the publishers that were held back."""
        self.is_congested = False

    def settle(self, sequence: int, block_id: int, offset: int, flags: int) -> None:
        """A message is done with: free its memory, and note the acknowledgement of a persistent one."""
        x = self.blocks.blocks[block_id]
        block = x
        if flags & layout.PERSISTENT and not self.deleted:
            lsn = block.base + offset
            if self.ack_count and sequence == self.ack_sequence + 1:
                self.ack_last = lsn
            else:
                if self.ack_count:
                    self.close_range()
                else:
                    self.dispatcher.acked.append(self)
                self.ack_first = lsn
                self.ack_last = lsn
            self.ack_sequence = sequence
            self.ack_count += 1
        if block.is_watched:
            self.dispatcher.settled.append((block_id, offset, self))
        block.refs -= 1
        if block.refs == 0:
            self.blocks.drop(block)

    def lose(self, sequence: int, block_id: int, offset: int, size: int, flags: int) -> None:
        """The record cannot be read: pass the message over, and leave what there is of it on disk (P11).

        A disk that refuses to read has not said that anything is damaged: then the message stays the queue's, unread, until the
        next start tries again.
        """
        dispatcher = self.dispatcher
        x = self.blocks.blocks[block_id]
        block = x
        dispatcher.damaged_records += 1
        dispatcher.on_damaged(self, block.base + offset)
        if block.is_out and not self.deleted:
            self.unread.append((sequence, block_id, offset, size, flags))
        else:
            self.settle(sequence, block_id, offset, 0)

    def requeue(self, sequence: int, block_id: int, offset: int, size: int, flags: int) -> None:
        """An unacked message comes back to its place, marked as redelivered."""
        if self.deleted:
            self.settle(sequence, block_id, offset, flags)
            return
        self.index.give_back(sequence, block_id, offset, size, flags | layout.REDELIVERED)
        self.dispatcher.mark(self)

    def close_range(self) -> None:
        """Move the open range of acknowledgements to the closed ones."""
        at = self.range_count * 16
        if at + 16 > len(self.ranges):
            self.ranges = self.ranges + bytearray(len(self.ranges) + 256)
        p = mem.address(self.ranges)
        mem.put_le64(p, at, self.ack_first)
        mem.put_le64(p, at + 8, self.ack_last)
        self.range_count += 1
        if self.range_count == ACK_RANGES_MAX:
            self.flush_ranges()

    def flush_ranges(self) -> None:
        """Append an ACK frame (`docs/format/journal.md`) with the closed ranges."""
        log = self.dispatcher.durable
        if log is None or self.range_count == 0:
            self.range_count = 0
            return
        size = 16 + self.range_count * 16
        block = log.reserve(size)
        p = block.p
        at = block.used
        mem.put_le32(p, at, size)
        mem.put_le32(p, at + 4, layout.KIND_ACK)
        mem.put_le32(p, at + 8, self.number)
        mem.put_le32(p, at + 12, self.range_count)
        source = mem.address(self.ranges)
        mem.copy(p, at + 16, source, 0, self.range_count * 16)
        log.advance(size)
        self.range_count = 0

    def write_acks(self) -> None:
        """Append everything gathered since the last call."""
        if self.ack_count:
            self.close_range()
            self.ack_count = 0
        if self.deleted:
            self.range_count = 0
        self.flush_ranges()

    def settle_all_but(self, held: list[int]) -> None:
        """Acknowledge everything of the queue but the messages at the log positions ``held``, in rising order.

        For messages that no entry names any more, since a page of the index is lost.
        """
        dispatcher = self.dispatcher
        log = dispatcher.durable
        if log is None:
            return
        if self.ack_count:
            self.close_range()
            self.ack_count = 0
        first = 0
        for position in [*held, log.position]:
            if position > first:
                self.ack_first = first
                self.ack_last = position - 1
                self.close_range()
            first = position + 1
        self.index.entries_lost = 0
        dispatcher.acked.append(self)

    def drop_ready(self) -> int:
        """Settle every ready message (purge); returns how many."""
        index = self.index
        n = 0
        while index.pop():
            self.settle(index.sequence, index.block, index.offset, index.flags)
            n += 1
        unread = self.unread
        self.unread = []
        for sequence, block_id, offset, _, flags in unread:
            self.settle(sequence, block_id, offset, flags)
            n += 1
        return n
