"""Basic properties against octets written out by hand (AMQP 0-9-1 §4.2.6.1)."""

from __future__ import annotations

import pytest

from posthouse.wire.amqp091.properties import PROPERTIES, BasicProperties
from posthouse.wire.errors import BadField

EACH = [
    ("content_type", "a", "8000 0161"),
    ("content_encoding", "a", "4000 0161"),
    ("headers", {"k": True}, "2000 00000004 016b 7401"),
    ("delivery_mode", 2, "1000 02"),
    ("priority", 9, "0800 09"),
    ("correlation_id", "a", "0400 0161"),
    ("reply_to", "a", "0200 0161"),
    ("expiration", "60", "0100 023630"),
    ("message_id", "a", "0080 0161"),
    ("timestamp", 1 << 33, "0040 0000000200000000"),
    ("type", "a", "0020 0161"),
    ("user_id", "a", "0010 0161"),
    ("app_id", "a", "0008 0161"),
    ("cluster_id", "a", "0004 0161"),
]


@pytest.mark.parametrize(("name", "value", "octets"), EACH, ids=[row[0] for row in EACH])
def test_speaks_each_property(name: str, value: object, octets: str) -> None:
    raw = bytes.fromhex(octets)
    properties = BasicProperties.decode(raw)
    assert {n for n, _, _ in PROPERTIES if getattr(properties, n) is not None} == {name}
    assert getattr(properties, name) == value
    assert properties.encode() == raw


def test_writes_all_in_the_order_of_the_specification() -> None:
    raws = [bytes.fromhex(octets) for _, _, octets in EACH]
    properties = BasicProperties(**{name: value for name, value, _ in EACH})  # type: ignore[arg-type]
    assert properties.encode() == b"\xff\xfc" + b"".join(raw[2:] for raw in raws)
    assert BasicProperties.decode(properties.encode()) == properties


def test_writes_none_as_an_empty_word() -> None:
    assert BasicProperties().encode() == b"\0\0"
    assert BasicProperties.decode(b"\0\0") == BasicProperties()


def test_tells_an_empty_header_table_from_none() -> None:
    assert BasicProperties.decode(b"\x20\0\0\0\0\0").headers == {}
    assert BasicProperties.decode(b"\0\0").headers is None


@pytest.mark.parametrize("raw", [b"\0\1", b"\0\2", b"\0\3"])
def test_ignores_the_flags_that_no_property_has(raw: bytes) -> None:
    assert BasicProperties.decode(raw) == BasicProperties()


def test_strings_are_of_any_octets() -> None:
    assert BasicProperties.decode(b"\x80\0\x02\xff\xfe").content_type == "\udcff\udcfe"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0",
        b"\x80\0",
        b"\x80\0\x09ab",
        b"\x80\0\x02abzzz",  # octets left over
        b"\0\0z",
        b"\x10\0",
        b"\0\x40" + bytes(7),
        b"\x20\0\0\0",
        b"\x20\0\0\0\0\x09\x01a",
        b"\x20\0\0\0\0\x03\x01aQ",
    ],
)
def test_refuses_what_is_malformed(raw: bytes) -> None:
    with pytest.raises(BadField):
        BasicProperties.decode(raw)


def test_shows_only_what_is_set() -> None:
    assert repr(BasicProperties(priority=1, app_id="x")) == (
        "BasicProperties(priority=1, app_id='x')"
    )
