"""No memory where it is asked for (C9, P14): one connection ends, or the node; nobody waits for ever, nothing confirmed is lost."""

from __future__ import annotations

import contextlib
import errno
import queue
from collections.abc import Callable, Iterator

import pytest

from posthouse.journal.local.committer import Commit, ThreadCommitter
from posthouse.testing.files import MemoryFiles
from tests.support.inmemory import World


class _NoMemory:
    """A log that cannot be written for lack of memory."""

    order = 0

    def write(self, _: object) -> None:
        raise MemoryError


def test_the_committer_says_that_it_failed() -> None:
    """Its thread is not just gone: publishers would wait for ever, and the node would not end."""
    posted: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
    done: list[int] = []
    failures: list[OSError] = []
    committer = ThreadCommitter(posted.put, done.append, failures.append, lambda: False)
    committer.submit(Commit(1, [(_NoMemory(), [])]))  # type: ignore[list-item]  # as far as it is used
    posted.get(timeout=20)()
    committer.submit(Commit(2, []))
    committer.stop()
    assert [failure.errno for failure in failures] == [errno.ENOMEM]
    assert posted.empty()
    assert not done


@pytest.fixture
def world() -> World:
    made = World("/data", files=MemoryFiles(), durability="fsync")
    made.node.listen()
    return made


def no_memory() -> None:
    raise MemoryError


def test_what_is_done_every_second_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(world.journal, "check_space", no_memory)
        with pytest.raises(MemoryError):
            world.loop.advance(1.0)
    checks: list[float] = []
    monkeypatch.setattr(
        world.journal, "check_space", lambda: checks.append(world.clock.monotonic_s())
    )
    world.loop.advance(3.0)
    assert len(checks) == 3


class _Chore:
    """Breaks off in its second step, as a generator does."""

    def __init__(self) -> None:
        self._steps = self._work()

    def _work(self) -> Iterator[None]:
        yield
        raise MemoryError

    def is_due(self) -> bool:
        return False

    def begin(self) -> None:
        """Nothing is needed."""

    def step(self) -> bool:
        return next(self._steps, self) is None


def test_a_chore_that_breaks_off_does_not_keep_the_others_from_their_work(world: World) -> None:
    chore = _Chore()
    world.housekeeping._chores.append(chore)
    world.housekeeping.begin(chore)
    world.node._work()
    with contextlib.suppress(MemoryError):
        world.loop.advance(0.1)
    assert not world.housekeeping.is_idle
    world.loop.advance(0.1)
    assert world.housekeeping.is_idle
