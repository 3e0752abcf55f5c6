"""The clock that tests move."""

from __future__ import annotations

import pytest

from posthouse.testing.clock import VirtualClock


def test_it_stands_still_until_it_is_moved() -> None:
    clock = VirtualClock(monotonic_s=5.0, wall_ms=1000)
    assert [clock.monotonic_s(), clock.monotonic_s()] == [5.0, 5.0]
    clock.advance(2.5)
    assert (clock.monotonic_s(), clock.wall_ms()) == (7.5, 3500)


def test_only_wall_time_goes_back() -> None:
    clock = VirtualClock(monotonic_s=5.0, wall_ms=10_000)
    clock.jump_wall(-4)
    assert (clock.monotonic_s(), clock.wall_ms()) == (5.0, 6000)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)
    assert clock.monotonic_s() == 5.0
