"""What each exchange type does with a key and headers; the tables are answers of a RabbitMQ 3.10.8."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from posthouse.broker.binding import QUEUE, Binding
from posthouse.broker.exchanges.base import Exchange
from posthouse.broker.exchanges.direct import DirectExchange
from posthouse.broker.exchanges.fanout import FanoutExchange
from posthouse.broker.exchanges.headers import HeadersExchange
from posthouse.broker.exchanges.topic import TopicExchange
from posthouse.core.errors import PreconditionFailed
from posthouse.wire.amqp091.fields import Timestamp, Typed


def binding(destination: str, key: str = "", **arguments: Any) -> Binding:
    return Binding("x", destination, QUEUE, key.encode(), arguments)


def names(exchange: Exchange, key: str = "", headers: dict[str, Any] | None = None) -> set[str]:
    return {name for _, name in exchange.destinations(key.encode(), headers)}


def test_direct_compares_octets() -> None:
    exchange = DirectExchange("x")
    for name, key in (("q1", "k"), ("q2", "k"), ("q2", "K"), ("q3", "")):
        exchange.bind(binding(name, key))
    assert names(exchange, "k") == {"q1", "q2"}
    assert names(exchange, "K") == {"q2"}
    assert names(exchange, "") == {"q3"}
    assert names(exchange, "*") == set()


def test_fanout_ignores_the_key() -> None:
    exchange = FanoutExchange("x")
    exchange.bind(binding("q1", "k"))
    exchange.bind(binding("q2"))
    assert names(exchange, "other") == {"q1", "q2"}


@pytest.mark.parametrize("kind", [DirectExchange, FanoutExchange, HeadersExchange, TopicExchange])
def test_arguments_are_part_of_a_binding(kind: type[Exchange]) -> None:
    exchange = kind("x")
    plain, tagged = binding("q", "k"), binding("q", "k", tag=1)
    assert exchange.bind(plain)
    assert exchange.bind(tagged)
    assert not exchange.bind(binding("q", "k", tag=1))
    for width in "lsB":
        assert exchange.bind(binding("q", "k", tag=Typed(width, 1)))
    for width in "lsB":
        assert exchange.unbind(binding("q", "k", tag=Typed(width, 1)))
    assert exchange.unbind(tagged)
    assert not exchange.unbind(tagged)
    assert names(exchange, "k", {}) == {"q"}
    assert exchange.unbind(plain)
    assert names(exchange, "k", {}) == set()


def test_order_of_arguments_is_no_part_of_a_binding() -> None:
    assert binding("q", a=1, b=2).identity == binding("q", b=2, a=1).identity


KEYS = ("", "a", "b", "a.", ".", " ", ".a", "a.b", "a..b", "a.b.c", "*", "#", "a.*", "a*", "..")
TOPICS = {
    # pattern: which of KEYS it takes
    "": "100000000000000",
    "#": "111111111111111",
    "*": "011001000011010",
    "a": "010000000000000",
    "a.": "000100000000000",
    "a.*": "000100010000100",
    "a.#": "010100011100100",
    "#.a": "010000100000000",
    "*.a": "000000100000000",
    "#.#": "111111111111111",
    "*.*": "000110110000100",
    "a.#.b": "000000011000000",
    "#.a.#": "010100111100100",
    "*.#": "011111111111111",
    "#.*": "011111111111111",
    "a*": "000000000000010",
    "a.*.b": "000000001000000",
    "*.*.*": "000000001100001",
    "#.b.#": "001000011100000",
    "..": "000000000000001",
    ".": "000010000000000",
    "a..b": "000000001000000",
    "A": "000000000000000",
}


@pytest.mark.parametrize("pattern", TOPICS)
def test_topic_takes_the_keys_that_rabbitmq_takes(pattern: str) -> None:
    exchange = TopicExchange("x")
    exchange.bind(binding("q", pattern))
    assert "".join(str(len(names(exchange, key))) for key in KEYS) == TOPICS[pattern]


def test_topic_forgets_a_pattern() -> None:
    exchange = TopicExchange("x")
    bindings = [binding("q", key) for key in ("a.*.c", "a.#", "a.b.c")]
    for one in bindings:
        exchange.bind(one)
    for one in bindings:
        assert names(exchange, "a.b.c") == {"q"}
        exchange.unbind(one)
    assert names(exchange, "a.b.c") == set()


HEADERS: list[tuple[dict[str, Any], dict[str, Any] | None, bool]] = [
    *[
        ({"a": 1}, {"a": value}, takes)
        for value, takes in (
            (1, True),
            (Typed("l", 1), True),
            (Typed("s", 1), True),
            (Typed("f", 1.0), True),
            (1.0, True),
            (Timestamp(1), True),
            (True, False),
            ("1", False),
            (2, False),
            (None, False),
            (Decimal(1), False),
        )
    ],
    ({"a": 1}, {}, False),
    ({"a": 1}, None, False),
    ({"a": 1}, {"b": 1}, False),
    ({"a": 1}, {"a": 1, "b": 2}, True),
    ({"a": 1.5}, {"a": Typed("f", 1.5)}, True),
    ({"a": 1.5}, {"a": 1}, False),
    ({"a": True}, {"a": True}, True),
    ({"a": True}, {"a": False}, False),
    ({"a": True}, {"a": 1}, False),
    ({"a": None}, {"a": True}, True),
    ({"a": None}, {"a": None}, True),
    ({"a": None}, {"b": 1}, False),
    ({"a": "s"}, {"a": "s"}, True),
    ({"a": "s"}, {"a": bytearray(b"s")}, True),
    ({"a": "s"}, {"a": "S"}, False),
    ({"a": b"\xff"}, {"a": b"\xff"}, True),
    ({"a": b"\xff"}, {"a": bytearray(b"\xff")}, True),
    ({"a": {"b": 1}}, {"a": {"b": 1}}, True),
    ({"a": {"b": 1}}, {"a": {}}, False),
    ({"a": {"b": 1}}, {"a": 1}, False),
    ({"a": [1, 2]}, {"a": [1, 2]}, True),
    ({"a": [1, 2]}, {"a": [2, 1]}, False),
    ({}, {}, True),
    ({}, None, True),
    ({}, {"a": 1}, True),
    ({"x-match": "any"}, {}, False),
    ({"x-match": "any"}, {"a": 1}, False),
    ({"x-match": "any-with-x"}, {"a": 1}, False),
    ({"x-match": "all-with-x"}, {"a": 1}, True),
    ({"x-match": "any", "a": 1, "b": 2}, {"a": 1}, True),
    ({"x-match": "any", "a": 1, "b": 2}, {"b": 2}, True),
    ({"x-match": "any", "a": 1, "b": 2}, {"a": 2}, False),
    ({"x-match": "any", "a": None}, {"a": 5}, True),
    ({"x-match": "any", "a": None}, {}, False),
    ({"x-match": "all", "a": 1, "x-b": 2}, {"a": 1}, True),
    ({"x-match": "all", "a": 1, "x-b": 2}, {"a": 1, "x-b": 3}, True),
    ({"x-match": "all", "a": 1, "x-b": 2}, {"x-b": 2}, False),
    ({"x-match": "any", "x-b": 2}, {"x-b": 2}, False),
    ({"x-match": "all", "x-b": 2}, {}, True),
    ({"x-match": "all-with-x", "a": 1, "x-b": 2}, {"a": 1}, False),
    ({"x-match": "all-with-x", "a": 1, "x-b": 2}, {"a": 1, "x-b": 2}, True),
    ({"x-match": "any-with-x", "a": 1, "x-b": 2}, {"x-b": 2}, True),
    ({"x-match": "any-with-x", "a": 1, "x-b": 2}, {"x-b": 1}, False),
    ({"X-a": 1}, {"X-a": 1}, True),
    ({"X-a": 1}, {}, False),
]


@pytest.mark.parametrize(("arguments", "headers", "takes"), HEADERS, ids=str)
def test_headers_takes_the_messages_that_rabbitmq_takes(
    arguments: dict[str, Any], headers: dict[str, Any] | None, takes: bool
) -> None:
    exchange = HeadersExchange("x")
    exchange.bind(Binding("x", "q", QUEUE, b"", arguments))
    assert names(exchange, "", headers) == ({"q"} if takes else set())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("foo", 'value <<"foo">>; expected all, any, all-with-x, or any-with-x'),
        ("", "value <<>>; expected all, any, all-with-x, or any-with-x"),
        (5, "type signedint (value 5); expected longstr"),
        (True, "type bool (value true); expected longstr"),
        (None, "type void (value undefined); expected longstr"),
        (Typed("B", 3), "type unsignedbyte (value 3); expected longstr"),
        (bytearray(b"all"), 'type binary (value <<"all">>); expected longstr'),
        ({"a": 1}, 'type table (value [{<<"a">>,signedint,1}]); expected longstr'),
        ([1], "type array (value [{signedint,1}]); expected longstr"),
        (Timestamp(4), "type timestamp (value 4); expected longstr"),
        (Decimal("1.5"), "type decimal (value {1,15}); expected longstr"),
    ],
    ids=str,
)
def test_headers_refuses_an_unknown_match(value: Any, text: str) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        HeadersExchange("x").check_binding(Binding("x", "q", QUEUE, b"", {"x-match": value}))
    assert refused.value.explanation == f"Invalid x-match field {text}"


def test_only_headers_looks_at_x_match() -> None:
    TopicExchange("x").check_binding(Binding("x", "q", QUEUE, b"", {"x-match": "foo"}))
