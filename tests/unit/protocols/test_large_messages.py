"""Messages that are laid into their block while they arrive: whatever the pieces, the same comes out, and nothing stays behind."""

from __future__ import annotations

import pathlib
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.frames import frame, method_frame
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.inmemory import Peer, World

SIZE = 100_000
PERSISTENT = BasicProperties(delivery_mode=2)


def octets_of(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def peer(world: World) -> Peer:
    return primed(world.peer())


def primed(peer: Peer, queue: str = "q") -> Peer:
    """With a queue that is consumed, and the exchange's permission looked up: the hot road is open."""
    peer.call(methods.QueueDeclare(queue=queue))
    peer.call(methods.BasicConsume(queue=queue, no_ack=True))
    peer.publish(queue.encode(), b"")
    peer.take()
    return peer


def in_pieces(peer: Peer, data: bytes, *sizes: int) -> None:
    """Send ``data`` in pieces of these sizes, the last of them again and again."""
    at = 0
    left = list(sizes)
    while at < len(data):
        size = left.pop(0) if len(left) > 1 else left[0]
        peer.octets(data[at : at + size])
        at += size


def open_arrivals(world: World) -> int:
    return world.dispatcher.arrivals


def head_size(whole: bytes, body: bytes) -> int:
    return whole.index(body[:64])


@pytest.mark.parametrize("frame_max", [4096, 20_000, 131072])
@pytest.mark.parametrize("piece", [1013, 8192, 65536])
def test_a_body_in_pieces(world: World, peer: Peer, frame_max: int, piece: int) -> None:
    body = octets_of(SIZE)
    in_pieces(peer, peer.publish_octets(b"q", body, frame_max=frame_max), 200, piece)
    assert [found for _, found in peer.messages()] == [body]
    assert open_arrivals(world) == 0


def test_every_cut_near_a_border(world: World, peer: Peer) -> None:
    body = octets_of(40_000)
    whole = peer.publish_octets(b"q", body, frame_max=16_392)
    borders = [0, head_size(whole, body)]
    borders += [borders[1] + n * 16_392 for n in (1, 2)]
    borders += [len(whole)]
    for border in borders:
        for cut in range(max(1, border - 10), min(len(whole), border + 10)):
            peer.octets(whole[:cut])
            peer.octets(whole[cut:])
            assert [found for _, found in peer.messages()] == [body], cut
    assert open_arrivals(world) == 0


def test_it_is_laid_down_while_it_arrives(world: World, peer: Peer) -> None:
    body = octets_of(SIZE)
    whole = peer.publish_octets(b"q", body)
    peer.octets(whole[:30_000])
    arrival = peer.session.arrival
    assert arrival is not None
    assert arrival.gap == len(whole) - 30_000 - 1
    # What the owner of the socket receives straight into the block.
    view = arrival.view()
    view[:] = whole[30_000:-1]
    del view
    arrival.filled(len(whole) - 30_000 - 1)
    assert peer.messages() == []
    peer.octets(whole[-1:])
    assert [found for _, found in peer.messages()] == [body]


def test_other_channels_go_on_meanwhile(world: World, peer: Peer) -> None:
    peer.call(methods.ChannelOpen(), channel=2)
    peer.publish(b"q", b"", channel=2)
    peer.take()
    body = octets_of(SIZE)
    whole = peer.publish_octets(b"q", body, frame_max=20_000)
    first = head_size(whole, body) + 19_992 + 1
    peer.octets(whole[:first])
    peer.publish(b"q", b"small", channel=2)
    large = octets_of(50_000, 2)
    in_pieces(peer, peer.publish_octets(b"q", large, channel=2), 999)
    in_pieces(peer, whole[first:], 1013)
    assert [found for _, found in peer.messages()] == [b"small", large, body]
    assert open_arrivals(world) == 0


def test_confirms_follow_the_order_of_completion(world: World, peer: Peer) -> None:
    peer.call(methods.ConfirmSelect())
    peer.take()
    in_pieces(peer, peer.publish_octets(b"q", octets_of(SIZE)), 5000)
    peer.publish(b"q", b"next")
    acks = [m.delivery_tag for m in peer.take() if isinstance(m, methods.BasicAck)]
    assert acks[-1] == 2


@pytest.mark.parametrize("size", [20_000, 120_000, 900_000, 3_000_000])
def test_a_persistent_one_survives(tmp_path: pathlib.Path, size: int) -> None:
    world = World(str(tmp_path))
    peer = world.peer()
    peer.call(methods.QueueDeclare(queue="d", durable=True))
    peer.call(methods.ConfirmSelect())
    peer.publish(b"d", b"")
    body = octets_of(size)
    in_pieces(peer, peer.publish_octets(b"d", body, properties=PERSISTENT), 7000)
    assert isinstance(peer.last(), methods.BasicAck)
    assert open_arrivals(world) == 0
    world.stop()
    world = World(str(tmp_path))
    peer = world.peer()
    peer.call(methods.BasicConsume(queue="d", no_ack=True))
    assert [found for _, found in peer.messages()] == [body]
    world.stop()


def test_the_queue_goes_meanwhile(world: World, peer: Peer) -> None:
    whole = peer.publish_octets(b"q", octets_of(SIZE), mandatory=False)
    peer.octets(whole[:50_000])
    other = world.peer()
    other.call(methods.QueueDelete(queue="q"))
    peer.octets(whole[50_000:])
    assert open_arrivals(world) == 0
    assert not any(isinstance(m, methods.ChannelClose) for m in peer.take())


def test_the_exchange_goes_meanwhile(world: World, peer: Peer) -> None:
    peer.call(methods.ExchangeDeclare(exchange="x", type="fanout"))
    peer.call(methods.QueueBind(queue="q", exchange="x"))
    peer.publish(b"", b"", "x")
    whole = peer.publish_octets(b"", octets_of(SIZE), "x")
    peer.octets(whole[:50_000])
    world.peer().call(methods.ExchangeDelete(exchange="x"))
    peer.octets(whole[50_000:])
    close = peer.last()
    assert isinstance(close, methods.ChannelClose)
    assert close.reply_code == 404
    assert open_arrivals(world) == 0


def test_the_exchange_becomes_another_meanwhile(world: World, peer: Peer) -> None:
    """What was asked at the beginning is asked again at the end."""
    peer.call(methods.ExchangeDeclare(exchange="x", type="fanout"))
    peer.publish(b"", b"", "x")
    whole = peer.publish_octets(b"", octets_of(SIZE), "x")
    peer.octets(whole[:50_000])
    other = world.peer()
    other.call(methods.QueueBind(queue="q", exchange="x"))
    peer.octets(whole[50_000:])
    assert len(peer.messages()) == 1


@pytest.mark.parametrize(
    ("next_frame", "code"),
    [
        (method_frame(1, methods.QueueDeclare(queue="q").encode()), 505),
        (method_frame(1, methods.BasicPublish(routing_key=b"q").encode()), 505),
        (frame(2, 1, b"\0\x3c\0\0" + bytes(10)), 505),
        (frame(3, 1, bytes(90_000)), 501),
        (frame(7, 1, b""), 501),
    ],
)
def test_what_does_not_belong_there(world: World, peer: Peer, next_frame: bytes, code: int) -> None:
    """The same errors as for small messages."""
    body = octets_of(SIZE)
    whole = peer.publish_octets(b"q", body, frame_max=20_000)
    for piece in pairwise([0, 100, head_size(whole, body) + 19_993]):
        peer.octets(whole[slice(*piece)])
    assert open_arrivals(world) == 1
    peer.octets(next_frame)
    close = peer.last(0)
    assert isinstance(close, methods.ConnectionClose)
    assert close.reply_code == code
    assert open_arrivals(world) == 0


def test_a_wrong_end_octet(world: World, peer: Peer) -> None:
    whole = peer.publish_octets(b"q", octets_of(SIZE))
    peer.octets(whole[:50_000])
    peer.octets(whole[50_000:-1] + b"\0")
    close = peer.last(0)
    assert close.reply_code == 501
    assert open_arrivals(world) == 0


def test_the_client_leaves_in_the_middle(world: World, peer: Peer) -> None:
    live = world.blocks.bytes_live
    peer.octets(peer.publish_octets(b"q", octets_of(SIZE))[:50_000])
    assert open_arrivals(world) == 1
    peer.close()
    assert open_arrivals(world) == 0
    assert world.blocks.bytes_live <= live


def test_the_broker_closes_the_connection_in_the_middle(world: World, peer: Peer) -> None:
    whole = peer.publish_octets(b"q", octets_of(SIZE))
    peer.octets(whole[:50_000])
    peer.session.shutdown("test")
    world.settle()
    assert peer.last(0).reply_code == 320
    peer.octets(whole[50_000:] + method_frame(0, methods.ConnectionCloseOk().encode()))
    assert peer.is_closed
    assert open_arrivals(world) == 0
    assert peer.messages() == []


def test_more_than_the_node_takes_at_a_time(world: World) -> None:
    peers = [primed(world.peer(), f"q{n}") for n in range(70)]
    bodies = [octets_of(SIZE, n) for n in range(70)]
    wholes = [p.publish_octets(f"q{n}".encode(), bodies[n]) for n, p in enumerate(peers)]
    for peer, whole in zip(peers, wholes, strict=True):
        peer.octets(whole[:60_000])
    assert open_arrivals(world) == 64
    for peer, whole in zip(peers, wholes, strict=True):
        peer.octets(whole[60_000:])
    assert [p.messages()[0][1] for p in peers] == bodies
    assert open_arrivals(world) == 0


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_stream_in_any_pieces(data: st.DataObject) -> None:
    """Two channels with interleaved frames of messages of any size, cut anywhere: each channel's messages come out in order."""
    world = World()
    peer = primed(world.peer(), "q1")
    peer.call(methods.ChannelOpen(), channel=2)
    primed_second = methods.QueueDeclare(queue="q2")
    peer.call(primed_second, channel=2)
    peer.call(methods.BasicConsume(queue="q2", no_ack=True), channel=2)
    peer.publish(b"q2", b"", channel=2)
    peer.take()
    sizes = st.sampled_from([0, 1, 5000, 16_383, 16_384, 17_000, 70_000, 140_000])
    sent: dict[int, list[bytes]] = {1: [], 2: []}
    frames: dict[int, list[bytes]] = {1: [], 2: []}
    for channel in (1, 2):
        for n, size in enumerate(data.draw(st.lists(sizes, max_size=4))):
            body = octets_of(size, channel * 10 + n)
            sent[channel].append(body)
            frame_max = data.draw(st.sampled_from([4096, 17_000, 131072]))
            key = b"q%d" % channel
            whole = peer.publish_octets(key, body, channel=channel, frame_max=frame_max)
            at = 0
            while at < len(whole):
                end = at + 8 + int.from_bytes(whole[at + 3 : at + 7], "big")
                frames[channel].append(whole[at:end])
                at = end
    stream = b""
    while frames[1] or frames[2]:
        channel = data.draw(st.sampled_from([c for c in (1, 2) if frames[c]]))
        stream += frames[channel].pop(0)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    for start, end in pairwise([0, *sorted(cuts), len(stream)]):
        if end > start:
            peer.octets(stream[start:end])
    got: dict[int, list[bytes]] = {1: [], 2: []}
    for method, body in peer.messages():
        got[int(method.routing_key[1:])].append(body)
    assert got == sent
    assert open_arrivals(world) == 0
