"""Frames against octets written out by hand; RabbitMQ's sentences about bad ones (seen on 3.10.8)."""

from __future__ import annotations

import pytest

from posthouse.wire.amqp091.frames import (
    BODY,
    HEADER,
    HEARTBEAT,
    METHOD,
    FrameReader,
    content_frames,
    frame,
    heartbeat_frame,
    method_frame,
)
from posthouse.wire.errors import BadFrameEnd, FrameTooLarge, UnknownFrame


def test_frames_a_method() -> None:
    octets = bytes.fromhex("01 0102 00000004 005a0014 ce")
    assert method_frame(0x102, b"\x00\x5a\x00\x14") == octets
    assert list(FrameReader().feed(octets)) == [(METHOD, 0x102, b"\x00\x5a\x00\x14")]


def test_heartbeats_are_on_channel_0() -> None:
    assert list(FrameReader().feed(heartbeat_frame())) == [(HEARTBEAT, 0, b"")]


def test_frames_content_without_a_body() -> None:
    octets = bytes.fromhex("02 0001 0000000e 003c 0000 0000000000000000 0000 ce")
    assert content_frames(1, 60, b"\0\0", b"", 131072) == octets


@pytest.mark.parametrize(
    ("size", "sizes"), [(1, [1]), (4088, [4088]), (4089, [4088, 1]), (9000, [4088, 4088, 824])]
)
def test_fills_body_frames_fully(size: int, sizes: list[int]) -> None:
    body = bytes(i % 251 for i in range(size))
    frames = list(FrameReader(4096).feed(content_frames(1, 60, b"\0\0", body, 4096)))
    assert [kind for kind, _, _ in frames] == [HEADER] + [BODY] * len(sizes)
    assert [len(payload) for _, _, payload in frames[1:]] == sizes
    assert b"".join(payload for _, _, payload in frames[1:]) == body
    assert int.from_bytes(frames[0][2][4:12], "big") == size


def test_one_body_frame_where_there_is_no_limit() -> None:
    frames = list(FrameReader(0).feed(content_frames(1, 60, b"\0\0", bytes(300_000), 0)))
    assert len(frames) == 2


def test_reads_frames_that_come_octet_by_octet() -> None:
    stream = method_frame(1, b"abcd") + heartbeat_frame() + frame(BODY, 7, b"x" * 300)
    reader = FrameReader()
    found = [f for i in range(len(stream)) for f in reader.feed(stream[i : i + 1])]
    assert found == [(METHOD, 1, b"abcd"), (HEARTBEAT, 0, b""), (BODY, 7, b"x" * 300)]


def test_keeps_frames_that_the_caller_left() -> None:
    reader = FrameReader()
    assert next(iter(reader.feed(frame(1, 1, b"a") + frame(1, 2, b"b")))) == (1, 1, b"a")
    assert list(reader.feed(frame(1, 3, b"c"))) == [(1, 2, b"b"), (1, 3, b"c")]


def test_refuses_a_frame_above_the_limit_before_its_octets_come() -> None:
    reader = FrameReader(131072)
    with pytest.raises(FrameTooLarge) as caught:
        list(reader.feed(b"\x01\0\1\x7f\0\0\0abcdef"))
    assert caught.value.explanation == (
        "type 1, all octets = <<>>: {frame_too_large,2130706432,131064}"
    )
    assert caught.value.reply_code == 501


def test_takes_a_payload_of_exactly_frame_max() -> None:
    assert list(FrameReader(4096).feed(frame(BODY, 1, bytes(4096)))) == [(BODY, 1, bytes(4096))]
    with pytest.raises(FrameTooLarge):
        list(FrameReader(4096).feed(frame(BODY, 1, bytes(4097))))


def test_gives_the_good_frames_before_a_bad_one() -> None:
    frames = FrameReader().feed(heartbeat_frame() + b"\x01\0\1\0\0\0\x03abcd")
    assert next(frames) == (HEARTBEAT, 0, b"")
    with pytest.raises(BadFrameEnd):
        next(frames)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"abc", '<<"abc">>'),
        (b"\x01\x02\x03", "<<1,2,3>>"),
        (b'a"b\\c\x1b\t', '<<"a\\"b\\\\c\\e\\t">>'),
        (b"abc\xe9\n", '<<"abc\xe9\\n">>'),
        (b"", "<<>>"),
    ],
)
def test_shows_octets_as_erlang_does(payload: bytes, text: str) -> None:
    with pytest.raises(BadFrameEnd) as caught:
        list(FrameReader().feed(frame(1, 1, payload)[:-1] + b"d"))
    assert caught.value.explanation == (
        f"type 1, all octets = {text}: {{invalid_frame_end_marker,100}}"
    )
    assert UnknownFrame(5, payload).explanation == f"type 5, all octets = {text}: unknown_frame"


def test_shows_the_first_sixteen_octets_of_many() -> None:
    assert UnknownFrame(5, b"a" * 400).explanation == (
        'type 5, first 16 octets = <<"aaaaaaaaaaaaaaaa">>: unknown_frame'
    )
