"""The loop of a simulation: one event at a time, each at its own virtual time, all of them in the trace."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Callable

from posthouse.testing.clock import VirtualClock
from posthouse.testing.loop import VirtualLoop


class SimulatedLoop(VirtualLoop):
    """See `posthouse.testing.loop.VirtualLoop`.

    Attributes:
        events: how many were carried out.
        trace_hash: of everything that was noted, times included: two runs of a seed have the same.
        on_note: called with each line of the trace; None for speed.
    """

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.events = 0
        self.trace_hash = 0
        self.on_note: Callable[[str], object] | None = None

    @property
    def now(self) -> float:
        """Virtual seconds."""
        return self.clock.monotonic_s()

    def step(self) -> bool:
        """Carry out the next event; False if nothing is planned."""
        while self._timers:
            timer = heapq.heappop(self._timers)
            if timer.callback is None:
                continue
            if timer.due_s > self.now:
                self.clock.advance(timer.due_s - self.now)
            self.events += 1
            timer.callback()
            return True
        return False

    def forget_all(self) -> None:
        """The process died: nothing of what it planned happens."""
        self._timers.clear()

    def note(self, what: str, data: bytes = b"") -> None:
        """Put something into the trace."""
        self.trace_hash = zlib.crc32(
            data, zlib.crc32(f"{self.now:.9f} {what}".encode(), self.trace_hash)
        )
        if self.on_note is not None:
            self.on_note(f"{self.now:12.6f}  {what}" + (f" ({len(data)} octets)" if data else ""))
