"""What a client hears at the limits of its virtual host and its user; and that everything is counted down again."""

from __future__ import annotations

import pytest

from posthouse.broker.limits import CHANNELS, CONNECTIONS, USER, VHOST
from posthouse.wire.amqp091 import methods
from tests.support.inmemory import Peer, World


@pytest.fixture
def world() -> World:
    return World()


def refused(peer: Peer) -> tuple[int, str]:
    close = peer.last(0)
    assert isinstance(close, methods.ConnectionClose)
    return close.reply_code, close.reply_text


ENDS = {
    "close": lambda peer: peer.send(methods.ConnectionClose(reply_code=200), channel=0),
    "vanish": lambda peer: peer.close(),
    "error": lambda peer: peer.send(methods.BasicAck(delivery_tag=1), channel=7),
}


@pytest.mark.parametrize("end", ENDS)
def test_connections_of_a_virtual_host(world: World, end: str) -> None:
    world.broker.limits.set(VHOST, "/", {CONNECTIONS: 2})
    first, second = world.peer(), world.peer()
    third = Peer(world)
    third.open()
    assert refused(third) == (
        530,
        "NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (2) is reached",
    )
    third.close()
    for _ in range(3):
        ENDS[end](first)
        first = world.peer()
        first.close()
        second.close()
        first, second = world.peer(), world.peer()


def test_connections_of_a_user(world: World) -> None:
    world.broker.limits.set(USER, "guest", {CONNECTIONS: 0})
    peer = Peer(world)
    peer.open()
    assert refused(peer) == (
        530,
        "NOT_ALLOWED - connection refused for user 'guest': user connection limit (0) is reached",
    )


def test_channels_of_a_user(world: World) -> None:
    world.broker.limits.set(USER, "guest", {CHANNELS: 3})
    first, second = world.peer(), world.peer()
    second.call(methods.ChannelOpen(), channel=2)
    for _ in range(5):
        second.call(methods.ChannelClose(reply_code=200), channel=2)
        second.call(methods.ChannelOpen(), channel=2)
        # The broker closes a channel: it counts until the client has answered.
        second.call(methods.QueueDeclare(queue="nowhere", passive=True), channel=2)
        second.send(methods.ChannelCloseOk(), channel=2)
        second.call(methods.ChannelOpen(), channel=2)
    first.send(methods.ChannelOpen(), channel=9)
    assert refused(first) == (
        530,
        "NOT_ALLOWED - number of channels opened for user 'guest' has reached the maximum allowed "
        "user limit of (3)",
    )
    # The refused connection's own channel is free again.
    second.call(methods.ChannelOpen(), channel=3)
    assert isinstance(second.last(3), methods.ChannelOpenOk)


def test_deleting_a_user_or_a_virtual_host_forgets_its_limits(world: World) -> None:
    world.users.add_user("u", "p")
    world.broker.limits.set(USER, "u", {CHANNELS: 3})
    world.users.delete_user("u")
    world.broker.add_vhost("v")
    world.broker.limits.set(VHOST, "v", {CONNECTIONS: 3})
    world.broker.delete_vhost("v")
    assert world.broker.limits.of(USER, "u", CHANNELS) == -1
    assert world.broker.limits.of(VHOST, "v", CONNECTIONS) == -1
