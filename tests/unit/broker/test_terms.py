"""Field values in RabbitMQ's words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from posthouse.broker.terms import term, text, type_name
from posthouse.wire.amqp091 import fields
from posthouse.wire.amqp091.fields import Timestamp, Typed

VALUES: list[tuple[Any, str]] = [
    (5, "5"),
    (1.5, "1.5"),
    (True, "true"),
    (False, "false"),
    (None, "undefined"),
    (Timestamp(4), "4"),
    (Decimal("1.5"), "{1,15}"),
    (Decimal("3"), "{0,3}"),
    ("all", '<<"all">>'),
    ("", "<<>>"),
    (b"\xff", '<<"\udcff">>'),
    (bytearray(b"all"), '<<"all">>'),
    ({"a": 1, "b": "x"}, '[{<<"a">>,signedint,1},{<<"b">>,longstr,<<"x">>}]'),
    ([1, Typed("l", 2)], "[{signedint,1},{long,2}]"),
    *[(Typed(tag, 3), "3") for tag in "bBsuil"],
    (Typed("f", 1.5), "1.5"),
]


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=str)
def test_prints_as_erlang_does(value: Any, expected: str) -> None:
    assert term(value) == expected


@pytest.mark.parametrize("value", [value for value, _ in VALUES] + [2**40, -(2**31)], ids=str)
def test_names_types_as_the_wire_does(value: Any) -> None:
    assert type_name(value) == fields.type_name(value)


def test_text_stands_bare_between_quotes() -> None:
    assert text("a") == "a"
    assert text(b"\xff") == "\udcff"
    assert text(True) == "true"
    assert text(Typed("l", 5)) == "5"
