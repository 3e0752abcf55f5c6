"""The generator's lanes against frames from the codec, cut anywhere, and against naive models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.client.load import ConsumeLane, PublishLane
from posthouse.wire.amqp091.frames import content_frames, heartbeat_frame, method_frame
from posthouse.wire.amqp091.methods import (
    BasicAck,
    BasicConsumeOk,
    BasicDeliver,
    BasicNack,
    BasicReturn,
    ConnectionBlocked,
    decode_method,
)

PROPS = b"\x10\x00\x01"


def delivery(tag: int, body: bytes, frame_max: int = 131072) -> bytes:
    method = BasicDeliver(consumer_tag="c0.0", delivery_tag=tag, exchange="x", routing_key=b"k")
    return method_frame(1, method.encode()) + content_frames(1, 60, PROPS, body, frame_max)


def ack(tag: int, *, multiple: bool = False) -> bytes:
    return method_frame(1, BasicAck(delivery_tag=tag, multiple=multiple).encode())


def nack(tag: int, *, multiple: bool = False) -> bytes:
    return method_frame(1, BasicNack(delivery_tag=tag, multiple=multiple).encode())


def feed_pieces(lane: PublishLane | ConsumeLane, data: bytes, cuts: list[int], now: int = 0) -> int:
    """Feed ``data`` in pieces that end at ``cuts``, as a socket would; the octets left over."""
    buffer = bytearray(len(data) + 64)
    rest = at = 0
    for end in [*sorted(c % (len(data) + 1) for c in cuts), len(data)]:
        if end > at:
            buffer[rest : rest + end - at] = data[at:end]
            rest = lane.feed(buffer, rest + end - at, now)
            at = end
    return rest


def publisher(
    *, window: int = 0, quota: int = 0, unit: int = 50, units: int = 4, stamp_at: int = 40
) -> PublishLane:
    data = b"".join(bytes((65 + n,)) * unit for n in range(units))
    return PublishLane(data, unit, window, quota, stamp_at)


def send_all(lane: PublishLane, now: int = 0) -> bytes:
    """Send whatever is allowed; the octets that went out."""
    out = b""
    while size := lane.sendable(False):
        assert lane.offset + size <= lane.total
        out += lane.units[lane.offset : lane.offset + size]
        lane.advance(size, now)
    return out


# ---- consuming


@given(
    st.integers(1, 6),
    st.integers(0, 300),
    st.sampled_from([64, 4096]),
    st.lists(st.integers(0, 10_000), max_size=12),
)
def test_counts_deliveries_wherever_the_stream_is_cut(
    count: int, size: int, frame_max: int, cuts: list[int]
) -> None:
    data = b"".join(delivery(tag, b"x" * size, frame_max) for tag in range(1, count + 1))
    lane = ConsumeLane(size, False)
    assert feed_pieces(lane, data, cuts, now=7) == 0
    assert (lane.received, lane.last_tag, lane.ackable()) == (count, count, count)
    assert (lane.failure, lane.last_received) == ("", 7)


@given(st.integers(0, 10_000))
def test_only_whole_messages_may_be_acknowledged(cut: int) -> None:
    data = delivery(1, b"x" * 40, 32) + delivery(2, b"x" * 40, 32)
    half = len(data) // 2
    end = cut % len(data)
    lane = ConsumeLane(40, False)
    buffer = bytearray(data[:end]) + bytearray(64)
    lane.feed(buffer, end, 0)
    assert lane.ackable() == lane.received == end // half


def test_an_incomplete_frame_is_moved_to_the_front() -> None:
    data = delivery(1, b"abc") + b"\x01\x00\x01\x00"
    buffer = bytearray(data)
    lane = ConsumeLane(3, False)
    assert lane.feed(buffer, len(data), 0) == 4
    assert buffer[:4] == b"\x01\x00\x01\x00"


def test_latency_is_taken_from_the_stamp_in_the_body() -> None:
    lane = ConsumeLane(16, True)
    for tag, due in ((1, 1000), (2, 1500)):
        data = delivery(tag, due.to_bytes(8, "little") + b"x" * 8)
        lane.feed(bytearray(data), len(data), 2000)
    assert (lane.latency.count, lane.latency.max) == (2, 1000)


def test_other_methods_and_heartbeats_pass_through() -> None:
    ok = BasicConsumeOk(consumer_tag="c")
    data = heartbeat_frame() + method_frame(1, ok.encode()) + delivery(1, b"abc")
    lane = ConsumeLane(3, False)
    assert feed_pieces(lane, data, [5, 9, 20]) == 0
    assert [decode_method(p) for p in lane.cold] == [ok]
    assert (lane.received, lane.failure) == (1, "")


@pytest.mark.parametrize(
    ("data", "failure"),
    [
        (delivery(2, b"abc"), "delivery tag 2 follows 0"),
        (delivery(1, b"abcd"), "a body of 4 bytes instead of 3"),
        (delivery(1, b"abc")[:-1] + b"\x00", "a frame does not end with 0xCE"),
        (b"\x09" + heartbeat_frame()[1:], "a frame of type 9"),
        (b"\x03\x00\x01\x00\x00\x00\x01x\xce", "an unexpected body frame"),
        (b"\x01\x00\x01\xff\xff\xff\xff\x00", "a frame is too large"),
    ],
)
def test_what_cannot_be_is_told_and_ends_the_lane(data: bytes, failure: str) -> None:
    lane = ConsumeLane(3, False)
    feed_pieces(lane, data, [])
    assert lane.failure == failure
    received = lane.received
    more = delivery(lane.last_tag + 1, b"abc")
    lane.feed(bytearray(more), len(more), 0)
    assert lane.received == received


# ---- publishing


def test_units_are_sent_over_and_over() -> None:
    lane = publisher(quota=9)
    assert send_all(lane) == (lane.units * 3)[: 9 * 50]
    assert lane.sent == 9


@given(
    st.integers(1, 12),
    st.integers(1, 6),
    st.lists(st.integers(1, 400), min_size=1, max_size=40),
)
def test_short_sends_neither_lose_nor_repeat_an_octet(
    quota: int, units: int, sizes: list[int]
) -> None:
    lane = publisher(quota=quota, units=units)
    out = b""
    for taken in sizes:
        size = min(taken, lane.sendable(False))
        out += lane.units[lane.offset : lane.offset + size]
        if size:
            lane.advance(size, 1)
    assert out == (lane.units * (quota + 1))[: len(out)]
    assert lane.sent == len(out) // lane.unit <= quota


def test_a_stop_lets_a_message_sent_in_part_be_finished() -> None:
    lane = publisher(units=40)
    lane.advance(70, 0)
    assert lane.sent == 1
    assert lane.sendable(True) == 30
    lane.advance(30, 0)
    assert (lane.sent, lane.sendable(True)) == (2, 0)


def test_the_window_bounds_what_is_open() -> None:
    lane = publisher(window=3)
    send_all(lane)
    assert (lane.sent, lane.sendable(False)) == (3, 0)
    feed_pieces(lane, ack(1), [])
    assert lane.sendable(False) == 50
    send_all(lane)
    feed_pieces(lane, ack(4, multiple=True), [])
    assert (lane.sent, lane.confirmed, lane.allowance()) == (4, 4, 3)


CONFIRMS = st.lists(st.tuples(st.integers(1, 40), st.booleans(), st.booleans()), max_size=40)


@given(CONFIRMS, st.lists(st.integers(0, 3000), max_size=8))
def test_confirms_in_any_order_against_a_set(
    confirms: list[tuple[int, bool, bool]], cuts: list[int]
) -> None:
    lane = publisher(window=40)
    send_all(lane, now=100)
    open_tags = set(range(1, 41))
    data = b""
    nacks = 0
    for tag, multiple, positive in confirms:
        settled = {t for t in open_tags if t <= tag} if multiple else {tag}
        if not settled & open_tags or (not multiple and tag not in open_tags):
            continue
        open_tags -= settled
        nacks += not positive
        data += (ack if positive else nack)(tag, multiple=multiple)
    assert feed_pieces(lane, data, cuts, now=350) == 0
    assert lane.failure == ""
    assert lane.confirmed == lane.latency.count == 40 - len(open_tags)
    assert lane.base == min(open_tags, default=41) - 1
    assert lane.nacked == nacks
    assert lane.latency.max == (250 if lane.confirmed else 0)


@pytest.mark.parametrize(
    ("data", "failure"),
    [
        (ack(9), "confirm of tag 9, but 0 to 3 were open"),
        (ack(2) + ack(2), "tag 2 was confirmed twice"),
        (ack(1) + ack(1), "confirm of tag 1, but 1 to 3 were open"),
    ],
)
def test_a_confirm_that_cannot_be_is_told(data: bytes, failure: str) -> None:
    lane = publisher(window=3)
    send_all(lane)
    feed_pieces(lane, data, [])
    assert lane.failure == failure


def test_returns_are_counted_and_their_content_skipped() -> None:
    returned = BasicReturn(reply_code=312, reply_text="NO_ROUTE", exchange="", routing_key=b"k")
    blocked = ConnectionBlocked(reason="memory")
    data = method_frame(1, returned.encode()) + content_frames(1, 60, PROPS, b"x" * 30, 4096)
    data += method_frame(0, blocked.encode()) + ack(1)
    lane = publisher(window=1)
    send_all(lane)
    assert feed_pieces(lane, data, [3, 50]) == 0
    assert (lane.returned, lane.confirmed) == (1, 1)
    assert [decode_method(p) for p in lane.cold] == [blocked]


@given(st.integers(1, 50), st.integers(0, 2000), st.integers(0, 700))
def test_a_rate_sends_what_is_due_and_stamps_it(interval: int, now: int, room: int) -> None:
    lane = publisher(units=3)
    lane.schedule(100, interval)
    out = bytearray(room)
    used = lane.write_due(out, 0, now)
    due = list(range(100, now + 1, interval))[: room // 50]
    assert used == 50 * len(due)
    assert lane.sent == len(due)
    for index, stamp in enumerate(due):
        unit = bytearray(lane.units[index % 3 * 50 :][:50])
        unit[40:48] = stamp.to_bytes(8, "little")
        assert out[index * 50 : index * 50 + 50] == unit
    assert lane.next_due == 100 + interval * len(due)


def test_a_rate_respects_window_and_quota() -> None:
    lane = publisher(window=2, quota=3)
    lane.schedule(0, 1)
    out = bytearray(1000)
    used = lane.write_due(out, 0, 100)
    assert lane.sent == 2
    feed_pieces(lane, ack(2, multiple=True), [], now=101)
    assert lane.latency.max == 101
    assert lane.write_due(out, used, 100) == 150
    assert (lane.sent, lane.next_due) == (3, 3)


@pytest.mark.parametrize(
    "arguments",
    [
        (b"", 50, 0, 0, 0),
        (b"x" * 49, 50, 0, 0, 0),
        (b"x" * 50, 0, 0, 0, 0),
        (b"x" * 50, 50, -1, 0, 0),
        (b"x" * 50, 50, 0, -1, 0),
        (b"x" * 50, 50, 0, 0, 51),
    ],
)
def test_refuses_units_that_are_not_whole(arguments: tuple[bytes, int, int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"units|negative"):
        PublishLane(*arguments)


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="interval"):
        publisher().schedule(0, 0)
