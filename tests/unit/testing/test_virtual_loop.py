"""The virtual loop: order, time, cancelling."""

from __future__ import annotations

from posthouse.testing.clock import VirtualClock
from posthouse.testing.loop import VirtualLoop


def test_runs_in_order_of_time_then_of_arrival() -> None:
    loop = VirtualLoop(VirtualClock())
    done: list[str] = []
    loop.call_later(2.0, lambda: done.append("later"))
    loop.call_later(1.0, lambda: done.append("sooner"))
    loop.call_soon(lambda: done.append("first"))
    loop.call_soon(lambda: done.append("second"))
    loop.run()
    assert done == ["first", "second"]
    loop.advance(2.0)
    assert done == ["first", "second", "sooner", "later"]


def test_each_callback_sees_its_own_time() -> None:
    clock = VirtualClock(0.0)
    loop = VirtualLoop(clock)
    seen: list[float] = []

    def again() -> None:
        seen.append(clock.monotonic_s())
        if len(seen) < 10:
            loop.call_later(1.0, again)

    loop.call_later(1.0, again)
    loop.advance(3.5)
    assert seen == [1.0, 2.0, 3.0]
    assert clock.monotonic_s() == 3.5


def test_what_is_called_soon_runs_in_the_same_round() -> None:
    loop = VirtualLoop(VirtualClock())
    done: list[int] = []
    loop.call_soon(lambda: loop.call_soon_threadsafe(lambda: done.append(1)))
    loop.run()
    assert done == [1]


def test_a_cancelled_timer_does_not_run() -> None:
    loop = VirtualLoop(VirtualClock())
    done: list[int] = []
    loop.call_later(1.0, lambda: done.append(1)).cancel()
    loop.advance(5.0)
    assert done == []
    assert loop.last_due_s == loop.clock.monotonic_s()
