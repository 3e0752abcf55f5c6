"""Options of the generator, and the publishes made from them."""

from __future__ import annotations

import pytest

from posthouse.cli.perf.plan import Address, BadPlan, Plan
from posthouse.cli.perf.units import encode_units
from posthouse.wire.amqp091.frames import BODY, HEADER, METHOD, FrameReader
from posthouse.wire.amqp091.methods import BasicPublish, decode_method
from posthouse.wire.amqp091.properties import BasicProperties


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("amqp://localhost", Address("localhost")),
        ("localhost:5673", Address("localhost", 5673)),
        ("amqp://a:b%40c@h:1/v%2Fw", Address("h", 1, "a", "b@c", "v/w")),
        ("amqp://a:@h/", Address("h", 5672, "a", "", "/")),
        ("amqp://[::1]:7/x", Address("::1", 7, vhost="x")),
    ],
)
def test_parses_urls(url: str, address: Address) -> None:
    assert Address.parse(url) == address


@pytest.mark.parametrize("url", ["amqps://h", "http://h", "amqp://h:99999", "amqp://h:x"])
def test_refuses_other_urls(url: str) -> None:
    with pytest.raises(BadPlan):
        Address.parse(url)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "walk"},
        {"exchange": "odd"},
        {"exchange": "headers", "queues": 2},
        {"size_bytes": 0},
        {"mode": "latency", "size_bytes": 7},
        {"queues": 0},
        {"processes": 0},
        {"producers": -1},
        {"prefetch": 65536},
        {"rate": 0.0},
        {"deadline_s": 0.0},
        {"mode": "backlog"},
        {"pattern": "no place for a number"},
        {"pattern": "%s.%d"},
        {"queue_prefix": "q" * 201},
    ],
)
def test_refuses_what_cannot_be_run(options: dict[str, object]) -> None:
    with pytest.raises(BadPlan):
        Plan(**options).check()  # type: ignore[arg-type]


def test_producers_share_the_count() -> None:
    plan = Plan(producers=3, count=11)
    assert [plan.producer_quota(i) for i in range(3)] == [4, 4, 3]
    assert Plan(producers=3).producer_quota(0) == 0


@pytest.mark.parametrize(("consumers", "queues"), [(1, 5), (2, 5), (5, 5), (7, 5), (3, 1)])
def test_every_queue_has_a_consumer_and_every_consumer_a_queue(consumers: int, queues: int) -> None:
    plan = Plan(consumers=consumers, queues=queues)
    taken = [plan.consumer_queues(i) for i in range(consumers)]
    assert all(taken)
    assert {q for queue in taken for q in queue} == set(range(queues))


def test_an_ack_never_waits_for_more_than_half_of_the_prefetch() -> None:
    assert Plan(ack_every=100, prefetch=10).check().ack_batch == 5
    assert Plan(ack_every=100, prefetch=1).check().ack_batch == 1
    assert Plan(ack_every=100).check().ack_batch == 100


def test_units_are_publishes_with_all_keys_in_turn() -> None:
    plan = Plan(exchange="topic", queues=3, size_bytes=100, is_persistent=True, is_mandatory=True)
    units = encode_units(plan, producer=1, frame_max=64)
    assert len(units.data) % (units.unit_bytes * 3) == 0
    frames = list(FrameReader().feed(units.data[: units.unit_bytes * 3]))
    assert [kind for kind, _, _ in frames] == [METHOD, HEADER, BODY, BODY] * 3
    publishes = [decode_method(payload) for kind, _, payload in frames if kind == METHOD]
    assert publishes == [
        BasicPublish(exchange="perf.route", routing_key=plan.routing_key(i), mandatory=True)
        for i in (1, 2, 0)
    ]
    header = frames[1][2]
    assert int.from_bytes(header[4:12], "big") == 100
    assert BasicProperties.decode(header[12:]) == BasicProperties(delivery_mode=2)
    assert sum(len(payload) for kind, _, payload in frames[:4] if kind == BODY) == 100


@pytest.mark.parametrize("exchange", ["default", "fanout"])
def test_the_stamp_lies_at_the_start_of_the_body(exchange: str) -> None:
    units = encode_units(Plan(exchange=exchange, size_bytes=9), 0, 131072)
    assert units.data[units.stamp_at : units.unit_bytes] == b"x" * 9 + b"\xce"
    assert units.data[units.stamp_at - 1] == 9  # the size in the body frame's header
