"""No memory where it is asked for (C9, P14): one connection ends, or the node; nobody waits for ever, nothing confirmed is lost."""

from __future__ import annotations

import contextlib
import errno
import pathlib
import queue
from collections.abc import Callable, Iterator

import pytest

from posthouse.broker.dispatch import Consumer
from posthouse.journal.block import BlockTable, LogBuffer
from posthouse.journal.local.committer import Commit, ThreadCommitter
from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.full_disk import drained
from tests.support.inmemory import World
from tests.support.link import Link
from tests.support.nodes import PosthouseNode, require
from tests.support.numbered import publish

# Of 100 KB each: more than there is room for.
MESSAGES = 1500


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


def test_a_block_that_there_is_no_memory_for_leaves_the_log_whole() -> None:
    """What is laid next must not lie in the block that was given up."""
    table = BlockTable()
    log = LogBuffer(table, True)
    frame = bytes((16, 0, 0, 0, 7)) + bytes(11)
    log.append(frame)
    given_up = log.current
    for block, _, _ in log.seal():
        table.unpin(block)
    for _ in range(2):
        with pytest.raises(MemoryError):
            log.ensure(1 << 50)
    position = log.position
    log.append(frame)
    (found,) = log.seal()
    block, start, end = found
    assert block is not given_up
    assert block is table.blocks[block.id]
    assert block.base + start == position
    assert end - start == 40 + len(frame)
    assert (block.refs, block.pins) == (2, 2)


class _Greedy(Consumer):
    """There is no memory for what it wants, until it is told so."""

    has_memory = False

    def take(self, limit: int) -> int:
        if not self.has_memory:
            raise MemoryError
        return 0


def test_a_pass_that_breaks_off_forgets_nobody(world: World) -> None:
    """Neither the queue that had no memory, nor those behind it."""
    peer = world.peer()
    for name in ("greedy", "modest"):
        peer.call(methods.QueueDeclare(queue=name, durable=True))
    peer.call(methods.BasicConsume(queue="modest"))
    queue = world.broker.vhosts["/"].queues["greedy"]
    greedy = _Greedy(queue, 0)
    queue.add_consumer(greedy)
    peer.take()
    octets = peer.publish_octets(b"greedy", b"1") + peer.publish_octets(b"modest", b"2")
    with pytest.raises(MemoryError):
        peer.octets(octets)
    with pytest.raises(MemoryError):
        world.loop.advance(0.2)
    greedy.has_memory = True
    world.loop.advance(0.2)
    assert [body for _, body in peer.messages()] == [b"2"]
    assert not world.dispatcher.has_dirty()


def test_a_queue_that_never_has_memory_keeps_nobody_else_waiting() -> None:
    """Others get deliveries, confirms and answers, and their acknowledgements are written (P18)."""
    files = MemoryFiles()
    world = World("/data", files=files, durability="fsync")
    peer = world.peer()
    for name in ("greedy", "modest"):
        peer.call(methods.QueueDeclare(queue=name, durable=True))
    peer.call(methods.BasicConsume(queue="modest"))
    peer.call(methods.ConfirmSelect())
    queue = world.broker.vhosts["/"].queues["greedy"]
    queue.add_consumer(_Greedy(queue, 0))
    peer.take()
    octets = peer.publish_octets(b"greedy", b"1", properties=BasicProperties(delivery_mode=2))
    octets += peer.publish_octets(b"modest", b"2", properties=BasicProperties(delivery_mode=2))
    with pytest.raises(MemoryError):
        peer.octets(octets)
    for _ in range(2):
        with pytest.raises(MemoryError):
            world.loop.advance(0.2)
    got = [m for _, m in peer.received]
    delivered = next(m for m in got if isinstance(m, methods.BasicDeliver))
    assert max(m.delivery_tag for m in got if isinstance(m, methods.BasicAck)) == 2
    with contextlib.suppress(MemoryError):
        peer.send(methods.BasicAck(delivery_tag=delivered.delivery_tag))
    for _ in range(3):
        with contextlib.suppress(MemoryError):
            world.loop.advance(0.2)
    assert not world.dispatcher.acked
    assert world.journal.unsynced_bytes == 0
    again = World("/data", files=files.kill())
    assert again.peer().drain("modest") == []
    assert again.peer().drain("greedy") == [b"1"]


@pytest.mark.slow
@pytest.mark.parametrize("spare_mb", [2, 12, 24])
def test_a_process_without_memory_keeps_what_it_confirmed(
    spare_mb: int, tmp_path: pathlib.Path
) -> None:
    """It may end, or a connection may; what was confirmed is there at the next start, in order, whole."""
    prlimit = require("prlimit")
    node = PosthouseNode(tmp_path / "data").start()
    taken = address_space(node)
    node.terminate()
    node.stop()
    limit = taken + (spare_mb << 20)
    node = PosthouseNode(tmp_path / "data", wrapper=[prlimit, f"--as={limit}"])
    try:
        node.launch()
        if not node.wait_ready(20.0):
            pytest.fail("it does not start: the margin is too small")
        bystander = Link(node.port)
        confirmed = publish(node, MESSAGES, 100_000)
        assert 0 < confirmed < MESSAGES, "there was memory enough"
        bystander.declare_queue("another")
        bystander.close()
        node.kill()
    finally:
        node.stop()
    again = PosthouseNode(tmp_path / "data").start()
    try:
        assert "damage" not in again.stderr()
        assert drained(again, confirmed) >= confirmed
        again.check()
        assert again.terminate() == 0
    finally:
        again.stop()


def address_space(node: PosthouseNode) -> int:
    """Octets of virtual memory that the process took at most."""
    status = pathlib.Path(f"/proc/{node.pid}/status").read_text("ascii")
    kilobytes = next(line for line in status.splitlines() if line.startswith("VmPeak:"))
    return int(kilobytes.split()[1]) << 10
