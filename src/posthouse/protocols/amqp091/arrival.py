"""A large message that is laid into its block while it arrives.

Small messages are parsed when they are complete. A large one would be copied out of the shared receive buffer and back with every
receive, so its record is opened at once, and the rest of a body frame is received straight into it (ADR 0010). Kernel: compiled
with ``arrival.pxd``; who may have one, and what happens at its end, is the engine's business.
"""

from __future__ import annotations

from posthouse.core import mem
from posthouse.journal.block import Block


class Arrival:
    """One message on its way.

    Attributes:
        number: its channel; -1 when the channel is gone and only the rest of a frame is waited for.
        block, offset: its record, complete but for the body.
        is_persistent: it was published as persistent.
        left: octets of the body that are in no frame yet.
        frame_size: payload of the frame that is being received.
        gap: octets of that frame that are still missing.
        in_frame: a body frame was begun, and its end octet was not seen.
    """

    def __init__(
        self, number: int, block: Block, offset: int, at: int, left: int, is_persistent: bool
    ) -> None:
        self.number = number
        self.block = block
        self.offset = offset
        self.at = at
        self.left = left
        self.is_persistent = is_persistent
        self.frame_size = 0
        self.gap = 0
        self.in_frame = False
        block.refs += 1
        block.pins += 1

    def begin_frame(self, size: int) -> None:
        """A body frame of ``size`` octets, at most `left`, comes next."""
        self.frame_size = size
        self.gap = size
        self.left -= size
        self.in_frame = True

    def fill(self, p: bytearray, at: int, size: int) -> int:
        """Take what ``p[at:size]`` has for the frame; returns how many octets that was."""
        n = size - at
        if n > self.gap:
            n = self.gap
        mem.copy(self.block.p, self.at, p, at, n)
        self.filled(n)
        return n

    def filled(self, size: int) -> None:
        """``size`` octets were written to `view`."""
        self.at += size
        self.gap -= size

    def view(self) -> memoryview:
        """Where the rest of the frame belongs. Let go of it before anything else."""
        return memoryview(self.block.data)[self.at : self.at + self.gap]

    def frame(self) -> bytes:
        """The payload of the frame, when all of it is there."""
        return mem.take(self.block.p, self.at - self.frame_size, self.frame_size)
