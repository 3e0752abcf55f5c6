"""Disk space that an old message held comes back, and what was copied is what was published."""

from __future__ import annotations

from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.inmemory import World

PERSISTENT = BasicProperties(delivery_mode=2)
SEGMENT = 64 << 10


def start(files: MemoryFiles) -> World:
    return World("/data", files=files, segment_size=SEGMENT)


def log_octets(files: MemoryFiles) -> int:
    names = [name for name in files.list("/data/shard") if name.endswith(".seg")]
    return sum(files.size(f"/data/shard/{name}") for name in names)


def clean(world: World) -> None:
    world.housekeeping.begin(world.cleaner)
    while world.housekeeping.step():
        world.loop.run()
    world.journal.trim()
    world.settle()


def churn(world: World, *, keep_each: int, count: int, size: int) -> list[bytes]:
    """Publish ``count`` messages to a durable queue and acknowledge them but one of each ``keep_each``."""
    peer = world.peer()
    peer.call(methods.QueueDeclare(queue="q", durable=True))
    kept = []
    for n in range(count):
        body = b"%08d" % n + bytes(size)
        peer.publish(b"q", body, properties=PERSISTENT)
        if n % keep_each == 0:
            kept.append(body)
    peer.take()
    for _ in range(count):
        peer.send(methods.BasicGet(queue="q"))
        answer, body = peer.messages()[0]
        if body not in kept:
            peer.send(methods.BasicAck(delivery_tag=answer.delivery_tag))
    peer.close()
    world.settle()
    world.run_later()
    return kept


def drain(world: World) -> list[bytes]:
    peer = world.peer()
    found = []
    while True:
        peer.send(methods.BasicGet(queue="q", no_ack=True))
        got = peer.messages()
        if not got:
            return found
        found.append(got[0][1])


def test_space_that_a_few_old_messages_held_comes_back() -> None:
    files = MemoryFiles()
    world = start(files)
    kept = churn(world, keep_each=200, count=2000, size=2000)
    assert log_octets(files) > 4_000_000
    assert world.cleaner.is_due()
    clean(world)
    assert log_octets(files) < 1_200_000  # the block at hand, a megabyte, is left alone
    assert not world.cleaner.is_due()
    world = start(files.kill())
    world.housekeeping.begin(world.cleaner)
    while world.housekeeping.step():
        world.loop.run()
    world.journal.trim()
    assert log_octets(files) < 3 * SEGMENT + 10 * 2100
    assert drain(world) == kept


def test_at_most_one_octet_is_copied_for_each_that_is_written() -> None:
    files = MemoryFiles()
    world = start(files)
    churn(world, keep_each=3, count=1500, size=2000)
    written = world.journal.shard.position
    copied = 0
    for _ in range(6):
        if world.housekeeping.check():
            while world.housekeeping.step():
                world.loop.run()
            world.journal.trim()
        world.snapshotter.begin()
        while world.snapshotter.step():
            world.loop.run()
        copied = world.cleaner.octets_moved
        churn(world, keep_each=3, count=300, size=2000)
        written = world.journal.shard.position
    assert copied
    assert copied <= written - copied


def test_a_moved_message_is_read_back_from_its_new_place_and_checked() -> None:
    files = MemoryFiles()
    world = start(files)
    kept = churn(world, keep_each=500, count=2000, size=2000)
    clean(world)
    world.stop()
    world = start(files)
    assert drain(world) == kept
    world.stop()


def test_damage_in_a_moved_message_is_reported_and_costs_only_its_block() -> None:
    files = MemoryFiles()
    world = start(files)
    kept = churn(world, keep_each=500, count=2000, size=2000)
    clean(world)
    world.stop()
    names = [name for name in files.list("/data/shard") if name.endswith(".seg")]
    spoiled = 0
    for name in names:
        content = files.names[f"/data/shard/{name}"].data
        at = content.find(kept[0])
        if at >= 0:
            content[at + 100] ^= 1
            spoiled += 1
    assert spoiled == 1
    world = start(files)
    found = drain(world)
    assert kept[0] not in found
    assert found == [body for body in kept if body in found]
    assert world.dispatcher.damaged_records == len(kept) - len(found)
    assert any(name.endswith(".damaged") for name in files.list("/data/shard"))
