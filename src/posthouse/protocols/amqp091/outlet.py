"""The output of a connection: one buffer, barriers in it, and large bodies that are sent from their blocks.

The owner of the socket sends `Outlet.views` and reports with `Outlet.sent`. Bytes behind a *barrier* leave only when the commit
it names is done. Contents are written here, as header and body frames (AMQP 0-9-1 §4.2.6). Kernel: compiled with ``outlet.pxd``.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from posthouse.broker.dispatch import Dispatcher
from posthouse.core import mem
from posthouse.journal.block import Block

BASIC_CLASS = 60 << 16
FRAME_END = 206
OUT_MIN = 1024
OUT_KEEP = 65536
# Bodies (parts of them in one frame) from this size on are sent from their block; below it a copy is cheaper than one
# more piece of an iovec.
EXTENT_MIN = 16384
# Linux takes at most 1,024 pieces in one call.
PIECES_MAX = 512


class Outlet:
    """What waits to be sent: ``out[oo:on]``, with extents at places within it.

    Attributes:
        body_max: largest payload of a body frame sent.
        out_high: deliveries stop when more than this waits.
        throttled: deliveries stopped; `sent` calls `on_low` below half of the mark.
        transport_bytes: octets that wait outside this buffer: in extents, or in a transport behind it (TLS).
        extents: parts of bodies that are sent from their blocks, in order of their place in the output.
        sent_total: octets of the buffer that went before ``out[0]``.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self.out = bytearray(OUT_MIN)
        self.o = mem.address(self.out)
        self.out_cap = OUT_MIN
        self.on = 0
        self.oo = 0
        self.out_high = 1 << 20
        self.body_max = 131064
        self.transport_bytes = 0
        self.barriers: deque[tuple[int, int]] = deque()
        # [position in the output, block, start, stop]: Any, since a list's items have one type
        self.extents: deque[list[Any]] = deque()
        self.sent_total = 0
        self.throttled = False
        self.is_touched = False

    def room(self, size: int) -> None:
        """Make room for ``size`` bytes at ``out[on]``."""
        if self.on + size <= self.out_cap:
            return
        pending = self.on - self.oo
        if self.oo and pending + size <= self.out_cap:
            mem.copy(self.o, 0, self.o, self.oo, pending)
        else:
            cap = self.out_cap
            while cap < pending + size:
                cap = cap * 2
            fresh = bytearray(cap)
            q = mem.address(fresh)
            mem.copy(q, 0, self.o, self.oo, pending)
            self.out = fresh
            self.o = q
            self.out_cap = cap
        self.sent_total += self.oo
        self.oo = 0
        self.on = pending

    def put(self, data: bytes) -> None:
        """Append ``data`` to the output."""
        n = len(data)
        p = data
        self.room(n)
        mem.copy(self.o, self.on, p, 0, n)
        self.on += n
        self.touch()

    def touch(self) -> None:
        """Have the owner flush this connection at the end of the batch."""
        if not self.is_touched:
            self.is_touched = True
            self.dispatcher.touched.append(self)

    def barrier(self) -> None:
        """Hold back what is written from here on until the last change that was noted is durable."""
        self.dispatcher.waiters[self] = None
        self.barriers.append((self.dispatcher.changed, self.sent_total + self.on))

    def take_back(self) -> None:
        """The commit that output waits for will not be done: what stands behind the first barrier is not sent."""
        if self.barriers:
            end = self.barriers[0][1]
            self.barriers.clear()
            while self.extents:
                extent = self.extents.pop()
                if extent[0] < end:
                    self.extents.append(extent)
                    break
                self.transport_bytes -= extent[3] - extent[2]
                self.dispatcher.blocks.unpin(extent[1])
            self.on = end - self.sent_total

    def sendable(self) -> int:
        """End of the bytes in `out` that may be sent now."""
        if self.barriers:
            return self.barriers[0][1] - self.sent_total
        return self.on

    def sent(self, size: int) -> None:
        """``size`` octets of `views` are gone; go on delivering when the output is low again."""
        if self.extents:
            size = self.sent_extents(size)
        self.oo += size
        if self.oo == self.on:
            self.sent_total += self.oo
            self.oo = 0
            self.on = 0
        if self.throttled and self.on - self.oo + self.transport_bytes < self.out_high // 2:
            self.throttled = False
            self.on_low()

    def on_low(self) -> None:
        """The output is low again; the connection goes on delivering."""
        raise AssertionError("on_low is overridden by the connection")

    def shrink_output(self) -> None:
        """Give a large empty buffer back; the owner calls it when the connection was idle for a while."""
        if self.out_cap > OUT_KEEP and self.on == 0:
            self.out = bytearray(OUT_MIN)
            self.o = mem.address(self.out)
            self.out_cap = OUT_MIN

    def discard_output(self) -> None:
        """The connection is gone: give the blocks of unsent extents back."""
        while self.extents:
            self.dispatcher.blocks.unpin(self.extents.popleft()[1])

    def content_room(self, props_len: int, left: int) -> int:
        """Octets of the output buffer that a content of ``left`` octets takes, at most."""
        size = 20 + props_len + (left // self.body_max + 1) * 8
        if left < EXTENT_MIN or self.body_max < EXTENT_MIN:
            return size + left
        return size + EXTENT_MIN

    def put_content(
        self, number: int, block: Block, at_props: int, props_len: int, left: int
    ) -> None:
        """Write header and body frames; there is room.

        ``block`` has the properties at ``at_props``, then ``left`` octets of body; large parts become extents.
        """
        r = block.p
        o = self.o
        at = self.on
        o[at] = 2
        mem.st16(o, at + 1, number)
        mem.st32(o, at + 3, 12 + props_len)
        mem.st32(o, at + 7, BASIC_CLASS)
        mem.st64(o, at + 11, left)
        mem.copy(o, at + 19, r, at_props, props_len)
        at += 19 + props_len
        o[at] = FRAME_END
        at += 1
        source = at_props + props_len
        while left:
            part = left
            if part > self.body_max:
                part = self.body_max
            o[at] = 3
            mem.st16(o, at + 1, number)
            mem.st32(o, at + 3, part)
            at += 7
            if part < EXTENT_MIN:
                mem.copy(o, at, r, source, part)
                at += part
            else:
                self.add_extent(at, block, source, part)
            o[at] = FRAME_END
            at += 1
            source += part
            left -= part
        self.on = at

    def put_message(self, number: int, method: bytes, block_id: int, offset: int) -> None:
        """Write a complete method frame followed by the content of a record (``get-ok``, for one)."""
        x = self.dispatcher.blocks.blocks[block_id]
        block = x
        r = block.p
        left = mem.le32(r, offset + 12)
        props_len = mem.le32(r, offset + 8)
        self.put(method)
        self.room(self.content_room(props_len, left))
        self.put_content(number, block, offset + 24 + mem.le16(r, offset + 6), props_len, left)

    # --- extents --------------------------------------------------------------------------------

    def add_extent(self, at: int, block: Block, start: int, size: int) -> None:
        """Send ``size`` octets of ``block`` between ``out[:at]`` and ``out[at:]``, without copying them."""
        block.refs += 1
        block.pins += 1
        self.extents.append([self.sent_total + at, block, start, start + size])
        self.transport_bytes += size

    def views(self) -> list[memoryview]:
        """What may be sent now, in order: pieces of the output buffer and of blocks, some `PIECES_MAX` at most.

        Let go of them before anything else.
        """
        end = self.sendable()
        whole = memoryview(self.out)
        at = self.oo
        pieces: list[memoryview] = []
        for position, block, start, stop in self.extents:
            offset = position - self.sent_total
            if offset >= end:
                break
            if len(pieces) >= PIECES_MAX:
                return pieces
            if offset > at:
                pieces.append(whole[at:offset])
            pieces.append(memoryview(block.data)[start:stop])
            at = offset
        if end > at:
            pieces.append(whole[at:end])
        return pieces

    def sent_extents(self, size: int) -> int:
        """Account for ``size`` sent octets while there are extents; returns how many are left to account for."""
        extents = self.extents
        while size and extents:
            extent = extents[0]
            gap = extent[0] - self.sent_total - self.oo
            if gap:
                taken = min(gap, size)
                self.oo += taken
            else:
                taken = min(extent[3] - extent[2], size)
                extent[2] += taken
                self.transport_bytes -= taken
                if extent[2] == extent[3]:
                    extents.popleft()
                    self.dispatcher.blocks.unpin(extent[1])
            size -= taken
        return size
