"""The clock, handed down from the server: nothing below it asks the operating system for the time.

Monotonic time serves timeouts and heartbeats, wall time only what people or other machines read. The real clock is
`posthouse.server.clock.SystemClock`, the virtual one `posthouse.testing.clock.VirtualClock`.
"""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Two readings."""

    def monotonic_s(self) -> float:
        """Seconds that never go back; only differences mean something."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970, UTC; may jump."""
