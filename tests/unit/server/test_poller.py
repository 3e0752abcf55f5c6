"""Both pollers on real socket pairs, with a loop that runs until nothing is ready."""

from __future__ import annotations

import asyncio
import logging
import select
import socket
from collections.abc import Callable, Iterator

import pytest

from posthouse.server.poller import EpollPoller, LoopPoller, Poller, make_poller

KINDS = [LoopPoller]
if hasattr(select, "epoll"):
    KINDS.append(EpollPoller)  # type: ignore[arg-type]  # the same constructor


class Owner:
    """Reads what there is; counts."""

    def __init__(self, poller: Poller, log: list[str], name: str) -> None:
        self.poller = poller
        self.log = log
        self.name = name
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.fd = self.near.fileno()
        self.then: Callable[[], object] = lambda: None

    def watch(self, read: bool, write: bool = False) -> None:
        self.poller.watch(self.fd, self, read, write)

    def on_readable(self) -> int:
        try:
            data = self.near.recv(100)
        except BlockingIOError:
            return 0
        self.log.append(f"{self.name} {data.decode() or 'end'}")
        if not data:
            self.watch(False)
        self.then()
        return len(data)

    def on_writable(self) -> None:
        self.log.append(f"{self.name} room")
        self.watch(True)

    def on_fault(self) -> None:
        self.log.append(f"{self.name} fault")

    def close(self) -> None:
        self.watch(False)
        self.near.close()
        self.far.close()


class Bench:
    """A loop, a poller, owners by name."""

    def __init__(self, kind: type[Poller]) -> None:
        self.loop = asyncio.new_event_loop()
        self.log: list[str] = []
        self.poller = kind(self.loop, lambda: self.log.append("tick"))  # type: ignore[call-arg]
        self.owners = {name: Owner(self.poller, self.log, name) for name in "abc"}

    def run(self) -> list[str]:
        """A few turns of the loop; what happened."""
        for _ in range(4):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
        log = self.log[:]
        self.log.clear()
        return log

    def close(self) -> None:
        for owner in self.owners.values():
            owner.close()
        self.poller.close()
        self.loop.close()


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(request.param)
    yield bench
    bench.close()


def test_reads_of_one_moment_share_a_tick(bench: Bench) -> None:
    for name in "abc":
        bench.owners[name].watch(True)
        bench.owners[name].far.send(name.encode())
    log = bench.run()
    assert sorted(line for line in log if line != "tick") == ["a a", "b b", "c c"]
    assert log[-1] == "tick"
    if isinstance(bench.poller, EpollPoller):
        assert log.count("tick") == 1


def test_nobody_is_called_for_nothing(bench: Bench) -> None:
    bench.owners["a"].watch(True)
    assert bench.run() == []
    bench.owners["a"].watch(False)
    bench.owners["a"].far.send(b"late")
    assert bench.run() == []
    bench.owners["a"].watch(True)
    assert bench.run()[0] == "a late"


def test_room_is_reported_until_it_is_not_asked_for(bench: Bench) -> None:
    owner = bench.owners["a"]
    owner.watch(False, True)
    owner.far.send(b"x")
    assert [line for line in bench.run() if line != "tick"] == ["a room", "a x"]


def test_a_paused_owner_hears_nothing_of_a_hang_up(bench: Bench) -> None:
    owner = bench.owners["a"]
    owner.watch(True)
    owner.watch(False)
    owner.far.close()
    assert bench.run() == []
    owner.watch(True)
    assert [line for line in bench.run() if line != "tick"] == ["a end"]


def test_an_owner_closed_in_the_round_is_left_out(bench: Bench) -> None:
    a, b = bench.owners["a"], bench.owners["b"]
    for owner, other in ((a, b), (b, a)):
        owner.watch(True)
        owner.far.send(b"x")
        owner.then = other.close
    assert len([line for line in bench.run() if line != "tick"]) == 1


def test_a_descriptor_used_again_in_the_round_does_no_harm(bench: Bench) -> None:
    """The second event of the round is for a descriptor that belongs to somebody else by then."""
    a, b = bench.owners["a"], bench.owners["b"]
    a.watch(True)
    b.watch(True)

    def replace(old: Owner) -> None:
        for owner in (a, b):
            owner.then = lambda: None
        old.close()
        fresh = Owner(bench.poller, bench.log, "fresh")
        bench.owners["fresh"] = fresh
        fresh.watch(True)

    a.then = lambda: replace(b)
    b.then = lambda: replace(a)
    a.far.send(b"x")
    b.far.send(b"x")
    assert len([line for line in bench.run() if line != "tick"]) == 1
    bench.owners["fresh"].far.send(b"y")
    assert bench.run()[0] == "fresh y"


def test_much_input_gets_a_tick_in_between() -> None:
    if not hasattr(select, "epoll"):
        pytest.skip("no epoll here")
    bench = Bench(EpollPoller)
    try:
        for name in "ab":
            owner = bench.owners[name]
            owner.on_readable = lambda read=owner.on_readable: read() * 1_000_000  # type: ignore[method-assign]
            owner.watch(True)
            owner.far.send(b"x")
        assert bench.run().count("tick") == 3
    finally:
        bench.close()


def test_a_fault_is_logged_and_stays_with_its_owner(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = bench.owners["a"], bench.owners["b"]

    def fail() -> None:
        raise ZeroDivisionError

    a.then = fail
    for owner in (a, b):
        owner.watch(True)
        owner.far.send(b"x")
    with caplog.at_level(logging.ERROR):
        log = bench.run()
    assert sorted(set(log)) == ["a fault", "a x", "b x", "tick"]
    assert "ZeroDivisionError" in caplog.text


def test_the_best_poller_is_chosen() -> None:
    loop = asyncio.new_event_loop()
    poller = make_poller(loop, lambda: None)
    assert isinstance(poller, KINDS[-1])
    poller.close()
    loop.close()
