"""The index of a queue: which records are ready, in which order, in 16 bytes each.

An entry is four words: block id, offset of the record in the block, size of the record, flags. Entries not yet
delivered stand in a ring in publish order; the entry with sequence number ``s`` is at slot ``s & mask``.
Entries that were delivered and came back stand in a second, sorted array with their sequence numbers: every one of them is
older than the ring's head, so "lowest sequence first" is the original order (RabbitMQ: a requeued message goes
back to its original position).

A ring has at most ``ring_max`` slots. A deeper queue has several: the head ring that is popped from, full ones between, and the tail
ring that is pushed to; each covers ``ring_max`` consecutive sequence numbers. Where there is a pager, all but the first of
those between leave memory: a queue may be as deep as the disk.

Kernel: compiled with ``index.pxd``. It knows nothing of blocks but their numbers; whoever pushes an
entry holds a reference to its block for it.
"""

from __future__ import annotations

from collections import deque

from posthouse.core import mem
from posthouse.journal.block import Pager

RING_MIN = 16
RING_MAX = 65536
# So many full rings stay in memory between head and tail.
RINGS_KEPT = 2
# Typed constants: literals in an expression would make Cython compute with objects.
LOW_WORD = 0xFFFFFFFF
NEVER = 0xFFFFFFFFFFFFFFFF


class QueueIndex:
    """Ready entries of one queue.

    Invariants: ``head <= tail``; sequence numbers in `returned` rise strictly and are below ``head``. Shallow: one ring,
    ``lw is w``, ``top == NEVER``. Deep: the head ring holds ``head`` to ``top - 1``, each ring of ``between`` the next ``ring_max``,
    the tail ring the rest, up to ``limit - 1``.

    Attributes:
        entries_lost: entries in pages that could not be read back; their messages come with the next start.

    `pop` leaves the entry taken in the fields ``block``, ``offset``, ``size``, ``flags`` and ``sequence``.
    """

    def __init__(self, pages: Pager | None = None, ring_max: int = RING_MAX) -> None:
        self.pages = pages
        self.ring_max = ring_max
        self.ring = bytearray(RING_MIN * 16)
        self.w = mem.words(self.ring)
        self.mask = RING_MIN - 1
        self.last = self.ring
        self.lw = self.w
        self.lmask = self.mask
        self.between: deque[bytearray | int] = deque()
        self.top = NEVER
        self.head = 0
        self.tail = 0
        self.limit = RING_MIN
        self.cw = self.w
        self.copy = self.ring
        self.copy_of = -1
        self.returned = bytearray(0)
        self.r = mem.words(self.returned)
        self.rb = mem.address(self.returned)
        self.r_start = 0
        self.r_end = 0
        self.bytes_ready = 0
        self.entries_lost = 0
        self.block = 0
        self.offset = 0
        self.size = 0
        self.flags = 0
        self.sequence = 0

    def ready(self) -> int:
        """How many entries are ready."""
        return self.tail - self.head + self.r_end - self.r_start

    def push(self, block: int, offset: int, size: int, flags: int) -> None:
        """Append an entry at the tail."""
        if self.tail >= self.limit:
            self.extend()
        w = self.lw
        i = (self.tail & self.lmask) * 4
        w[i] = block
        w[i + 1] = offset
        w[i + 2] = size
        w[i + 3] = flags
        self.tail += 1
        self.bytes_ready += size

    def extend(self) -> None:
        """Make a slot at the tail: where entries left, in a larger ring, or in one more."""
        if self.top == NEVER:
            if self.tail - self.head > self.mask:
                if self.mask + 1 < self.ring_max:
                    self.resize((self.mask + 1) * 2)
                    return
                self.top = self.tail
            else:
                self.limit = self.head + self.mask + 1
                return
        else:
            self.set_between(self.last)
        self.last = bytearray(self.ring_max * 16)
        self.lw = mem.words(self.last)
        self.lmask = self.ring_max - 1
        self.limit = self.tail + self.ring_max

    def set_between(self, ring: bytearray) -> None:
        """Put a full ring behind the others, out of memory if it is not needed soon."""
        page = -1
        if self.pages is not None and len(self.between) >= RINGS_KEPT:
            page = self.pages.keep(memoryview(ring))
        if page < 0:
            self.between.append(ring)
        else:
            self.between.append(page)

    def next_ring(self) -> None:
        """The head ring is empty, and there is another one."""
        if self.between:
            ring = self.fetched(self.between.popleft())
            if ring is None:
                self.head += self.ring_max
                self.top += self.ring_max
                self.entries_lost += self.ring_max
                if self.head < self.tail:
                    self.next_ring()
                return
            self.ring = ring
            self.w = mem.words(ring)
            self.top += self.ring_max
        else:
            self.ring = self.last
            self.w = self.lw
            self.limit = self.top + self.ring_max
            self.top = NEVER

    def fetched(self, ring: bytearray | int) -> bytearray | None:
        """A ring from between, back in memory; None if it is lost."""
        if isinstance(ring, bytearray):
            return ring
        assert self.pages is not None
        data = bytearray(self.ring_max * 16)
        is_good = self.pages.load(ring, data, self.ring_max * 16)
        if ring == self.copy_of:
            self.copy = self.ring
            self.copy_of = -1
        self.pages.forget(ring)
        return data if is_good else None

    def seek(self, sequence: int, is_peek: bool) -> int:
        """Point ``cw`` at the ring that holds ``sequence``; returns the entry's first word there.

        With ``is_peek`` a ring that is out of memory stays out: what ``cw`` points at is a copy, for reading.
        """
        if sequence < self.top:
            self.cw = self.w
            return (sequence & self.mask) * 4
        n = (sequence - self.top) // self.ring_max
        if n >= len(self.between):
            self.cw = self.lw
        else:
            found = self.between[n]
            if is_peek and not isinstance(found, bytearray):
                if found != self.copy_of:
                    self.copy = bytearray(self.ring_max * 16)
                    self.copy_of = -1
                    if self.pages is None or not self.pages.load(
                        found, self.copy, self.ring_max * 16
                    ):
                        raise OSError(f"page {found} of a queue's index cannot be read")
                    self.copy_of = found
                self.cw = mem.words(self.copy)
            else:
                ring = self.fetched(found)
                if ring is None:
                    raise OSError("a page of a queue's index cannot be read")
                self.between[n] = ring
                self.cw = mem.words(ring)
        return (sequence & (self.ring_max - 1)) * 4

    def resize(self, slots: int) -> None:
        """Move the only ring into one of ``slots`` slots, a power of two."""
        old = self.w
        old_mask = self.mask
        ring = bytearray(slots * 16)
        w = mem.words(ring)
        mask = slots - 1
        s = self.head
        while s < self.tail:
            i = (s & old_mask) * 4
            j = (s & mask) * 4
            w[j] = old[i]
            w[j + 1] = old[i + 1]
            w[j + 2] = old[i + 2]
            w[j + 3] = old[i + 3]
            s += 1
        self.w = w
        self.ring = ring
        self.mask = mask
        self.lw = w
        self.last = ring
        self.lmask = mask
        self.limit = self.head + slots

    def pop(self) -> bool:
        """Take the oldest ready entry into the cursor fields; False when there is none."""
        if self.r_end > self.r_start:
            r = self.r
            i = self.r_start * 6
            self.sequence = r[i] | (_wide(r[i + 1]) << 32)
            self.block = r[i + 2]
            self.offset = r[i + 3]
            self.size = r[i + 4]
            self.flags = r[i + 5]
            self.r_start += 1
            if self.r_start == self.r_end:
                self.r_start = 0
                self.r_end = 0
        elif self.tail > self.head:
            if self.head == self.top:
                self.next_ring()
                if self.head == self.tail:
                    return False
            w = self.w
            i = (self.head & self.mask) * 4
            self.sequence = self.head
            self.block = w[i]
            self.offset = w[i + 1]
            self.size = w[i + 2]
            self.flags = w[i + 3]
            self.head += 1
            if self.head == self.tail and self.mask >= self.ring_max - 1:
                self.resize(RING_MIN)
        else:
            return False
        self.bytes_ready -= self.size
        return True

    def give_back(self, sequence: int, block: int, offset: int, size: int, flags: int) -> None:
        """Put a popped entry back to its position. O(1) at either end of the returned ones, O(n) between."""
        if self.r_end * 24 == len(self.returned):
            self.make_room()
        r = self.r
        at = self.r_end
        while at > self.r_start:
            i = (at - 1) * 6
            if (r[i] | (_wide(r[i + 1]) << 32)) < sequence:
                break
            at -= 1
        if at == self.r_start and at > 0:
            self.r_start -= 1
            at -= 1
        else:
            mem.copy(self.rb, (at + 1) * 24, self.rb, at * 24, (self.r_end - at) * 24)
            self.r_end += 1
        i = at * 6
        r[i] = sequence & LOW_WORD
        r[i + 1] = sequence >> 32
        r[i + 2] = block
        r[i + 3] = offset
        r[i + 4] = size
        r[i + 5] = flags
        self.bytes_ready += size

    def make_room(self) -> None:
        """Grow the returned array, leaving free slots at both ends: entries come back to either."""
        count = self.r_end - self.r_start
        slots = count * 2 + 16
        fresh = bytearray(slots * 24)
        start = (slots - count) // 2
        target = mem.address(fresh)
        source = mem.address(self.returned)
        mem.copy(target, start * 24, source, self.r_start * 24, count * 24)
        self.returned = fresh
        self.r = mem.words(fresh)
        self.rb = target
        self.r_start = start
        self.r_end = start + count

    def entries(self) -> list[tuple[int, int, int, int, int]]:
        """All ready entries in order as (sequence, block, offset, size, flags): for recovery and tests."""
        found = []
        r = self.r
        for k in range(self.r_start, self.r_end):
            i = k * 6
            found.append((r[i] | (_wide(r[i + 1]) << 32), r[i + 2], r[i + 3], r[i + 4], r[i + 5]))
        s = self.head
        while s < self.tail:
            i = self.seek(s, True)
            w = self.cw
            found.append((s, w[i], w[i + 1], w[i + 2], w[i + 3]))
            s += 1
        return found


def _wide(word: int) -> int:
    """A word as a 64-bit number, so that shifting it does not lose bits when compiled."""
    return word
