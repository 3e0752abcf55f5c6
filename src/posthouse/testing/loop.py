"""An event loop that runs when it is told to, on a virtual clock: what is due is done in order of its time, then of its arrival."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from posthouse.testing.clock import VirtualClock

Callback = Callable[[], object]


class Timer:
    """A callback that is due later."""

    __slots__ = ("callback", "due_s", "number")

    def __init__(self, due_s: float, number: int, callback: Callback) -> None:
        self.due_s = due_s
        self.number = number
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """Forget it."""
        self.callback = None

    def __lt__(self, other: Timer) -> bool:
        return (self.due_s, self.number) < (other.due_s, other.number)


class VirtualLoop:
    """See `posthouse.server.surroundings.Loop`. Nothing runs but within `run` and `advance`; time passes only in `advance`."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self._timers: list[Timer] = []
        self._count = 0

    def call_soon(self, callback: Callback) -> Timer:
        """Run it at the next opportunity."""
        return self.call_later(0.0, callback)

    def call_soon_threadsafe(self, callback: Callback) -> Timer:
        """There are no other threads."""
        return self.call_later(0.0, callback)

    def call_later(self, delay: float, callback: Callback) -> Timer:
        """Run it ``delay`` seconds from now."""
        timer = Timer(self.clock.monotonic_s() + delay, self._count, callback)
        self._count += 1
        heapq.heappush(self._timers, timer)
        return timer

    def run(self) -> None:
        """Run what is due, and what becomes due at this time meanwhile."""
        while self._timers and self._timers[0].due_s <= self.clock.monotonic_s():
            callback = heapq.heappop(self._timers).callback
            if callback is not None:
                callback()

    def advance(self, seconds: float) -> None:
        """Let time pass, running what becomes due on the way at its own time."""
        end = self.clock.monotonic_s() + seconds
        self.run()
        while self._timers and self._timers[0].due_s <= end:
            self.clock.advance(self._timers[0].due_s - self.clock.monotonic_s())
            self.run()
        if end > self.clock.monotonic_s():
            self.clock.advance(end - self.clock.monotonic_s())

    @property
    def last_due_s(self) -> float:
        """When the last of what is planned now will run; the present if nothing is."""
        return max((timer.due_s for timer in self._timers), default=self.clock.monotonic_s())
