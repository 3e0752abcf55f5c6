"""Snapshots of the durable queues: their entries by log position, 16 octets each, and back (`docs/format/snapshot.md`).

A snapshot is fuzzy: queues go on while it is taken, slice by slice. It holds what stood before position ``start``; what
changed since stands in the log behind ``start``, and replaying it over the snapshot gives the present state: a message
acknowledged meanwhile may be in or out, one published meanwhile is left to the log.

Kernel: compiled with ``snapshot.pxd``.
"""

from __future__ import annotations

import bisect
from collections import deque

from posthouse.broker.dispatch import QueueCore
from posthouse.broker.missing import Missing
from posthouse.broker.walk import Walker
from posthouse.core import layout, mem
from posthouse.journal.block import Block, BlockTable, LogBuffer

ENTRY = bytes(16)
POSITION_MAX = (1 << 63) - 1
# Offsets in a block have 32 bit.
RUN_MAX = 0xFFFFFFFF


class Exporter(Walker):
    """Takes one snapshot.

    Attributes:
        start: log position before which it says what stands where.
        held: entries that were delivered or came back, by queue number.
    """

    def __init__(self, blocks: BlockTable, start: int, slice_entries: int) -> None:
        super().__init__(blocks, slice_entries)
        self.start = start
        self.out = bytearray(slice_entries * 16)
        self.count = 0
        self.held: dict[int, bytearray] = {}
        self.blocks_seen: dict[Block, None] = {}
        self.block: Block | None = None

    def locate(self, block_id: int, offset: int) -> int:
        """The log position of a record; notes its block."""
        block = self.block
        if block is None or block.id != block_id or block.refs == 0:
            x = self.blocks.blocks[block_id]
            block = x
            self.block = block
            self.blocks_seen[block] = None
        return block.base + offset

    def ready(self, queue: QueueCore, block_id: int, offset: int, size: int, flags: int) -> bool:
        """See `Walker.ready`. What stands behind the start is in the log behind it."""
        if not flags & layout.PERSISTENT:
            return True
        position = self.locate(block_id, offset)
        if position >= self.start:
            return False
        self.put(self.out, self.count * 16, position, size, flags)
        self.count += 1
        return True

    def hold(self, queue: QueueCore, block_id: int, offset: int, size: int, flags: int) -> None:
        """See `Walker.hold`."""
        if not flags & layout.PERSISTENT or not queue.number:
            return
        position = self.locate(block_id, offset)
        if position >= self.start:
            return
        entries = self.held.get(queue.number)
        if entries is None:
            entries = bytearray(0)
            self.held[queue.number] = entries
        entries.extend(ENTRY)
        self.put(entries, len(entries) - 16, position, size, flags | layout.REDELIVERED)

    def put(self, entries: bytearray, at: int, position: int, size: int, flags: int) -> None:
        """Write an entry of 16 octets."""
        p = mem.address(entries)
        mem.put_le64(p, at, position)
        mem.put_le32(p, at + 8, size)
        mem.put_le32(p, at + 12, flags)

    def take_ready(self) -> bytes:
        """The ready entries since the last call, one slice at most."""
        entries = bytes(self.out[: self.count * 16])
        self.count = 0
        self.block = None
        return entries

    def blocks_chunk(self) -> bytes:
        """The blocks, by position: u64 position, u64 used octets each."""
        pairs = sorted((block.base, block.used) for block in self.blocks_seen)
        return b"".join(a.to_bytes(8, "little") + b.to_bytes(8, "little") for a, b in pairs)

    def places_chunk(self) -> bytes:
        """Where the octets of blocks are that were moved: u64 position, u64 place each."""
        moved = [block for block in self.blocks_seen if block.place != block.base]
        pairs = sorted((block.base, block.place) for block in moved)
        return b"".join(a.to_bytes(8, "little") + b.to_bytes(8, "little") for a, b in pairs)


class Restorer:
    """Puts a snapshot back: blocks first, then what was held, then the ready entries, then `finish`.

    Args:
        first: position where the log begins now; what stood before is settled and trimmed.
        last: position where it ends; no block reaches beyond it.
        is_exact: nothing happened after the snapshot, so flags are as they were; otherwise everything may have been
            delivered since.

    Attributes:
        missing: takes what the log's beginning no longer holds; whoever sets it asks what became of that.
    """

    def __init__(
        self,
        blocks: BlockTable,
        log: LogBuffer,
        queues: dict[int, QueueCore],
        first: int,
        is_exact: bool,
        last: int = POSITION_MAX,
    ) -> None:
        self.blocks = blocks
        self.log = log
        self.queues = queues
        self.first = first
        self.last = last
        self.flags = 0 if is_exact else layout.REDELIVERED
        self.places: dict[int, int] = {}
        self.bases: list[int] = []
        self.ends: list[int] = []
        self.found: list[Block] = []
        self.held: dict[int, deque[tuple[int, int, int]]] = {}
        self.at = 0
        self.end = 0
        self.entries = 0
        self.missing: Missing | None = None

    def add_places(self, data: bytearray) -> None:
        """Where moved blocks are; before `add_blocks`."""
        for at in range(0, len(data), 16):
            base = int.from_bytes(data[at : at + 8], "little")
            self.places[base] = int.from_bytes(data[at + 8 : at + 16], "little")

    def add_blocks(self, data: bytearray) -> None:
        """Make the blocks, without their bytes. What was trimmed of them was moved since, or nobody needs it.

        A moved block may reach over the base of another one: a start that read the log again cut it elsewhere, and has in the
        other block what was still there; of the moved one only what was trimmed is in use.
        """
        runs: list[tuple[int, int, int]] = []
        for at in range(0, len(data), 16):
            base = int.from_bytes(data[at : at + 8], "little")
            end = min(base + int.from_bytes(data[at + 8 : at + 16], "little"), self.last)
            if not 0 < end - base <= RUN_MAX:
                continue  # no broker wrote that; what is said to stand there is missing
            place = self.places.get(base, base)
            if place == base < self.first < end:
                # A start without this snapshot cut the log into other blocks, and trimmed up to one of them.
                base = place = self.first
            if place >= self.first:
                runs.append((base, end, place))
        for base, end, place in sorted(runs):
            block = self.blocks.adopt_absent(base, end - base)
            block.place = place
            last = len(self.ends) - 1
            if last >= 0 and self.ends[last] > base:
                self.ends[last] = base
            self.bases.append(base)
            self.ends.append(end)
            self.found.append(block)

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
        """One entry; entries of trimmed blocks were settled or moved since, or are missing."""
        at = self.at
        found = self.found
        if not found:
            self.miss(queue, position)
            return
        x = found[at]
        block = x
        if position < block.base or position >= self.end:
            at = bisect.bisect_right(self.bases, position) - 1
            if at < 0:
                self.miss(queue, position)
                return
            self.at = at
            self.end = self.ends[at]
            y = found[at]
            block = y
            if position >= self.end:
                self.miss(queue, position)
                return
        queue.index.push(block.id, position - block.base, size, flags | self.flags)
        block.refs += 1
        self.entries += 1

    def miss(self, queue: QueueCore, position: int) -> None:
        """An entry without its place."""
        if self.missing is not None:
            self.missing.add(queue.number, position)

    def finish(self) -> None:
        """What was held behind the last ready entry; then blocks that nobody names go."""
        for number, held in self.held.items():
            x = self.queues.get(number)
            if x is not None:
                queue = x
                while held:
                    position, size, flags = held.popleft()
                    self.push(queue, position, size, flags)
        self.log.history.extend(sorted(self.found, key=_place))
        for y in self.found:
            block = y
            self.blocks.release(block)


def _place(block: Block) -> int:
    return block.place
