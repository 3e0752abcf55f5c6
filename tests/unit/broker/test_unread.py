"""A disk that refuses to read once costs no message: the next start has it again (P1, P11)."""

from __future__ import annotations

import errno
import random

import pytest

from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.inmemory import Peer, World

COUNT = 40


class Case:
    """A queue with messages whose blocks are not in memory, and a disk that refuses one read."""

    def __init__(self) -> None:
        self.files = MemoryFiles()
        self.start()
        self.peer.call(methods.QueueDeclare(queue="q", durable=True))
        for number in range(COUNT):
            body = b"%02d" % number + bytes(400_000)
            self.peer.publish(b"q", body, properties=BasicProperties(delivery_mode=2))
        self.world.run_later()
        self.refuse_one_read()

    def start(self) -> None:
        self.world = World("/data", files=self.files, durability="fsync", memory_max=1)
        self.peer: Peer = self.world.peer()

    def refuse_one_read(self) -> None:
        def once(name: str, _path: str) -> None:
            if name == "read_at":
                self.files.on_call = lambda _, __: None
                raise OSError(errno.EIO, "Input/output error")

        self.files.on_call = once

    def drain(self) -> list[int]:
        """Consume and acknowledge what comes; returns which messages."""
        self.peer.take()
        found = []
        while True:
            self.peer.send(methods.BasicGet(queue="q"))
            got = self.peer.messages()
            if not got:
                self.world.run_later()
                return found
            answer, body = got[0]
            found.append(int(body[:2]))
            self.peer.send(methods.BasicAck(delivery_tag=answer.delivery_tag))

    def restart(self, how: str) -> None:
        if how == "stop":
            self.peer.close()
            self.world.stop()
        else:
            self.files.kill()
        self.start()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_message_that_could_not_be_read_is_there_after_the_next_start(how: str) -> None:
    case = Case()
    found = case.drain()
    passed_over = sorted(set(range(COUNT)) - set(found))
    assert len(passed_over) == 1
    assert case.world.dispatcher.damaged_records == 1
    case.world.journal.trim()
    case.restart(how)
    assert case.drain() == passed_over


def test_a_purge_takes_it_too() -> None:
    case = Case()
    case.drain()
    case.peer.call(methods.QueuePurge(queue="q"))
    case.restart("kill")
    assert case.drain() == []


def test_its_memory_goes_with_the_queue() -> None:
    case = Case()
    case.drain()
    case.peer.call(methods.QueueDelete(queue="q"))
    case.world.run_later()
    logs = (
        case.world.dispatcher.transient,
        case.world.journal.shard,
        case.world.journal._definitions.buffer,
    )
    current = {log.current.id for log in logs if log.current is not None}
    assert {b.id for b in case.world.blocks.blocks if b is not None} == current


class DeepCase(Case):
    """The same with an index that does not fit its rings: pages of it are on disk too."""

    def __init__(self) -> None:
        self.files = MemoryFiles()
        self.start()
        self.peer.call(methods.QueueDeclare(queue="q", durable=True))
        for number in range(90):
            body = b"%02d" % number + bytes(1000)
            self.peer.publish(b"q", body, properties=BasicProperties(delivery_mode=2))
        self.world.run_later()

    def start(self) -> None:
        self.world = World(
            "/data",
            files=self.files,
            durability="fsync",
            memory_max=1,
            ring_max=16,
            slice_entries=5,
        )
        self.peer = self.world.peer()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_messages_of_a_lost_page_of_an_index_are_there_after_the_next_start(how: str) -> None:
    case = DeepCase()
    case.refuse_one_read()
    found = case.drain()
    assert len(found) == 90 - 16
    case.world.housekeeping.begin(case.world.snapshotter)
    while case.world.housekeeping.step():
        case.world.settle()
    case.restart(how)
    assert case.drain() == sorted(set(range(90)) - set(found))


@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.parametrize("chore", ["snapshotter", "cleaner"])
def test_a_chore_that_cannot_read_an_index_gives_up_and_may_be_begun_again(
    chore: str, how: str
) -> None:
    case = DeepCase()
    case.refuse_one_read()
    for _ in range(2):
        case.world.housekeeping.begin(getattr(case.world, chore))
        while case.world.housekeeping.step():
            case.world.settle()
        assert case.world.housekeeping.is_idle
    assert case.world.snapshotter.taken == (chore == "snapshotter")
    case.world.run_later()
    case.restart(how)
    assert case.drain() == list(range(90))


@pytest.mark.parametrize("how", ["stop", "kill", "power"])
def test_a_purge_takes_what_a_lost_page_of_the_index_named(how: str) -> None:
    """But not what consumers hold, on either side of the page."""
    files = MemoryFiles()
    world = World("/data", files=files, durability="fsync", memory_max=1, ring_max=16)
    peer, other = world.peer(), world.peer()
    peer.call(methods.QueueDeclare(queue="q", durable=True))
    peer.call(methods.QueueDeclare(queue="untouched", durable=True))
    persistent = BasicProperties(delivery_mode=2)
    for number in range(200):
        peer.publish(b"q", b"%03d" % number, properties=persistent)
        peer.publish(b"untouched", b"%03d" % number, properties=persistent)
    world.run_later()

    def no_page(name: str, path: str) -> None:
        if name == "read_at" and path.endswith(".page"):
            raise OSError(errno.EIO, "Input/output error")

    held: list[bytes] = []
    files.on_call = no_page
    for _ in range(60):
        other.take()
        other.send(methods.BasicGet(queue="q"))
        held += [body for _, body in other.messages()]
    files.on_call = lambda _, __: None
    queue = world.broker.vhosts["/"].queues["q"]
    assert queue.index.entries_lost
    assert held != [b"%03d" % number for number in range(len(held))]
    assert isinstance(peer.call(methods.QueuePurge(queue="q")), methods.QueuePurgeOk)
    assert not queue.index.entries_lost
    peer.publish(b"q", b"new", properties=persistent)
    world.run_later()
    if how == "stop":
        peer.close()
        other.close()
        world.stop()
    files = files.crash(random.Random(1)) if how == "power" else files.kill()
    again = World("/data", files=files, durability="fsync")
    assert again.peer().drain("q") == [*held, b"new"]
    assert again.peer().drain("untouched") == [b"%03d" % number for number in range(200)]
