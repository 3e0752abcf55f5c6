"""The real clock (`posthouse.core.clock.Clock`)."""

from __future__ import annotations

import time


class SystemClock:
    """The operating system's clocks."""

    def monotonic_s(self) -> float:
        """See `posthouse.core.clock.Clock`."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """See `posthouse.core.clock.Clock`."""
        return time.time_ns() // 1_000_000
