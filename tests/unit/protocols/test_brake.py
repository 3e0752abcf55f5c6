"""Publishers are stopped and let go: by the log, an alarm, and both; every stop has its resume."""

from __future__ import annotations

import pytest

from posthouse.core.config import LimitsConfig
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.inmemory import Peer, World
from tests.support.slowdisk import SlowDisk

HIGH = 65536
PERSISTENT = BasicProperties(delivery_mode=2)


def publisher(slow: SlowDisk) -> Peer:
    """A client that has published to the durable queue ``q``, and waits for nothing."""
    peer = slow.peer()
    peer.send(methods.QueueDeclare(queue="q", durable=True))
    slow.disk()
    peer.send(methods.ConfirmSelect())
    peer.publish(b"q", b"first", properties=PERSISTENT)
    slow.disk()
    peer.take()
    return peer


@pytest.fixture
def slow() -> SlowDisk:
    return SlowDisk(LimitsConfig(unsynced_high_water_bytes=HIGH))


def fill(peer: Peer) -> int:
    """Publish until the broker does not read any more; how many octets it took."""
    octets = 0
    while not peer.is_paused:
        peer.publish(b"q", bytes(8000), properties=PERSISTENT)
        octets += 8000
        assert octets < 10 * HIGH, "a slow disk does not stop the publisher"
    return octets


def test_a_disk_that_does_not_keep_up_stops_publishers(slow: SlowDisk) -> None:
    peer, idle = publisher(slow), publisher(slow)
    assert HIGH * 0.8 < fill(peer) < HIGH * 2
    assert not idle.is_paused
    slow.disk()
    assert not peer.is_paused
    assert any(isinstance(m, methods.BasicAck) for m in peer.take())
    assert not any(isinstance(m, methods.ConnectionBlocked) for m in peer.take())


def test_they_go_on_when_half_is_there(slow: SlowDisk) -> None:
    peer = publisher(slow)
    fill(peer)
    first = len(slow.committer.queue)
    assert first
    assert slow.world.journal.unsynced_bytes > HIGH
    slow.committer.write()
    slow.committer.sync()
    slow.world.settle()
    assert peer.is_paused == (slow.world.journal.unsynced_bytes > HIGH // 2)
    slow.disk()
    assert not peer.is_paused


def test_who_publishes_nothing_is_not_stopped(slow: SlowDisk) -> None:
    peer, consumer = publisher(slow), Peer(slow.world)
    consumer.open()
    consumer.call(methods.BasicConsume(queue="q", consumer_tag="c"))
    fill(peer)
    consumer.send(methods.BasicAck(delivery_tag=1))
    assert not consumer.is_paused


def test_a_stopped_publisher_may_leave(slow: SlowDisk) -> None:
    peer, other = publisher(slow), publisher(slow)
    fill(peer)
    peer.close()
    slow.disk()
    fill(other)
    slow.disk()
    assert not other.is_paused


def test_an_alarm_meanwhile_keeps_it_stopped(slow: SlowDisk) -> None:
    peer = publisher(slow)
    peer.publish(b"q", bytes(HIGH), properties=PERSISTENT)
    slow.world.dispatcher.alarm = True
    peer.publish(b"q", b"one more", properties=PERSISTENT)
    assert peer.is_paused
    slow.disk()
    assert peer.is_paused
    slow.world.node._on_alarm(False)
    assert not peer.is_paused


def test_the_log_keeps_it_stopped_after_an_alarm(slow: SlowDisk) -> None:
    peer = publisher(slow)
    peer.publish(b"q", bytes(HIGH), properties=PERSISTENT)
    slow.world.dispatcher.alarm = True
    peer.publish(b"q", b"one more", properties=PERSISTENT)
    slow.world.node._on_alarm(False)
    assert peer.is_paused
    slow.disk()
    assert not peer.is_paused


def test_nobody_is_stopped_for_a_log_that_has_caught_up_meanwhile(slow: SlowDisk) -> None:
    """The mark is taken back even if nobody was held by it: nothing would take it back later."""
    peer = publisher(slow)
    peer.publish(b"q", bytes(HIGH * 2), properties=PERSISTENT)
    slow.disk()
    peer.publish(b"q", b"transient")
    assert not peer.is_paused


def test_an_alarm_stops_a_publisher_whose_message_is_not_complete() -> None:
    world = World()
    peer = world.peer()
    world.dispatcher.alarm = True
    octets = Peer.publish_octets(b"q", bytes(300_000))
    peer.octets(octets[:200_000])
    assert peer.is_paused
    world.node._on_alarm(False)
    assert not peer.is_paused
