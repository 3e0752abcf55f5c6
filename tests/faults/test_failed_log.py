"""A write or a sync failed (P12): nothing is confirmed any more, whoever waits is told, and the node ends or blocks as configured."""

from __future__ import annotations

import contextlib

import pytest

from posthouse.core.errors import StorageError
from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.inmemory import Peer, World

PERSISTENT = BasicProperties(delivery_mode=2)
TEXT = "INTERNAL_ERROR - the log failed: what was not confirmed may be lost"


def world_on(files: MemoryFiles, on_failure: str) -> World:
    return World("/data", files=files, durability="fsync", on_failure=on_failure)


def ready(world: World) -> Peer:
    peer = world.peer()
    peer.call(methods.QueueDeclare(queue="q", durable=True))
    peer.call(methods.ConfirmSelect())
    peer.publish(b"q", b"kept", properties=PERSISTENT)
    world.settle()
    assert isinstance(peer.last(), methods.BasicAck)
    peer.take()
    return peer


def confirms(peer: Peer) -> list[methods.BasicAck]:
    return [m for _, m in peer.received if isinstance(m, methods.BasicAck)]


@pytest.mark.parametrize("on_failure", ["stop", "block"])
@pytest.mark.parametrize("call", [0, 1], ids=["append", "sync"])
def test_the_publisher_is_told_and_nothing_is_confirmed(on_failure: str, call: int) -> None:
    files = MemoryFiles()
    world = world_on(files, on_failure)
    peer = ready(world)
    files.fail_at(call)
    peer.publish(b"q", b"lost", properties=PERSISTENT)
    world.settle()
    assert not confirms(peer)
    close = peer.last(0)
    assert (close.reply_code, close.reply_text) == (541, TEXT)
    assert world.journal.has_failed
    again = World("/data", files=files.kill())
    assert again.recovered in (1, 2)


def test_a_declaration_that_waited_is_not_answered() -> None:
    files = MemoryFiles()
    world = world_on(files, "block")
    peer = ready(world)
    files.fail_at(1)
    peer.send(methods.QueueDeclare(queue="another", durable=True))
    world.settle()
    received = [m for _, m in peer.received]
    assert not any(isinstance(m, methods.QueueDeclareOk) for m in received)
    assert [m.reply_code for m in received if isinstance(m, methods.ConnectionClose)] == [541]


def test_stop_ends_the_node_with_74() -> None:
    files = MemoryFiles()
    world = world_on(files, "stop")
    peer, bystander = ready(world), world.peer()
    stopped: list[bool] = []
    world.node.on_stopped = lambda: stopped.append(True)
    files.fail_at(1)
    peer.publish(b"q", b"lost", properties=PERSISTENT)
    world.settle()
    assert bystander.last(0).reply_code == 320
    world.loop.advance(5)
    assert stopped == [True]
    assert world.node.close() == 74


def test_block_keeps_consumers_and_refuses_every_publisher() -> None:
    files = MemoryFiles()
    world = world_on(files, "block")
    peer, consumer = ready(world), world.peer()
    files.fail_at(1)
    peer.publish(b"q", b"lost", properties=PERSISTENT)
    world.settle()
    consumer.send(methods.BasicConsume(queue="q", consumer_tag="c"))
    bodies = [body for _, body in consumer.messages()]
    assert bodies[:1] == [b"kept"]
    consumer.send(methods.BasicAck(delivery_tag=0, multiple=True))
    world.run_later()
    assert not consumer.is_closed
    for _ in range(3):
        late = world.peer()
        late.call(methods.ConfirmSelect())
        late.publish(b"q", b"late", properties=PERSISTENT)
        world.settle()
        assert not confirms(late)
        assert late.last(0).reply_code == 541
    transient = world.peer()
    transient.publish(b"q", b"transient")
    assert isinstance(transient.last(0), methods.ConnectionBlocked)
    assert transient.is_paused
    # Acknowledgements have nowhere to go: they take no memory either.
    assert world.journal.unsynced_bytes < 10_000
    assert world.node.close() == 74
    again = World("/data", files=files.kill())
    assert again.recovered >= 1


def test_the_memory_of_what_cannot_be_written_comes_back() -> None:
    files = MemoryFiles()
    world = world_on(files, "block")
    peer = ready(world)
    files.fail_at(1)
    peer.publish(b"q", b"lost", properties=PERSISTENT)
    world.settle()
    consumer = world.peer()
    consumer.call(methods.BasicConsume(queue="q", consumer_tag="c", no_ack=True))
    before = world.blocks.bytes_live
    for _ in range(20):
        late = world.peer()
        late.publish(b"q", bytes(1_000_000), properties=PERSISTENT)
        world.settle()
        late.close()
    assert world.blocks.bytes_live <= before + (4 << 20)


def damaged() -> MemoryFiles:
    files = MemoryFiles()
    world = World("/data", files=files)
    peer = ready(world)
    for n in range(5):
        peer.publish(b"q", b"message %d" % n, properties=PERSISTENT)
        world.settle()
    world.stop()
    for name in [n for n in files.names if n.endswith(".snap")]:
        files.unlink(name)
    content = next(node for path, node in files.names.items() if path.startswith("/data/shard/"))
    content.data[content.data.index(b"message 2")] ^= 1
    return files


def test_damage_is_served_around_by_default() -> None:
    assert World("/data", files=damaged()).recovered == 5


def test_a_broker_that_shall_stop_at_damage_does_and_changes_nothing() -> None:
    files = damaged()
    before = {path: bytes(node.data) for path, node in files.names.items()}
    with pytest.raises(StorageError, match="damaged places in /data, the first is shard/"):
        World("/data", files=files, on_damage="stop")
    assert {path: bytes(node.data) for path, node in files.names.items()} == before


def test_a_sound_directory_starts_with_on_damage_stop() -> None:
    files = MemoryFiles()
    world = World("/data", files=files, on_damage="stop")
    ready(world)
    files.kill()
    assert World("/data", files=files, on_damage="stop").recovered == 1


def test_damaged_definitions_do_not_bring_the_default_user_back() -> None:
    files = MemoryFiles()
    world = World("/data", files=files)
    ready(world)
    files.kill()
    for path, node in files.names.items():
        if path.startswith("/data/definitions/"):
            node.data[node.data.index(b'"user"')] ^= 1
    again = World("/data", files=files)
    assert not again.users.has_users()
    peer = Peer(again)
    peer.open(channel=False)
    assert peer.last(0).reply_code == 403


def test_a_node_killed_before_its_first_user_was_durable_makes_it_again() -> None:
    """Whatever call was the last one: the next start has a user who can log in."""
    whole = MemoryFiles()
    World("/data", files=whole)
    for call in range(whole.calls):
        files = MemoryFiles()
        files.fail_at(call)
        with contextlib.suppress(OSError, StorageError):
            World("/data", files=files)
        peer = World("/data", files=files.kill()).peer()
        assert isinstance(peer.call(methods.BasicQos()), methods.BasicQosOk), call


@pytest.mark.parametrize("call", [0, 1], ids=["append", "sync"])
def test_a_failure_at_the_very_end_is_not_passed_over(call: int) -> None:
    """The last acknowledgements are written when the loop does not run any more."""
    files = MemoryFiles()
    world = world_on(files, "stop")
    peer = ready(world)
    peer.send(methods.BasicGet(queue="q"))
    peer.send(methods.BasicAck(delivery_tag=1))
    files.fail_at(call)
    assert world.node.close() == 74
    assert World("/data", files=files.kill()).recovered == 1 or call == 1
