"""Frames and methods that nobody should send: the close that RabbitMQ 3.10 answers, to the letter."""

from __future__ import annotations

import pytest

from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.frames import BODY, HEADER, HEARTBEAT, METHOD, frame
from tests.support.inmemory import World

PUBLISH = frame(METHOD, 1, methods.BasicPublish(routing_key=b"nowhere").encode())
QOS = methods.BasicQos().encode()
DECLARE = methods.QueueDeclare(queue="o1", auto_delete=True).encode()
NO_HEADER = "expected content header for class 60, got non content header frame instead"

CASES = {
    "left-over octets": (
        frame(METHOD, 1, QOS + b"zz"),
        (501, "FRAME_ERROR - cannot decode <<0,0,0,0,0,0,0,122,122>>", 60, 10),
    ),
    "arguments cut short": (
        frame(METHOD, 1, QOS[:6]),
        (501, "FRAME_ERROR - cannot decode <<0,0>>", 60, 10),
    ),
    "left-over octets behind publish": (
        frame(METHOD, 1, methods.BasicPublish(routing_key=b"o1").encode() + b"z"),
        (501, "FRAME_ERROR - cannot decode <<0,0,0,2,111,49,0,122>>", 60, 40),
    ),
    "left-over octets behind ack": (
        frame(METHOD, 1, methods.BasicAck(delivery_tag=1).encode() + b"z"),
        (501, "FRAME_ERROR - cannot decode <<0,0,0,0,0,0,0,1,0,122>>", 60, 80),
    ),
    "a table beyond the frame": (
        frame(METHOD, 1, DECLARE[:-4] + b"\0\0\xff\xff"),
        (501, "FRAME_ERROR - cannot decode <<0,0,2,111,49,8,0,0,255,255>>", 50, 10),
    ),
    "a name that is not UTF-8": (
        frame(METHOD, 1, methods.QueueDeclare(queue="\udcff").encode()),
        (501, "FRAME_ERROR - Malformed UTF-8 in shortstr", 0, 0),
    ),
    "no method": (
        frame(METHOD, 1, b"\0\x32"),
        (501, "FRAME_ERROR - type 1, all octets = <<0,50>>: unknown_frame", 0, 0),
    ),
    "an unknown type of frame": (
        frame(5, 1, b"abc"),
        (501, 'FRAME_ERROR - type 5, all octets = <<"abc">>: unknown_frame', 0, 0),
    ),
    "an unknown type of frame on channel 0": (
        frame(5, 0, b"a" * 400),
        (
            501,
            'FRAME_ERROR - type 5, first 16 octets = <<"aaaaaaaaaaaaaaaa">>: unknown_frame',
            0,
            0,
        ),
    ),
    "a heartbeat on a channel": (
        frame(HEARTBEAT, 1, b""),
        (505, "UNEXPECTED_FRAME - type 8, all octets = <<>>", 0, 0),
    ),
    "a heartbeat with a payload": (
        frame(HEARTBEAT, 0, b"abc"),
        (501, 'FRAME_ERROR - type 8, all octets = <<"abc">>: unknown_frame', 0, 0),
    ),
    "a frame above the limit": (
        b"\x01\0\1\x7f\0\0\0abcdef",
        (501, "FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,2130706432,131064}", 0, 0),
    ),
    "a content header that is none": (
        PUBLISH + frame(HEADER, 1, b"\0\x3c\0\0"),
        (501, "FRAME_ERROR - type 2, all octets = <<0,60,0,0>>: unknown_frame", 0, 0),
    ),
    "a content header with a weight": (
        PUBLISH + frame(HEADER, 1, b"\0\x3c\0\7" + bytes(10)),
        (505, f"UNEXPECTED_FRAME - {NO_HEADER}", 60, 40),
    ),
    "a content header of another class": (
        PUBLISH + frame(HEADER, 1, b"\0\x32" + bytes(12)),
        (
            505,
            "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead",
            60,
            40,
        ),
    ),
    "a body without a header": (
        PUBLISH + frame(BODY, 1, b"x"),
        (505, f"UNEXPECTED_FRAME - {NO_HEADER}", 60, 40),
    ),
    # RabbitMQ drops the socket here; the specification has codes for both.
    "an unknown method": (
        frame(METHOD, 1, b"\0\x32\0\x63"),
        (503, "COMMAND_INVALID - unimplemented method", 50, 99),
    ),
    "a malformed table": (
        frame(METHOD, 1, DECLARE[:-4] + b"\0\0\0\3\1aQ"),
        (502, "SYNTAX_ERROR - unknown field type 81", 50, 10),
    ),
}


@pytest.mark.parametrize(("octets", "expected"), CASES.values(), ids=CASES.keys())
def test_is_answered_with_rabbitmqs_close(
    octets: bytes, expected: tuple[int, str, int, int]
) -> None:
    world = World()
    peer = world.peer()
    peer.octets(octets)
    close = peer.last(0)
    assert isinstance(close, methods.ConnectionClose)
    assert (
        close.reply_code,
        close.reply_text,
        close.failing_class_id,
        close.failing_method_id,
    ) == expected


@pytest.mark.parametrize("flags", [b"\0\1", b"\0\2"])
def test_property_flags_without_a_property_are_ignored(flags: bytes) -> None:
    world = World()
    peer = world.peer()
    peer.call(methods.QueueDeclare(queue="q"))
    publish = frame(METHOD, 1, methods.BasicPublish(routing_key=b"q").encode())
    peer.octets(publish + frame(HEADER, 1, b"\0\x3c\0\0" + bytes(8) + flags))
    assert peer.call(methods.QueueDeclare(queue="q", passive=True)).message_count == 1
