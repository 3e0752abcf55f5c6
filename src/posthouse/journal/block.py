"""Blocks: the one place in memory where a message lives, and the append side of a log.

A `LogBuffer` lays frames (`docs/format/journal.md`) into `Block`s; queues keep 16-byte entries that
point into them, and the committer writes the same memory to disk. Everything but the sealed ranges, which are immutable
and may be read by the committer's thread, belongs to the loop thread. Nothing here does I/O: a `Pager` moves the bytes of
blocks out of memory and back where the table has a bound.

Kernel: compiled with ``block.pxd``. A message's record (frame kind ENQ), little-endian, 8-aligned::

    0 u32 size | 4 u8 kind=1 | 5 u8 flags | 6 u16 route_len | 8 u32 props_len | 12 u32 body_len
    16 u32 queue_count | 20 u32 reserved | 24 route | props | body | pad 4 | queue ids u32 ... | pad 8
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from posthouse.core import layout, mem
from posthouse.journal import entry

BLOCK_SIZE = 1 << 20
POOL_MAX = 256
# The newest blocks that could leave memory stay: what was just published is often delivered at once.
KEPT_MAX = 8
ENTRY_MAGIC = 0x31454850  # "PHE1"
# What a dropped block holds, so that whoever still names it does not keep its memory.
NOTHING = bytearray(0)


class Block:
    """A run of log bytes in memory.

    Attributes:
        id: number in its `BlockTable`; entries of queues name the block by it.
        base: log position of the first byte (0 in a transient log's position space is fine).
        data: the bytes; only ``data[:used]`` is meaningful.
        refs: how many hold the block: its log while it is appended to, each queue entry, each unacked
            delivery, each sealed range on its way to disk. At 0 the table drops it.
        pins: how many of these need the bytes in memory, whatever the bound: its log, sealed ranges, unsent output.
        is_durable: the bytes are, or will be before the last pin goes, in the log on disk.
        page: where the pager keeps the bytes of a block that is not durable; -1 if it does not.
        is_whole: the bytes are in memory and undamaged; otherwise ask `BlockTable.bring` before reading a record.
        is_out: the bytes are not in memory.
        place: log position where they are on disk: ``base``, or the entry that the cleaner copied what is live to.
        is_restored: entries that name it come from a snapshot, and are believed only where a record stands.
        is_watched: the cleaner wants to know what is settled (`Dispatcher.settled`).
        live: octets that a walk found needed.
    """

    def __init__(self, block_id: int, base: int, data: bytearray) -> None:
        self.id = block_id
        self.base = base
        self.data = data
        self.p = mem.address(data)
        self.used = 0
        self.capacity = len(data)
        self.refs = 1
        self.pins = 1
        self.is_durable = False
        self.page = -1
        self.is_whole = True
        self.is_out = False
        self.is_listed = False
        self.place = base
        self.is_restored = False
        self.is_watched = False
        self.live = 0


class Pager(Protocol):
    """Keeps bytes outside of memory (`posthouse.journal.local.pager`)."""

    def keep(self, data: memoryview) -> int:
        """Keep ``data``; returns the page's number, -1 if it cannot be done now."""

    def load(self, page: int, data: bytearray, size: int) -> bool:
        """Fill ``data[:size]`` from a page; False if it cannot be read."""

    def write(self, block: Block) -> int:
        """Keep the bytes of a block that is not durable; returns the page's number, -1 if it cannot be done now."""

    def read(self, block: Block, data: bytearray) -> int:
        """Fill ``data[:block.used]``. Returns 1; 0 if some entries are damaged and zeroed; -1 if nothing could be read."""

    def forget(self, page: int) -> None:
        """Nobody needs the page any more."""


class BlockTable:
    """All blocks of a node by id, with a small pool of free memory.

    Invariants: ``blocks[b.id] is b`` for every live block; ``bytes_live`` is the sum of the capacities of those in memory.

    Attributes:
        memory_max: the bound on ``bytes_live``, kept as far as blocks without pins go; 0 for none.
        block_size: octets of a block, but for one that a larger frame needs.
        cold: blocks without pins, the ones to leave memory first at the end: those of the deepest backlog are needed last.
    """

    def __init__(
        self, memory_max: int = 0, pager: Pager | None = None, block_size: int = 0
    ) -> None:
        self.blocks: list[Block] = []
        self.free_ids: list[int] = []
        self.pool: list[bytearray] = []
        self.pool_low = 0
        self.bytes_live = 0
        self.memory_max = memory_max
        self.block_size = block_size or BLOCK_SIZE
        self.pager = pager
        self.cold: list[Block] = []

    def new(self, base: int, size: int) -> Block:
        """A block of at least ``size`` bytes at log position ``base``, pinned for the caller."""
        if size <= self.block_size:
            if self.pool:
                data = self.pool.pop()
                if len(self.pool) < self.pool_low:
                    self.pool_low = len(self.pool)
            else:
                data = bytearray(self.block_size)
        else:
            data = bytearray(size)
        return self.adopt(base, data)

    def shrink(self) -> None:
        """Free what the pool did not need since the last call; the owner calls it once a second.

        Mapping a fresh block costs about as much as filling it, so a busy log keeps its own; an idle one keeps none.
        """
        del self.pool[: self.pool_low]
        self.pool_low = len(self.pool)

    def adopt(self, base: int, data: bytearray) -> Block:
        """Make ``data`` (recovered bytes, say) a block; ``used`` is 0 until the caller sets it."""
        if self.free_ids:
            block = Block(self.free_ids.pop(), base, data)
            self.blocks[block.id] = block
        else:
            block = Block(len(self.blocks), base, data)
            self.blocks.append(block)
        self.bytes_live += block.capacity
        return block

    def adopt_absent(self, base: int, used: int) -> Block:
        """A durable block whose ``used`` bytes are on disk only, with one reference and no pin."""
        block = self.adopt(base, NOTHING)
        block.used = used
        block.capacity = used
        block.pins = 0
        block.is_durable = True
        block.is_out = True
        block.is_whole = False
        block.is_restored = True
        return block

    def release(self, block: Block) -> None:
        """Give back one reference; the last one frees the memory."""
        block.refs -= 1
        if block.refs == 0:
            self.drop(block)

    def pin(self, block: Block) -> None:
        """Take a reference that needs the bytes in memory, which they are."""
        block.refs += 1
        block.pins += 1

    def unpin(self, block: Block) -> None:
        """Give back a reference with its pin."""
        block.pins -= 1
        block.refs -= 1
        if block.refs == 0:
            self.drop(block)
        elif block.pins == 0 and self.memory_max and not block.is_listed:
            block.is_listed = True
            self.cold.append(block)
            self.balance()

    def drop(self, block: Block) -> None:
        """Forget a block without references."""
        self.blocks[block.id] = None  # type: ignore[call-overload]  # nobody names it any more
        self.free_ids.append(block.id)
        if block.page >= 0:
            self.pager.forget(block.page)  # type: ignore[union-attr]  # it gave the page
        if not block.is_out:
            self.reuse(block)

    def reuse(self, block: Block) -> None:
        """Take the memory of a block whose bytes nobody needs here."""
        self.bytes_live -= block.capacity
        if block.capacity == self.block_size and len(self.pool) < POOL_MAX:
            self.pool.append(block.data)
        block.data = NOTHING

    # --- the bound on memory --------------------------------------------------------------------

    def balance(self) -> None:
        """Move bytes out of memory until the bound is kept, or nothing is left that may go."""
        cold = self.cold
        while self.bytes_live > self.memory_max and len(cold) > KEPT_MAX:
            block = cold.pop(len(cold) - 1 - KEPT_MAX)
            block.is_listed = False
            if block.refs > 0 and block.pins == 0 and not block.is_out and not self.move_out(block):
                # Its bytes have no other place now, a full disk for one: the memory alarm is the next bound.
                block.is_listed = True
                cold.append(block)
                break
        if len(cold) > 64 + 2 * (len(self.blocks) - len(self.free_ids)):
            self.cold = [block for block in cold if block.refs > 0]

    def move_out(self, block: Block) -> bool:
        """Free the memory of a block that can be read back."""
        if not block.is_durable and block.page < 0:
            block.page = self.pager.write(block)  # type: ignore[union-attr]  # there is one where there is a bound
            if block.page < 0:
                return False
        self.reuse(block)
        block.is_out = True
        block.is_whole = False
        return True

    def bring(self, block: Block, offset: int) -> bool:
        """Have the record at ``offset`` in memory; False if it is lost to damage."""
        if block.is_out and not self.move_in(block):
            return False
        # A place that a snapshot names is not believed before a record stands there.
        if not entry.record_fits(block.p, offset, block.used):
            return False
        return block.p[offset + 4] == layout.KIND_ENQ

    def bring_whole(self, block: Block) -> bool:
        """Have the block in memory, as far as it is undamaged; False if it cannot be read."""
        return not block.is_out or self.move_in(block)

    def move_in(self, block: Block) -> bool:
        """Read a block back; False if that is not possible."""
        self.balance()
        data = (
            self.pool.pop()
            if self.pool and block.capacity == self.block_size
            else bytearray(block.capacity)
        )
        outcome = self.pager.read(block, data)  # type: ignore[union-attr]  # as above
        if outcome < 0:
            return False
        block.data = data
        block.p = mem.address(data)
        block.is_out = False
        block.is_whole = outcome > 0 and not block.is_restored
        self.bytes_live += block.capacity
        if not block.is_listed:
            block.is_listed = True
            self.cold.insert(0, block)
        return True


class LogBuffer:
    """The append side of one log: frames go in, sealed entries come out.

    A *durable* buffer wraps what is appended between two `seal` calls in entries (header of
    `ENTRY_HEADER_SIZE` bytes, frames). Frames never span blocks, and all frames of one `reserve` lie in one
    entry, so a reservation for a whole transaction is atomic on disk. A transient buffer has no entries.

    Attributes:
        position: log position behind the last appended byte.
        epoch: written into entry headers; set by `begin`.
        history: the blocks of a durable log by place, until nobody holds them any more.
    """

    def __init__(self, table: BlockTable, durable: bool) -> None:
        self.table = table
        self.durable = durable
        self.current: Block | None = None
        self.position = 0
        self.epoch = 0
        self.entry_start = -1
        self.entry_frames = 0
        self.sealed: list[tuple[Block, int, int]] = []
        self.history: deque[Block] = deque()

    def oldest_live(self) -> int:
        """The position from which on the log is still needed: the oldest block that somebody holds."""
        history = self.history
        while history:
            block = history[0]
            if block.refs > 0:
                return block.place
            history.popleft()
        return self.position

    def relocate(self, block: Block, place: int) -> None:
        """The bytes of a block are at ``place`` now, durably."""
        history = self.history
        history.remove(block)
        block.place = place
        i = len(history)
        while i > 0 and history[i - 1].place > place:
            i -= 1
        history.insert(i, block)

    def append_alone(self, frame: bytes) -> int:
        """Append a frame in an entry of its own; returns the entry's position."""
        self.close_entry()
        position = self.append(frame) - layout.ENTRY_HEADER_SIZE
        self.close_entry()
        return position

    def begin(self, position: int, epoch: int) -> None:
        """Continue a log at ``position`` with ``epoch``; nothing may have been appended yet."""
        assert self.current is None
        self.position = position
        self.epoch = epoch

    def has_pending(self) -> bool:
        """Whether anything was appended since the last `seal`."""
        return self.entry_frames > 0 or len(self.sealed) > 0

    def reserve(self, size: int) -> Block:
        """The current block, with room for ``size`` bytes of frames at ``block.used``.

        ``size`` is a multiple of 8. A durable buffer opens an entry if none is open.
        """
        block = self.current
        need = size
        if self.entry_start < 0:
            need = size + layout.ENTRY_HEADER_SIZE
        if block is None or block.used + need > block.capacity:
            self.turn(size + layout.ENTRY_HEADER_SIZE)
            block = self.current
        assert block is not None
        if self.durable and self.entry_start < 0:
            self.entry_start = block.used
            block.used += layout.ENTRY_HEADER_SIZE
            self.position += layout.ENTRY_HEADER_SIZE
        return block

    def ensure(self, size: int) -> None:
        """Have the next frames, up to ``size`` bytes in all, lie in one entry: a transaction."""
        self.reserve((size + 7) & ~7)

    def turn(self, size: int) -> None:
        """Close the open entry and go on in a fresh block with room for ``size`` bytes."""
        self.close_entry()
        # Given up before a new one is there: without memory for that, nothing may be laid in it any more.
        self.rotate()
        self.current = self.table.new(self.position, size)
        if self.durable:
            self.current.is_durable = True
            self.history.append(self.current)

    def rotate(self) -> None:
        """Have what is appended next lie in a block of its own; nothing may be open."""
        assert self.entry_start < 0
        block = self.current
        if block is not None:
            self.current = None
            self.table.unpin(block)

    def advance(self, size: int) -> None:
        """Account for one frame of ``size`` bytes laid at ``current.used``."""
        block = self.current
        assert block is not None
        block.used += size
        self.position += size
        self.entry_frames += 1

    def close_entry(self) -> None:
        """Fill the open entry's header (all but the crc, which the committer computes)."""
        if self.entry_start < 0:
            return
        block = self.current
        assert block is not None
        start = self.entry_start
        p = block.p
        mem.put_le32(p, start, ENTRY_MAGIC)
        mem.put_le32(p, start + 4, 1)
        mem.put_le64(p, start + 8, self.epoch)
        mem.put_le64(p, start + 16, block.base + start)
        mem.put_le32(p, start + 24, block.used - start - layout.ENTRY_HEADER_SIZE)
        mem.put_le32(p, start + 28, self.entry_frames)
        mem.put_le64(p, start + 32, 0)
        self.table.pin(block)
        self.sealed.append((block, start, block.used))
        self.entry_start = -1
        self.entry_frames = 0

    def seal(self) -> list[tuple[Block, int, int]]:
        """Close the open entry and return all ranges sealed since the last call.

        Each range ``(block, start, end)`` is one entry and carries a reference to its block: the receiver gives
        it back with `BlockTable.unpin` on the loop thread, once the range is durable or given up.
        """
        self.close_entry()
        ranges = self.sealed
        self.sealed = []
        return ranges

    def append(self, frame: bytes) -> int:
        """Append one complete frame (size field and all, a multiple of 8 bytes); returns its position."""
        size = len(frame)
        assert size % 8 == 0
        p = frame
        block = self.reserve(size)
        mem.copy(block.p, block.used, p, 0, size)
        position = self.position
        self.advance(size)
        return position

    def append_message(
        self, flags: int, route: bytes, props: bytes, body: bytes, queues: bytes
    ) -> int:
        """Append a message record built from whole parts; returns its offset in `current`.

        ``queues`` is the durable queues' ids, u32 little-endian each (empty in a transient log). The cold
        road: kernels lay the body themselves behind `open_record`.
        """
        r = route
        c = props
        b = body
        q = queues
        offset = self.open_record(
            flags, r, 0, len(route), c, 0, len(props), len(body), q, len(queues)
        )
        block = self.current
        assert block is not None
        mem.copy(
            block.p, offset + layout.RECORD_HEADER_SIZE + len(route) + len(props), b, 0, len(body)
        )
        return offset

    def open_record(
        self,
        flags: int,
        route: bytes | bytearray,
        route_at: int,
        route_len: int,
        props: bytes | bytearray,
        props_at: int,
        props_len: int,
        body_len: int,
        queues: bytes,
        queues_len: int,
    ) -> int:
        """Lay a message record but for its body; returns its offset in `current`.

        The caller copies ``body_len`` bytes to ``offset + 24 + route_len + props_len`` before anything else is
        appended. The record is accounted for (position, entry) when this returns.
        """
        tail = layout.RECORD_HEADER_SIZE + route_len + props_len + body_len
        ids_at = (tail + 3) & ~3
        size = (ids_at + queues_len + 7) & ~7
        block = self.reserve(size)
        p = block.p
        offset = block.used
        mem.put_le32(p, offset, size)
        mem.put_le32(p, offset + 4, layout.KIND_ENQ | (flags << 8) | (route_len << 16))
        mem.put_le32(p, offset + 8, props_len)
        mem.put_le32(p, offset + 12, body_len)
        mem.put_le64(p, offset + 16, queues_len >> 2)
        mem.copy(p, offset + layout.RECORD_HEADER_SIZE, route, route_at, route_len)
        mem.copy(p, offset + layout.RECORD_HEADER_SIZE + route_len, props, props_at, props_len)
        if queues_len:
            mem.copy(p, offset + ids_at, queues, 0, queues_len)
        self.advance(size)
        return offset
