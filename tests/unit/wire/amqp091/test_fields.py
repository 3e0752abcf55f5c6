"""Field tables against octets written out by hand, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from posthouse.broker import terms
from posthouse.wire.amqp091.fields import (
    DEPTH_MAX,
    Timestamp,
    Typed,
    decode_table,
    encode_table,
    encode_value,
    type_name,
    typed_value,
)
from posthouse.wire.errors import BadField

# Value, RabbitMQ's name of its type, octets with the tag.
VALUES = [
    ("né", "longstr", b"S\0\0\0\x03n\xc3\xa9"),
    (b"\xff\xfe", "longstr", b"S\0\0\0\x02\xff\xfe"),
    (-2, "signedint", b"I\xff\xff\xff\xfe"),
    (Decimal("3.14"), "decimal", b"D\x02\0\0\x01\x3a"),
    (Timestamp(1 << 33), "timestamp", b"T\0\0\0\x02\0\0\0\0"),
    ({"k": True}, "table", b"F\0\0\0\x04\x01kt\x01"),
    ([1, "a"], "array", b"A\0\0\0\x0bI\0\0\0\x01S\0\0\0\x01a"),
    (True, "bool", b"t\x01"),
    (False, "bool", b"t\x00"),
    (Typed("b", -1), "byte", b"b\xff"),
    (Typed("B", 255), "unsignedbyte", b"B\xff"),
    (Typed("s", -2), "short", b"s\xff\xfe"),
    (Typed("u", 65534), "unsignedshort", b"u\xff\xfe"),
    (Typed("i", 1 << 31), "unsignedint", b"i\x80\0\0\0"),
    (Typed("l", -1), "long", b"l" + b"\xff" * 8),
    (Typed("f", 0.5), "float", b"f\x3f\0\0\0"),
    (0.5, "double", b"d\x3f\xe0" + bytes(6)),
    (bytearray(b"\0\1"), "binary", b"x\0\0\0\x02\0\1"),
    (None, "void", b"V"),
]


@pytest.mark.parametrize(("value", "name", "octets"), VALUES, ids=[row[1] for row in VALUES])
def test_speaks_every_type(value: Any, name: str, octets: bytes) -> None:
    assert type_name(value) == name
    # The domain does not import the wire: it has the same words in a table of its own.
    assert terms.type_name(value) == name
    assert encode_value(value) == octets
    decoded = decode_table(b"\x01k" + octets)["k"]
    assert decoded == value
    assert type(decoded) is type(value)
    assert encode_value(decoded) == octets


def test_reads_a_capital_l_as_signed_too() -> None:
    assert decode_table(b"\x01kL" + b"\xff" * 8) == {"k": Typed("l", -1)}


def test_reads_any_octet_but_zero_as_true() -> None:
    assert decode_table(b"\x01kt\x07")["k"] is True


def test_writes_an_integer_that_needs_it_as_long() -> None:
    assert encode_value(1 << 31) == b"l\0\0\0\0\x80\0\0\0"
    assert encode_value(-(1 << 31)) == b"I\x80\0\0\0"


def test_first_of_two_equal_keys_wins() -> None:
    assert decode_table(b"\x01kI\0\0\0\x01\x01kI\0\0\0\x02") == {"k": 1}


def test_keeps_the_order_of_keys() -> None:
    assert list(decode_table(encode_table({"z": 1, "a": 2, "m": 3})[4:])) == ["z", "a", "m"]


def test_keys_are_of_any_octets_even_none() -> None:
    table = {"": 1, "\udcff\udcfe": 2}
    assert decode_table(encode_table(table)[4:]) == table


def test_a_number_with_a_tag_equals_its_value_but_not_another_tag() -> None:
    assert Typed("s", 5) == 5
    assert Typed("s", 5) != Typed("l", 5)
    assert hash(Typed("s", 5)) == hash(5)
    assert repr(Typed("s", 5)) == "Typed('s', 5)"


def test_takes_a_kept_value_apart_and_together() -> None:
    assert type(typed_value("T", 5)) is Timestamp
    assert typed_value("s", 5) == Typed("s", 5)


@pytest.mark.parametrize(
    "octets",
    [
        b"\x05ab",  # a key that ends behind the table
        b"\x01k",  # no value
        b"\x01kI\0\0\0",
        b"\x01kt",
        b"\x01kD\x01\0\0",
        b"\x01kl" + bytes(7),
        b"\x01kS\0\0\xff\xffab",
        b"\x01kS\0\0",
        b"\x01kx\xff\xff\xff\xff",
        b"\x01kF\0\0\0\x09\x01aI\0\0\0\1",
        b"\x01kF\0\0\0\x03\x05ab",
        b"\x01kA\0\0\0\x02I\0",
        b"\x01kA\0\0\0\x03I\0\0\0\1",  # the element is longer than the array
        b"\x01kQ",
        b"\x01k\0",
        b"\x01kU\0\0\0\0\0\0\0\0",
        b"\x01kd\x7f\xf8" + bytes(6),  # NaN
        b"\x01kf\x7f\x80\0\0",  # infinity
    ],
)
def test_refuses_what_is_malformed(octets: bytes) -> None:
    with pytest.raises(BadField) as caught:
        decode_table(octets)
    assert caught.value.reply_code == 502


def nested(depth: int, kind: str) -> bytes:
    inside = b""
    for _ in range(depth):
        key = b"\x01a" if kind == "F" else b""
        inside = key + kind.encode() + len(inside).to_bytes(4, "big") + inside
    return inside if kind == "F" else b"\x01a" + inside


@pytest.mark.parametrize("kind", ["F", "A"])
def test_nests_up_to_a_bound_and_refuses_more(kind: str) -> None:
    decode_table(nested(DEPTH_MAX, kind))
    for depth in (DEPTH_MAX + 1, 20_000):
        with pytest.raises(BadField, match="nested deeper than 64"):
            decode_table(nested(depth, kind))


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"k" * 256: 1}, ValueError),
        ({"k": object()}, TypeError),
        ({"k": Decimal("-1")}, ValueError),
        ({"k": Decimal("NaN")}, ValueError),
    ],
)
def test_refuses_to_write_what_has_no_octets(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        encode_table(value)
