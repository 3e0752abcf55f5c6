"""A clock that stands still until a test moves it."""

from __future__ import annotations


class VirtualClock:
    """See `posthouse.core.clock.Clock`. Wall time may be moved apart from monotonic time, also back."""

    def __init__(self, monotonic_s: float = 1000.0, wall_ms: int = 1_800_000_000_000) -> None:
        self._monotonic_s = monotonic_s
        self._wall_ms = wall_ms

    def monotonic_s(self) -> float:
        """See `posthouse.core.clock.Clock`."""
        return self._monotonic_s

    def wall_ms(self) -> int:
        """See `posthouse.core.clock.Clock`."""
        return self._wall_ms

    def advance(self, seconds: float) -> None:
        """Let time pass on both."""
        if seconds < 0:
            raise ValueError("monotonic time does not go back; use jump_wall")
        self._monotonic_s += seconds
        self._wall_ms += int(seconds * 1000)

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock, as an operator or NTP does."""
        self._wall_ms += int(seconds * 1000)
