"""x-arguments: the answers are those of a RabbitMQ 3.10.8, asked with the same values on 2026-11-23."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from posthouse.broker import arguments
from posthouse.core.errors import PreconditionFailed
from posthouse.wire.amqp091.fields import Timestamp, Typed

Q = "queue 'q' in vhost '/'"
OK = None

WRONG_INTEGERS: list[tuple[Any, str]] = [
    ("x", "longstr"),
    (True, "bool"),
    (1.5, "double"),
    (None, "void"),
    (Timestamp(5), "timestamp"),
    (Decimal("5"), "decimal"),
    ({"a": 1}, "table"),
    ([1], "array"),
    (bytearray(b"z"), "binary"),
    (b"\xff\xfe", "longstr"),
]
NO_TEXT: list[tuple[Any, str]] = [
    (5, "signedint"),
    (Typed("l", 5), "long"),
    (Typed("s", 5), "short"),
    (Typed("B", 5), "unsignedbyte"),
    *WRONG_INTEGERS[1:-1],
]
INTEGERS = ["x-expires", "x-message-ttl", "x-max-length", "x-max-length-bytes", "x-max-priority"]
TEXTS = ["x-overflow", "x-queue-mode", "x-queue-type"]


def answer(table: dict[str, Any]) -> str | None:
    """What a first declare with these arguments is refused with, without the name of the object."""
    try:
        arguments.check_queue_arguments(table, Q)
    except PreconditionFailed as refused:
        return refused.explanation.replace(f" for {Q}", "").replace(f" in {Q}", "")
    return None


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize(("value", "kind"), WRONG_INTEGERS, ids=str)
def test_refuses_what_is_no_integer(name: str, value: Any, kind: str) -> None:
    assert answer({name: value}) == f"invalid arg '{name}': \"expected integer, got {kind}\""


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("tag", ["b", "B", "s", "u", "i", "l"])
def test_takes_integers_of_every_width(name: str, tag: str) -> None:
    assert answer({name: Typed(tag, 5)}) is OK


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(("value", "kind"), NO_TEXT, ids=str)
def test_refuses_what_is_no_text(name: str, value: Any, kind: str) -> None:
    assert answer({name: value}) == f"invalid arg '{name}': {{unacceptable_type,{kind}}}"


@pytest.mark.parametrize(("value", "kind"), [*NO_TEXT[:4], ("x", "longstr"), *NO_TEXT[5:]], ids=str)
def test_refuses_what_is_no_boolean(value: Any, kind: str) -> None:
    name = "x-single-active-consumer"
    assert answer({name: value}) == f"invalid arg '{name}': {{unacceptable_type,{kind}}}"


@pytest.mark.parametrize(("value", "kind"), NO_TEXT, ids=str)
def test_refuses_a_dead_letter_exchange_that_is_no_text(value: Any, kind: str) -> None:
    name = "x-dead-letter-exchange"
    assert answer({name: value}) == f"invalid type '{kind}' for arg '{name}'"


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"x-expires": -1}, "invalid arg 'x-expires': {value_negative,-1}"),
        ({"x-expires": 0}, "invalid arg 'x-expires': {value_zero,0}"),
        ({"x-expires": 315360000000}, OK),
        ({"x-expires": 315360000001}, "invalid arg 'x-expires': {value_too_large,315360000001}"),
        ({"x-message-ttl": 0}, OK),
        (
            {"x-message-ttl": Typed("l", 315360000001)},
            "invalid arg 'x-message-ttl': {value_too_large,315360000001}",
        ),
        ({"x-max-length": 0}, OK),
        ({"x-max-length": 315360000001}, OK),
        ({"x-max-length-bytes": -1}, "invalid arg 'x-max-length-bytes': {value_negative,-1}"),
        ({"x-max-priority": 255}, OK),
        ({"x-max-priority": 256}, "invalid arg 'x-max-priority': {max_value_exceeded,256}"),
        ({"x-max-priority": -1}, "invalid arg 'x-max-priority': {value_negative,-1}"),
        ({"x-overflow": "x"}, "invalid arg 'x-overflow': invalid_overflow"),
        ({"x-overflow": b"\xff"}, "invalid arg 'x-overflow': invalid_overflow"),
        ({"x-overflow": "reject-publish-dlx"}, OK),
        ({"x-queue-mode": "x"}, "invalid arg 'x-queue-mode': \"unsupported queue mode 'x'\""),
        ({"x-queue-mode": "lazy"}, OK),
        ({"x-queue-version": 2}, OK),
        (
            {"x-queue-version": 0},
            "invalid arg 'x-queue-version': \"unsupported queue version '0'\"",
        ),
        (
            {"x-queue-version": 3},
            "invalid arg 'x-queue-version': \"unsupported queue version '3'\"",
        ),
        ({"x-queue-version": -1}, "invalid arg 'x-queue-version': {value_negative,-1}"),
        ({"x-single-active-consumer": True}, OK),
        ({"x-queue-type": "classic"}, OK),
        ({"x-queue-type": "foo"}, "invalid arg 'x-queue-type': \"unsupported queue type 'foo'\""),
        ({"x-queue-master-locator": "min-masters"}, OK),
        ({"x-dead-letter-exchange": ""}, OK),
        ({"x-dead-letter-exchange": "e", "x-dead-letter-routing-key": "k"}, OK),
        (
            {"x-dead-letter-routing-key": "k"},
            "invalid arg 'x-dead-letter-routing-key': routing_key_but_no_dlx_defined",
        ),
        (
            {"x-dead-letter-routing-key": 5},
            "invalid arg 'x-dead-letter-routing-key': {unacceptable_type,signedint}",
        ),
        (
            {"x-dead-letter-exchange": "e", "x-dead-letter-routing-key": 5},
            "invalid arg 'x-dead-letter-routing-key': {unacceptable_type,signedint}",
        ),
        ({"x-consumer-timeout": -1}, OK),
        ({"x-consumer-timeout": "x"}, OK),
        ({"x-unknown": {"a": [1]}}, OK),
    ],
    ids=str,
)
def test_checks_values(table: dict[str, Any], expected: str | None) -> None:
    assert answer(table) == expected


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("classic", "x-dead-letter-strategy", "at-least-once"),
        ("classic", "x-delivery-limit", "x"),
        ("classic", "x-max-in-memory-length", -1),
        ("classic", "x-max-in-memory-bytes", 5),
        ("classic", "x-max-age", "1D"),
        ("classic", "x-initial-cluster-size", 1),
        ("classic", "x-quorum-initial-group-size", 1),
        ("classic", "x-stream-max-segment-size-bytes", 1),
        ("quorum", "x-max-priority", 5),
        ("quorum", "x-max-age", "1D"),
        ("quorum", "x-queue-mode", "lazy"),
        ("quorum", "x-queue-version", 1),
        ("quorum", "x-initial-cluster-size", 1),
        ("quorum", "x-stream-max-segment-size-bytes", 1000),
        ("stream", "x-max-priority", 5),
        ("stream", "x-message-ttl", 100),
        ("stream", "x-expires", 1000),
        ("stream", "x-delivery-limit", 3),
        ("stream", "x-overflow", "drop-head"),
        ("stream", "x-max-length", 5),
        ("stream", "x-single-active-consumer", True),
        ("stream", "x-dead-letter-exchange", "e"),
        ("stream", "x-quorum-initial-group-size", 1),
        ("stream", "x-max-in-memory-length", 1),
    ],
)
def test_refuses_arguments_of_other_queue_types(kind: str, name: str, value: Any) -> None:
    expected = f"invalid arg '{name}' of queue type rabbit_{kind}_queue"
    assert answer({"x-queue-type": kind, name: value}) == expected


@pytest.mark.parametrize(
    ("kind", "name", "value", "problem"),
    [
        ("quorum", "x-message-ttl", 100, OK),
        ("quorum", "x-expires", 1000, OK),
        ("quorum", "x-delivery-limit", -1, OK),
        ("quorum", "x-overflow", "reject-publish-dlx", OK),
        ("quorum", "x-max-in-memory-length", 1, OK),
        ("quorum", "x-unknown", 1, OK),
        ("quorum", "x-quorum-initial-group-size", 0, "{value_zero,0}"),
        ("quorum", "x-max-in-memory-length", -1, "{value_negative,-1}"),
        ("quorum", "x-max-in-memory-bytes", -1, "{value_negative,-1}"),
        ("quorum", "x-dead-letter-strategy", "zz", "invalid_dlx_strategy"),
        ("quorum", "x-queue-leader-locator", "zz", "invalid_queue_locator_arg"),
        ("quorum", "x-overflow", "zz", "invalid_overflow"),
        ("stream", "x-max-age", "1D", OK),
        ("stream", "x-stream-max-segment-size-bytes", 1000, OK),
        ("stream", "x-initial-cluster-size", 0, "{value_zero,0}"),
        ("stream", "x-stream-max-segment-size-bytes", -1, "{value_negative,-1}"),
        ("stream", "x-queue-leader-locator", "zz", "invalid_queue_locator_arg"),
        ("stream", "x-max-length-bytes", -1, "{value_negative,-1}"),
        # Here RabbitMQ 3.10 fails with 541; later versions answer this.
        ("stream", "x-max-age", "zz", "invalid_max_age"),
        # Here the permissive later versions are followed.
        ("classic", "x-queue-leader-locator", "balanced", OK),
    ],
)
def test_checks_values_of_other_queue_types(
    kind: str, name: str, value: Any, problem: str | None
) -> None:
    expected = None if problem is None else f"invalid arg '{name}': {problem}"
    assert answer({"x-queue-type": kind, name: value}) == expected


@pytest.mark.parametrize(
    ("table", "blamed"),
    [
        ({"x-message-ttl": -1, "x-expires": -1}, "x-expires"),
        ({"x-queue-type": "foo", "x-expires": -1}, "x-queue-type"),
        ({"x-delivery-limit": 1, "x-expires": -1}, "x-expires"),
        ({"x-dead-letter-exchange": 5, "x-expires": -1}, "x-dead-letter-exchange"),
        ({"x-overflow": "zz", "x-max-length": -1}, "x-max-length"),
        (
            {"x-single-active-consumer": 5, "x-dead-letter-routing-key": "k"},
            "x-dead-letter-routing-key",
        ),
        ({"x-queue-mode": "zz", "x-overflow": "zz"}, "x-overflow"),
        ({"x-overflow": "zz", "x-max-priority": -1}, "x-max-priority"),
        ({"x-max-length-bytes": -1, "x-max-length": -1}, "x-max-length"),
        ({"x-queue-version": 9, "x-queue-mode": "zz"}, "x-queue-mode"),
        ({"x-single-active-consumer": 4, "x-queue-version": 9}, "x-queue-version"),
        ({"x-dead-letter-routing-key": "z", "x-message-ttl": -1}, "x-message-ttl"),
        ({"x-max-length": -1, "x-dead-letter-routing-key": "z"}, "x-dead-letter-routing-key"),
        ({"x-max-priority": -1, "x-max-length": -3}, "x-max-length"),
    ],
    ids=str,
)
def test_blames_one_of_several_as_rabbitmq_does(table: dict[str, Any], blamed: str) -> None:
    assert f"arg '{blamed}'" in str(answer(table))


@pytest.mark.parametrize("kind", ["quorum", "stream"])
def test_blames_properties_in_order(kind: str) -> None:
    def blamed(**properties: bool) -> str:
        with pytest.raises(PreconditionFailed) as refused:
            arguments.check_queue_properties(kind, Q, **properties)
        return refused.value.explanation

    def text(name: str) -> str:
        return f"invalid property '{name}' for {Q}"

    assert blamed(durable=False, exclusive=True, auto_delete=True) == text("auto-delete")
    assert blamed(durable=False, exclusive=True, auto_delete=False) == text("exclusive-owner")
    assert blamed(durable=False, exclusive=False, auto_delete=False) == text("non-durable")
    arguments.check_queue_properties(kind, Q, durable=True, exclusive=False, auto_delete=False)


def difference(current: dict[str, Any], received: dict[str, Any]) -> str | None:
    """What a redeclare with ``received`` of a queue with ``current`` is refused with."""
    try:
        arguments.check_queue_equivalent(Q, received, current)
    except PreconditionFailed as refused:
        return refused.explanation.replace(f" for {Q}", "")
    return None


@pytest.mark.parametrize(
    "value",
    [5000, Typed("l", 5000), Typed("s", 5000), Timestamp(5000), Decimal("5000")],
    ids=str,
)
def test_integers_compare_by_value(value: Any) -> None:
    assert difference({"x-message-ttl": 5000}, {"x-message-ttl": value}) is None


@pytest.mark.parametrize(
    ("current", "received", "expected"),
    [
        (
            {"x-message-ttl": 5000},
            {"x-message-ttl": 60000},
            "inequivalent arg 'x-message-ttl': received '60000' but current is '5000'",
        ),
        (
            {"x-message-ttl": 5000},
            {"x-message-ttl": "x"},
            "inequivalent arg 'x-message-ttl': received 'x' but current is '5000'",
        ),
        (
            {"x-message-ttl": 5000},
            {},
            "inequivalent arg 'x-message-ttl': received none but current is the value '5000' of type 'signedint'",
        ),
        (
            {},
            {"x-message-ttl": -1},
            "inequivalent arg 'x-message-ttl': received the value '-1' of type 'signedint' but current is none",
        ),
        (
            {"x-single-active-consumer": True},
            {"x-single-active-consumer": False},
            "inequivalent arg 'x-single-active-consumer': received 'false' but current is 'true'",
        ),
        (
            {},
            {"x-single-active-consumer": True},
            "inequivalent arg 'x-single-active-consumer': received the value 'true' of type 'bool' but current is none",
        ),
        (
            {},
            {"x-queue-type": "quorum"},
            "inequivalent arg 'x-queue-type': received the value 'quorum' of type 'longstr' but current is none",
        ),
        (
            {},
            {"x-queue-type": 5},
            "inequivalent arg 'x-queue-type': received the value '5' of type 'signedint' but current is none",
        ),
        (
            {"x-queue-version": 1},
            {"x-queue-version": 2},
            "inequivalent arg 'x-queue-version': received '2' but current is '1'",
        ),
        (
            {"x-dead-letter-exchange": "e"},
            {"x-dead-letter-exchange": "f"},
            "inequivalent arg 'x-dead-letter-exchange': received 'f' but current is 'e'",
        ),
        ({}, {"x-queue-type": "classic"}, None),
        ({"x-queue-type": "classic"}, {}, None),
        ({"x-unknown": 1}, {"x-unknown": 2}, None),
        ({}, {"x-consumer-timeout": 5}, None),
        ({}, {"x-delivery-limit": 5}, None),
        ({}, {"x-queue-leader-locator": "balanced"}, None),
        ({}, {"x-dead-letter-strategy": "at-most-once"}, None),
    ],
    ids=str,
)
def test_compares_what_the_type_knows(
    current: dict[str, Any], received: dict[str, Any], expected: str | None
) -> None:
    assert difference(current, received) == expected


def test_arguments_of_the_type_differ_by_type() -> None:
    quorum = {"x-queue-type": "quorum"}
    assert difference(quorum, quorum | {"x-max-priority": 5}) is None
    text = difference(quorum, quorum | {"x-delivery-limit": 5})
    assert text is not None
    assert "x-delivery-limit" in text


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (5, "signedint"),
        (None, "void"),
        (True, "bool"),
        (bytearray(b"a"), "binary"),
        ({"a": 1}, "table"),
    ],
)
def test_refuses_an_alternate_exchange_that_is_no_text(value: Any, kind: str) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        arguments.check_exchange_arguments({"alternate-exchange": value}, "exchange 'e'")
    text = f"invalid type '{kind}' for arg 'alternate-exchange' in exchange 'e'"
    assert refused.value.explanation == text
    arguments.check_exchange_arguments({"alternate-exchange": b"\xff"}, "exchange 'e'")
