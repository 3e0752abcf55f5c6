"""When answers leave: a change of durable state first has to be on disk (P2, P3), everything else waits for nobody (P18)."""

from __future__ import annotations

import random

import pytest

from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.inmemory import Peer, World
from tests.support.slowdisk import SlowDisk

PERSISTENT = BasicProperties(delivery_mode=2)


@pytest.fixture
def slow() -> SlowDisk:
    return SlowDisk()


DECLARE = methods.QueueDeclare(queue="q", durable=True)


def answers(peer: Peer) -> list[str]:
    return [type(m).__name__ for m in peer.take() if isinstance(m, methods.Method)]


@pytest.mark.parametrize("passive", [False, True])
def test_nobody_is_told_of_a_queue_that_is_not_on_disk_yet(slow: SlowDisk, passive: bool) -> None:
    first, second = slow.peer(), slow.peer()
    first.send(DECLARE)
    assert slow.committer.queue  # handed over, and not done
    second.send(methods.QueueDeclare(queue="q", durable=True, passive=passive))
    assert answers(first) == answers(second) == []
    slow.disk()
    assert answers(first) == answers(second) == ["QueueDeclareOk"]


def test_messages_of_others_are_not_waited_for(slow: SlowDisk) -> None:
    publisher, other = slow.peer(), slow.peer()
    publisher.send(DECLARE)
    slow.disk()
    for _ in range(4):
        publisher.publish(b"q", b"x", properties=PERSISTENT)
    other.send(DECLARE)
    other.send(methods.QueueDeclare(queue="transient", exclusive=True))
    other.send(methods.TxSelect(), methods.TxCommit())
    assert answers(other) == ["QueueDeclareOk", "QueueDeclareOk", "TxSelectOk", "TxCommitOk"]


CHANGES = {
    "bind": methods.QueueBind(queue="q", exchange="amq.topic", routing_key=b"k"),
    "unbind": methods.QueueUnbind(queue="q", exchange="amq.fanout"),
    "purge": methods.QueuePurge(queue="q"),
    "delete": methods.QueueDelete(queue="q"),
    "exchange": methods.ExchangeDeclare(exchange="e", type="direct", durable=True),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("busy", [False, True])
def test_a_change_is_answered_when_it_is_on_disk(slow: SlowDisk, change: str, busy: bool) -> None:
    peer, other = slow.peer(), slow.peer()
    peer.send(DECLARE, methods.QueueBind(queue="q", exchange="amq.fanout"))
    slow.disk()
    peer.publish(b"q", b"x", properties=PERSISTENT)
    slow.disk()
    peer.take()
    if busy:
        for _ in range(3):
            other.publish(b"q", b"x", properties=PERSISTENT)
    peer.send(CHANGES[change])
    assert answers(peer) == []
    slow.committer.write()
    assert answers(peer) == []
    slow.disk()
    assert len(answers(peer)) == 1


@pytest.mark.parametrize("what", ["publish", "ack"])
def test_a_transaction_is_answered_when_it_is_on_disk(slow: SlowDisk, what: str) -> None:
    peer = slow.peer()
    peer.send(DECLARE)
    peer.publish(b"q", b"x", properties=PERSISTENT)
    slow.disk()
    peer.send(methods.TxSelect(), methods.BasicGet(queue="q"))
    peer.take()
    if what == "publish":
        peer.publish(b"q", b"y", properties=PERSISTENT)
    else:
        peer.send(methods.BasicAck(delivery_tag=1))
    peer.send(methods.TxCommit())
    assert answers(peer) == []
    slow.disk()
    assert answers(peer) == ["TxCommitOk"]


def test_definitions_are_synced_whatever_messages_are() -> None:
    """With ``durability = os`` a power cut may take messages, never what would make the rest of the directory useless."""
    files = MemoryFiles()
    world = World("/data", files=files, durability="os")
    peer = world.peer()
    peer.call(DECLARE)
    peer.call(methods.ConfirmSelect())
    peer.publish(b"q", b"x", properties=PERSISTENT)
    world.settle()
    assert "BasicAck" in answers(peer)
    counts = set()
    for seed in range(20):
        after = World("/data", files=files.crash(random.Random(seed)), durability="os")
        assert "q" in after.broker.vhosts["/"].queues
        counts.add(after.recovered)
    assert counts == {0, 1}


def test_a_transient_transaction_does_not_hold_back_acknowledgements_of_others() -> None:
    """They were appended for it, and then nobody committed them until something else came (P4)."""
    files = MemoryFiles()
    world = World("/data", files=files)
    consumer, trader = world.peer(), world.peer()
    consumer.call(DECLARE)
    consumer.publish(b"q", b"x", properties=PERSISTENT)
    consumer.send(methods.BasicGet(queue="q"))
    trader.send(methods.TxSelect())
    trader.publish(b"q", b"transient")
    consumer.send(methods.BasicAck(delivery_tag=1))
    trader.call(methods.TxCommit())
    world.run_later()
    assert World("/data", files=files.kill()).recovered == 0
