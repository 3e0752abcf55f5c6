"""Snapshots of the durable queues: their entries by log position, 16 octets each, and back (`docs/format/snapshot.md`).

A snapshot is fuzzy: queues go on while it is taken, slice by slice. It holds what stood before position ``start``; what
changed since stands in the log behind ``start``, and replaying it over the snapshot gives the present state: a message
acknowledged meanwhile may be in or out, one published meanwhile is left to the log. A message that moves while slices are
taken must not slip through: first the rings, whose entries only leave, then in one step what was delivered or came back.

Kernel: compiled with ``snapshot.pxd``.
"""

from __future__ import annotations

import bisect
from collections import deque

from posthouse.broker.dispatch import QueueCore
from posthouse.core import layout, mem
from posthouse.journal.block import Block, BlockTable, LogBuffer


class Exporter:
    """Takes one snapshot.

    Attributes:
        start: log position before which it says what stands where.
        slice: most entries that `ready` looks at.
        blocks_seen: used octets by position of every block that an entry lies in.
        held: entries that were delivered or came back, by queue number.
        next: sequence number for the next `ready` of the queue at hand, or -1: the queue is done.
    """

    def __init__(self, blocks: BlockTable, start: int, slice_entries: int) -> None:
        self.blocks = blocks
        self.start = start
        self.slice = slice_entries
        self.blocks_seen: dict[int, int] = {}
        self.held: dict[int, bytearray] = {}
        self.block: Block | None = None
        self.next = 0

    def locate(self, block_id: int, offset: int) -> int:
        """The log position of a record; notes its block."""
        block = self.block
        if block is None or block.id != block_id or block.refs == 0:
            x = self.blocks.blocks[block_id]
            block = x
            self.block = block
            self.blocks_seen[block.base] = block.used
        return block.base + offset

    def ready(self, queue: QueueCore, sequence: int) -> bytearray:
        """The next slice of the queue's persistent entries from ``sequence`` on; see `next`."""
        index = queue.index
        out = bytearray(self.slice * 16)
        o = mem.address(out)
        self.block = None
        self.next = -1
        n = 0
        s = sequence
        if s < index.head:
            s = index.head
        end = s + self.slice
        while s < index.tail:
            if s == end:
                self.next = s
                break
            i = index.seek(s, True)
            if index.cw[i + 3] & layout.PERSISTENT:
                position = self.locate(index.cw[i], index.cw[i + 1])
                if position >= self.start:
                    break
                mem.put_le64(o, n * 16, position)
                mem.put_le32(o, n * 16 + 8, index.cw[i + 2])
                mem.put_le32(o, n * 16 + 12, index.cw[i + 3])
                n += 1
            s += 1
        del out[n * 16 :]
        return out

    def hold(self, number: int, block_id: int, offset: int, size: int, flags: int) -> None:
        """Note a delivered or returned entry of queue ``number``."""
        if not flags & layout.PERSISTENT:
            return
        position = self.locate(block_id, offset)
        if position >= self.start:
            return
        entry = bytearray(16)
        o = mem.address(entry)
        mem.put_le64(o, 0, position)
        mem.put_le32(o, 8, size)
        mem.put_le32(o, 12, flags | layout.REDELIVERED)
        found = self.held.get(number)
        if found is None:
            self.held[number] = entry
        else:
            found.extend(entry)

    def returned(self, queue: QueueCore) -> None:
        """Note the queue's entries that came back."""
        self.block = None
        index = queue.index
        k = index.r_start
        while k < index.r_end:
            i = k * 6
            self.hold(queue.number, index.r[i + 2], index.r[i + 3], index.r[i + 4], index.r[i + 5])
            k += 1

    def blocks_chunk(self) -> bytes:
        """The blocks, by position: u64 position, u64 used octets each."""
        pairs = sorted(self.blocks_seen.items())
        return b"".join(a.to_bytes(8, "little") + b.to_bytes(8, "little") for a, b in pairs)


class Restorer:
    """Puts a snapshot back: blocks first, then what was held, then the ready entries, then `finish`.

    Args:
        first: position where the log begins now; what stood before is settled and trimmed.
        is_exact: nothing happened after the snapshot, so flags are as they were; otherwise everything may have been
            delivered since.
    """

    def __init__(
        self,
        blocks: BlockTable,
        log: LogBuffer,
        queues: dict[int, QueueCore],
        first: int,
        is_exact: bool,
    ) -> None:
        self.blocks = blocks
        self.log = log
        self.queues = queues
        self.first = first
        self.flags = 0 if is_exact else layout.REDELIVERED
        self.bases: list[int] = []
        self.found: list[Block] = []
        self.held: dict[int, deque[tuple[int, int, int]]] = {}
        self.at = 0
        self.entries = 0

    def add_blocks(self, data: bytearray) -> None:
        """Make the blocks, without their bytes."""
        for at in range(0, len(data), 16):
            base = int.from_bytes(data[at : at + 8], "little")
            used = int.from_bytes(data[at + 8 : at + 16], "little")
            if base >= self.first:
                block = self.blocks.adopt_absent(base, used)
                self.bases.append(base)
                self.found.append(block)
                self.log.history.append(block)

    def add_held(self, number: int, data: bytearray) -> None:
        """What had been delivered or had come back, in any order."""
        p = mem.address(data)
        entries = list(self.held.get(number, ()))
        entries += [
            (mem.le64(p, at), mem.le32(p, at + 8), mem.le32(p, at + 12))
            for at in range(0, len(data), 16)
        ]
        entries.sort()
        self.held[number] = deque(entries)

    def add_ready(self, number: int, data: bytearray) -> None:
        """Ready entries, in order; held ones are merged in where they belong."""
        x = self.queues.get(number)
        if x is None:
            return
        queue = x
        p = mem.address(data)
        held = self.held.get(number)
        for at in range(0, len(data), 16):
            position = mem.le64(p, at)
            while held and held[0][0] < position:
                first, size, flags = held.popleft()
                self.push(queue, first, size, flags)
            if held and held[0][0] == position:
                continue  # it was delivered between the two steps: once is enough, with the later flags
            self.push(queue, position, mem.le32(p, at + 8), mem.le32(p, at + 12))

    def push(self, queue: QueueCore, position: int, size: int, flags: int) -> None:
        """One entry; entries of trimmed blocks were settled since."""
        at = self.at
        found = self.found
        if not found or position < self.first:
            return
        x = found[at]
        block = x
        if position < block.base or position >= block.base + block.used:
            at = bisect.bisect_right(self.bases, position) - 1
            if at < 0:
                return
            self.at = at
            y = found[at]
            block = y
            if position >= block.base + block.used:
                return
        queue.index.push(block.id, position - block.base, size, flags | self.flags)
        block.refs += 1
        self.entries += 1

    def finish(self) -> None:
        """What was held behind the last ready entry; then blocks that nobody names go."""
        for number, held in self.held.items():
            x = self.queues.get(number)
            if x is not None:
                queue = x
                while held:
                    position, size, flags = held.popleft()
                    self.push(queue, position, size, flags)
        for y in self.found:
            block = y
            self.blocks.release(block)
