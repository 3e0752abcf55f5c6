"""What the hot road asks of a publish before it takes it: is all of it there, and is it plain?

Everything that is not gets the cold road, where the rules and the errors stand. Kernel: compiled with ``scan.pxd``. AMQP 0-9-1
§4.2.6 (content).
"""

from __future__ import annotations

from posthouse.core import mem

BASIC_CLASS = 60 << 16
FRAME_END = 206
PROPS_MAX = 512
# headers, reply-to, expiration, user-id, and the continuation bit: what the broker itself must look at.
PROPS_CHECKED = 0x2000 | 0x0200 | 0x0100 | 0x0010 | 0x0003


def find_end(
    number: int, p: bytearray, header: int, size: int, frame_max: int, body_max: int
) -> int:
    """Where the content of channel ``number`` that starts with the header frame at ``p[header]`` ends.

    0 if it is not complete yet; -1 if anything about it is not plain (the cold road finds out what).
    """
    if size - header < 7:
        return 0
    n = mem.ld32(p, header + 3)
    if p[header] != 2 or mem.ld16(p, header + 1) != number or n < 14 or n > frame_max:
        return -1
    if size - header < n + 8:
        return 0
    if p[header + 7 + n] != FRAME_END or mem.ld32(p, header + 7) != BASIC_CLASS:
        return -1
    left = mem.ld64(p, header + 11)
    if left > body_max:
        return -1
    at = header + n + 8
    while left:
        if size - at < 7:
            return 0
        n = mem.ld32(p, at + 3)
        if p[at] != 3 or mem.ld16(p, at + 1) != number or n > left or n > frame_max:
            return -1
        if size - at < n + 8:
            return 0
        if p[at + 7 + n] != FRAME_END:
            return -1
        left -= n
        at += n + 8
    return at


class PropsCheck:
    """Whether properties are well formed and need nothing from the broker. Remembers the last good ones: mostly they repeat.

    Attributes:
        persistent: delivery mode 2, of the properties that were found good last.
    """

    def __init__(self) -> None:
        self.props = bytearray(PROPS_MAX)
        self.p = mem.address(self.props)
        self.size = -1
        self.persistent = False

    def is_plain(self, p: bytearray, at: int, size: int) -> bool:
        """Look at ``p[at:at+size]``, a content header from the property flags on."""
        if size == self.size and mem.equal(self.p, 0, p, at, size):
            return True
        flags = mem.ld16(p, at)
        if flags & PROPS_CHECKED or size > PROPS_MAX:
            return False
        end = at + size
        persistent = False
        o = at + 2
        bit = 0x8000
        while bit > 2:
            if flags & bit:
                if o >= end:
                    return False
                if bit == 0x1000:
                    persistent = p[o] == 2
                    o += 1
                elif bit == 0x0800:
                    o += 1
                elif bit == 0x0040:
                    o += 8
                else:
                    o += 1 + p[o]
            bit >>= 1
        if o != end:
            return False
        mem.copy(self.p, 0, p, at, size)
        self.size = size
        self.persistent = persistent
        return True
