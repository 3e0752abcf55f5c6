"""A connection's life at frame level: handshake, tuning, errors, closing (AMQP 0-9-1 §2.2.4, RabbitMQ's texts)."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import pytest

from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.frames import method_frame
from tests.support.inmemory import CAPABILITIES, HEADER, Peer, World


@pytest.fixture
def world() -> World:
    return World()


def test_answers_the_protocol_header_with_start(world: World) -> None:
    peer = Peer(world)
    peer.octets(HEADER)
    start = peer.last(0)
    assert isinstance(start, methods.ConnectionStart)
    assert (start.version_major, start.version_minor) == (0, 9)
    assert start.server_properties["product"] == "RabbitMQ"
    assert start.server_properties["capabilities"]["publisher_confirms"] is True
    assert start.mechanisms.split()[:2] == [b"PLAIN", b"AMQPLAIN"]


def test_a_header_in_single_octets_is_the_same(world: World) -> None:
    peer = Peer(world)
    for octet in HEADER:
        peer.octets(bytes((octet,)))
    assert isinstance(peer.last(0), methods.ConnectionStart)


@pytest.mark.parametrize(
    "header", [b"GET / HTTP/1.1\r\n\r\n", b"AMQP\x03\x01\x00\x00", b"\x16\x03\x01"]
)
def test_a_wrong_header_is_answered_with_ours_and_a_closed_socket(
    world: World, header: bytes
) -> None:
    peer = Peer(world)
    peer.session.flush = lambda: None
    peer.octets(header)
    assert bytes(peer.session.out[: peer.session.on]) == HEADER
    assert peer.session.is_finished


def test_wrong_password_gets_403_with_rabbitmqs_text(world: World) -> None:
    peer = Peer(world)
    peer.open(password="wrong")
    close = peer.last(0)
    assert isinstance(close, methods.ConnectionClose)
    assert close.reply_code == 403
    assert close.reply_text == (
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
        "For details see the broker logfile."
    )


def test_a_refused_login_waits_and_nothing_is_read_meanwhile(world: World) -> None:
    waiting: list[Callable[[], object]] = []
    world.services = dataclasses.replace(world.services, refuse_later=waiting.append)
    for user in ("guest", "nobody"):
        peer = Peer(world)
        peer.open(user=user, password="wrong", channel=False)
        assert not isinstance(peer.last(0), methods.ConnectionClose)
        peer.octets(b"what comes now is not looked at")
        assert len(waiting) == 1
        waiting.pop()()
        world.settle()
        peer.flush()
        assert peer.last(0).reply_code == 403
        peer.send(methods.ConnectionCloseOk(), channel=0)
        assert peer.is_closed


def test_what_comes_with_a_refused_login_is_not_kept(world: World) -> None:
    """Found by the session fuzz: what stood in the first receive was kept for the whole second (P19)."""
    world.services = dataclasses.replace(world.services, refuse_later=lambda callback: None)
    peer = Peer(world)
    start_ok = methods.ConnectionStartOk(mechanism="PLAIN", response=b"\0guest\0wrong")
    peer.octets(HEADER + method_frame(0, start_ok.encode()) + bytes(200_000))
    assert peer.session.stopped
    assert peer._tail == b""


def test_a_client_that_left_before_its_refusal_is_forgotten(world: World) -> None:
    waiting: list[Callable[[], object]] = []
    world.services = dataclasses.replace(world.services, refuse_later=waiting.append)
    peer = Peer(world)
    peer.open(password="wrong", channel=False)
    peer.close()
    waiting.pop()()
    assert not peer.session.on


def test_unknown_user_gets_the_same_answer_as_a_wrong_password(world: World) -> None:
    answers = []
    for user in ("guest", "nobody"):
        peer = Peer(world)
        peer.open(user=user, password="wrong")
        answers.append(peer.last(0).reply_text)
    assert answers[0] == answers[1]


def test_guest_is_refused_from_another_machine(world: World) -> None:
    peer = Peer(world, address="192.0.2.7")
    peer.open()
    assert peer.last(0).reply_code == 403


def test_a_client_that_cannot_read_a_refusal_gets_a_closed_socket(world: World) -> None:
    peer = Peer(world)
    peer.octets(HEADER)
    peer.send(
        methods.ConnectionStartOk(mechanism="PLAIN", response=b"\0guest\0no", locale="en_US"),
        channel=0,
    )
    assert peer.is_closed
    assert isinstance(peer.last(0), methods.ConnectionStart)


def test_challenge_and_response(world: World) -> None:
    peer = Peer(world)
    peer.octets(HEADER)
    peer.send(
        methods.ConnectionStartOk(
            client_properties=CAPABILITIES,
            mechanism="RABBIT-CR-DEMO",
            response=b"guest",
            locale="en_US",
        ),
        channel=0,
    )
    assert peer.last(0) == methods.ConnectionSecure(challenge=b"Please tell me your password")
    answer = peer.call(methods.ConnectionSecureOk(response=b"My password is guest"), channel=0)
    assert isinstance(answer, methods.ConnectionTune)


@pytest.mark.parametrize(
    ("frame_max", "text"),
    [
        (
            131073,
            "NOT_ALLOWED - negotiated frame_max = 131073 is higher than the maximum allowed value (131072)",
        ),
        (
            4095,
            "NOT_ALLOWED - negotiated frame_max = 4095 is lower than the minimum allowed value (4096)",
        ),
    ],
)
def test_tuned_values_outside_the_limits_are_refused(
    world: World, frame_max: int, text: str
) -> None:
    peer = Peer(world)
    peer.open(frame_max=frame_max)
    close = peer.last(0)
    assert (close.reply_code, close.reply_text) == (530, text)


def test_missing_vhost(world: World) -> None:
    peer = Peer(world)
    peer.open(vhost="nowhere")
    close = peer.last(0)
    assert (close.reply_code, close.reply_text) == (530, "NOT_ALLOWED - vhost nowhere not found")


def test_vhost_without_permission(world: World) -> None:
    world.broker.add_vhost("other")
    peer = Peer(world)
    peer.open(vhost="other")
    assert (
        peer.last(0).reply_text == "NOT_ALLOWED - access to vhost 'other' refused for user 'guest'"
    )


def test_close_is_answered_and_the_client_closes_the_socket(world: World) -> None:
    peer = world.peer()
    assert (
        peer.call(methods.ConnectionClose(reply_code=200), channel=0) == methods.ConnectionCloseOk()
    )
    assert not peer.is_closed
    peer.octets(Peer.publish_octets(b"q", b"still under way"))
    assert peer.received[-1][1] == methods.ConnectionCloseOk()


def test_channel_opened_twice(world: World) -> None:
    peer = world.peer()
    peer.send(methods.ChannelOpen())
    close = peer.last(0)
    assert (close.reply_code, close.reply_text) == (
        504,
        "CHANNEL_ERROR - second 'channel.open' seen",
    )


def test_method_on_a_channel_that_is_not_open(world: World) -> None:
    peer = world.peer(channel=False)
    peer.send(methods.QueueDeclare(queue="q"), channel=7)
    close = peer.last(0)
    assert (close.reply_code, close.reply_text) == (504, "CHANNEL_ERROR - expected 'channel.open'")
    assert (close.failing_class_id, close.failing_method_id) == (50, 10)


def test_a_channel_error_closes_the_channel_only(world: World) -> None:
    peer = world.peer()
    close = peer.call(methods.QueueDeclare(queue="missing", passive=True))
    assert isinstance(close, methods.ChannelClose)
    assert (close.reply_code, close.reply_text) == (
        404,
        "NOT_FOUND - no queue 'missing' in vhost '/'",
    )
    assert (close.failing_class_id, close.failing_method_id) == (50, 10)
    peer.take()
    peer.send(methods.QueueDeclare(queue="dropped"), methods.QueueDeclare(queue="dropped"))
    assert peer.take() == []
    peer.send(methods.ChannelCloseOk(), methods.ChannelOpen())
    assert isinstance(peer.last(), methods.ChannelOpenOk)
    assert "dropped" not in world.broker.vhosts["/"].queues


def deaf_for_a_while(peer: Peer) -> None:
    """Nothing is heard any more, and the socket closes when the client had time to read the reason."""
    peer.take()
    peer.octets(method_frame(1, methods.BasicQos().encode()) + b"whatever")
    assert peer.take() == []
    for second in range(5):
        peer.session.on_second(float(second))
    assert not peer.is_closed
    peer.session.on_second(5.0)
    assert peer.is_closed


def test_frame_above_the_limit(world: World) -> None:
    peer = world.peer(frame_max=4096)
    peer.octets(b"\x01\x00\x01" + (5000).to_bytes(4, "big"))
    assert peer.last(0).reply_code == 501
    assert "frame_too_large" in peer.last(0).reply_text
    deaf_for_a_while(peer)


def test_wrong_frame_end(world: World) -> None:
    peer = world.peer()
    peer.octets(b"\x01\x00\x01\x00\x00\x00\x04\x00\x14\x00\x0a\x00")
    assert peer.last(0).reply_code == 501
    assert "invalid_frame_end_marker" in peer.last(0).reply_text
    deaf_for_a_while(peer)


def beating(world: World, heartbeat_s: int) -> Peer:
    """A client that is connected and asked for heartbeats."""
    peer = Peer(world)
    peer.octets(HEADER)
    peer.send(
        methods.ConnectionStartOk(
            client_properties=CAPABILITIES,
            mechanism="PLAIN",
            response=b"\0guest\0guest",
            locale="en_US",
        ),
        channel=0,
    )
    peer.send(
        methods.ConnectionTuneOk(channel_max=10, frame_max=8192, heartbeat=heartbeat_s),
        methods.ConnectionOpen(virtual_host="/"),
        channel=0,
    )
    peer.take()
    return peer


@pytest.mark.parametrize(("heartbeat_s", "every_s"), [(1, 1), (2, 1), (6, 3), (60, 30)])
def test_heartbeats_come_twice_in_an_interval(world: World, heartbeat_s: int, every_s: int) -> None:
    """Once a second at most, and so soon after other output; a client gives up after two intervals without one."""
    peer = beating(world, heartbeat_s)
    came = [0]
    for second in range(1, 4 * every_s + 1):
        peer.octets(b"\x08\x00\x00\x00\x00\x00\x00\xce")
        peer.session.on_second(float(second))
        world.settle()
        if (8, b"") in peer.take():
            came.append(second)
    assert [b - a for a, b in itertools.pairwise(came)] == [every_s] * (len(came) - 1)
    assert len(came) == 5


def test_heartbeats_are_taken_and_sent(world: World) -> None:
    peer = beating(world, 2)
    peer.octets(b"\x08\x00\x00\x00\x00\x00\x00\xce")
    for second in range(1, 4):
        peer.session.on_second(float(second))
        world.settle()
    assert (8, b"") in peer.take()
    assert not peer.is_closed
    for second in range(4, 6):
        peer.session.on_second(float(second))
        world.settle()
    assert peer.is_closed  # four whole seconds of silence


def test_shutdown_closes_with_320(world: World) -> None:
    peer = world.peer()
    peer.session.shutdown("broker forced connection closure with reason 'shutdown'")
    world.settle()
    close = peer.last(0)
    assert (close.reply_code, close.reply_text) == (
        320,
        "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
    )
    peer.send(methods.ConnectionCloseOk(), channel=0)
    assert peer.is_closed
