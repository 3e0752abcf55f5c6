"""Counters of 64 bit at the edges of 31, 32 and 63: delivery tags, confirms, positions in a queue."""

from __future__ import annotations

import pytest

from posthouse.broker.index import QueueIndex
from posthouse.wire.amqp091 import methods
from tests.support.inmemory import Peer, World

EDGES = [1 << 31, 1 << 32, 1 << 63]


@pytest.fixture
def peer() -> Peer:
    peer = World().peer()
    peer.call(methods.QueueDeclare(queue="q"))
    return peer


@pytest.mark.parametrize("edge", EDGES)
def test_delivery_tags_cross_the_edge(peer: Peer, edge: int) -> None:
    channel = peer.session.channels[1]
    for body in (b"a", b"b", b"c", b"d"):
        peer.publish(b"q", body)
    channel.delivery_tag = edge - 3
    peer.take()
    for _ in range(4):
        peer.send(methods.BasicGet(queue="q"))
    tags = [method.delivery_tag for method, _ in peer.messages()]
    assert tags == [edge - 2, edge - 1, edge, edge + 1]
    peer.send(methods.BasicReject(delivery_tag=edge, requeue=True))
    peer.send(methods.BasicAck(delivery_tag=edge + 1))
    assert channel.unacked.tags() == [edge - 2, edge - 1]
    peer.send(methods.BasicAck(delivery_tag=edge - 1, multiple=True))
    assert channel.unacked.tags() == []
    got = peer.call(methods.BasicGet(queue="q", no_ack=True))
    assert got is not None
    [(method, body)] = peer.messages()
    assert (method.redelivered, body) == (True, b"c")


@pytest.mark.parametrize("tag", [*EDGES, (1 << 64) - 1, 0])
def test_tags_that_nobody_has_are_refused(peer: Peer, tag: int) -> None:
    peer.publish(b"q", b"x")
    peer.send(methods.BasicGet(queue="q"))
    close = peer.call(methods.BasicNack(delivery_tag=tag, multiple=False, requeue=True))
    assert isinstance(close, methods.ChannelClose)
    assert close.reply_text == f"PRECONDITION_FAILED - unknown delivery tag {tag}"


@pytest.mark.parametrize("edge", EDGES)
def test_confirms_cross_the_edge(peer: Peer, edge: int) -> None:
    peer.call(methods.ConfirmSelect())
    channel = peer.session.channels[1]
    channel.published = channel.confirmed = edge - 2
    peer.take()
    for body in (b"a", b"b", b"c"):
        peer.publish(b"q", body)
    acks = peer.take()
    assert [(ack.delivery_tag, ack.multiple) for ack in acks] == [
        (edge - 1, False),
        (edge, False),
        (edge + 1, False),
    ]


@pytest.mark.parametrize("edge", EDGES)
def test_places_in_a_queue_cross_the_edge(edge: int) -> None:
    """What comes back keeps its order on both sides of the edge, and flags and sizes of 32 bit come whole."""
    index = QueueIndex()
    places = [edge - 2, edge - 1, edge, edge + 1]
    for place in (places[2], places[0], places[3], places[1]):
        index.give_back(place, 7, 8, 0xFFFFFFFF, 3)
    assert [entry[0] for entry in index.entries()] == places
    assert index.bytes_ready == 4 * 0xFFFFFFFF
    for place in places:
        assert index.pop()
        assert (index.sequence, index.block, index.size, index.flags) == (place, 7, 0xFFFFFFFF, 3)
    assert not index.pop()


@pytest.mark.parametrize("size", [1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1])
def test_sizes_that_nobody_can_send_are_refused_at_once(peer: Peer, size: int) -> None:
    frames = Peer.publish_octets(b"q", b"")
    at = frames.rindex(b"\0\x3c\0\0")
    peer.octets(frames[: at + 4] + size.to_bytes(8, "big") + frames[at + 12 :])
    assert peer.last().reply_text == (
        f"PRECONDITION_FAILED - message size {size} is larger than configured max size 134217728"
    )
