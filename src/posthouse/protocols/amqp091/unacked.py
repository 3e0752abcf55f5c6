"""Deliveries of one channel that are not settled yet, by delivery tag.

A ring of 40-byte slots in order of tag: u64 tag, u32 block, u32 offset, u32 size, u32 flags, u64 sequence,
u32 subscriber, u32 outstanding (0 or 1). Tags rise but need not be adjacent: deliveries without
acknowledgement use tags too and take no slot. Looking a tag up is O(1) where tags are adjacent and O(log n) otherwise.

Kernel: compiled with ``unacked.pxd``.
"""

from __future__ import annotations

from posthouse.core import layout, mem

SLOT = layout.UNACKED_SLOT
SLOTS_MIN = 16


class Unacked:
    """The outstanding deliveries.

    Invariants: slots ``first`` to ``last - 1`` have rising tags; slot ``first`` is outstanding or the ring is empty;
    ``count`` is the number of outstanding slots.
    """

    def __init__(self) -> None:
        self.ring = bytearray(0)
        self.p = mem.address(self.ring)
        self.mask = -1
        self.first = 0
        self.last = 0
        self.count = 0

    def add(
        self,
        tag: int,
        block: int,
        offset: int,
        size: int,
        flags: int,
        sequence: int,
        subscriber: int,
    ) -> None:
        """Note a delivery; ``tag`` is above all earlier ones."""
        if self.last - self.first == self.mask + 1:
            self.make_room()
        p = self.p
        at = (self.last & self.mask) * SLOT
        mem.put_le64(p, at, tag)
        mem.put_le32(p, at + 8, block)
        mem.put_le32(p, at + 12, offset)
        mem.put_le32(p, at + 16, size)
        mem.put_le32(p, at + 20, flags)
        mem.put_le64(p, at + 24, sequence)
        mem.put_le32(p, at + 32, subscriber)
        mem.put_le32(p, at + 36, 1)
        self.last += 1
        self.count += 1

    def make_room(self) -> None:
        """Drop settled slots from the middle; double the ring if most are outstanding."""
        span = self.last - self.first
        slots = self.mask + 1
        if slots == 0:
            slots = SLOTS_MIN
        elif self.count * 2 > span:
            slots = slots * 2
        fresh = bytearray(slots * SLOT)
        q = mem.address(fresh)
        p = self.p
        n = 0
        i = self.first
        while i < self.last:
            at = (i & self.mask) * SLOT
            if mem.le32(p, at + 36):
                mem.copy(q, n * SLOT, p, at, SLOT)
                n += 1
            i += 1
        self.ring = fresh
        self.p = q
        self.mask = slots - 1
        self.first = 0
        self.last = n

    def find(self, tag: int) -> int:
        """The offset in bytes of the outstanding slot of ``tag``, or -1."""
        if self.first == self.last:
            return -1
        p = self.p
        low = self.first
        high = self.last - 1
        lowest = mem.le64(p, (low & self.mask) * SLOT)
        if tag < lowest:
            return -1
        distance = tag - lowest
        if distance < high - low:
            high = low + distance
        if mem.le64(p, (high & self.mask) * SLOT) == tag:
            low = high
        while low < high:
            middle = (low + high) // 2
            if mem.le64(p, (middle & self.mask) * SLOT) < tag:
                low = middle + 1
            else:
                high = middle
        at = (low & self.mask) * SLOT
        if mem.le64(p, at) == tag and mem.le32(p, at + 36):
            return at
        return -1

    def clear(self, at: int) -> None:
        """Settle the slot at byte offset ``at``; the ring's front moves on over settled slots."""
        p = self.p
        mem.put_le32(p, at + 36, 0)
        self.count -= 1
        self.skip_settled()

    def skip_settled(self) -> None:
        """Restore the invariant that the first slot is outstanding."""
        p = self.p
        while self.first < self.last and not mem.le32(p, (self.first & self.mask) * SLOT + 36):
            self.first += 1
        if self.first == self.last and self.mask >= 65536:
            self.ring = bytearray(0)
            self.p = mem.address(self.ring)
            self.mask = -1
            self.first = 0
            self.last = 0

    def front(self) -> int:
        """The byte offset of the oldest outstanding slot, or -1."""
        if self.first == self.last:
            return -1
        return (self.first & self.mask) * SLOT

    def tags(self) -> list[int]:
        """The outstanding tags, rising."""
        p = self.p
        found = []
        i = self.first
        while i < self.last:
            at = (i & self.mask) * SLOT
            if mem.le32(p, at + 36):
                found.append(mem.le64(p, at))
            i += 1
        return found
