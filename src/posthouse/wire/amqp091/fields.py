"""Field tables and values with RabbitMQ's type tags (AMQP 0-9-1 §4.2.5; RabbitMQ differs from it, see below).

=== ============ ==================== ===  ============ ====================
tag type         Python               tag  type         Python
=== ============ ==================== ===  ============ ====================
S   longstr      str, or bytes        t    bool         bool
I   signedint    int                  b    byte         Typed
D   decimal      Decimal              B    unsignedbyte Typed
T   timestamp    Timestamp            s    short        Typed
F   table        dict                 u    unsignedshort Typed
A   array        list                 i    unsignedint  Typed
l   long         Typed                L    (as ``l``)
f   float        Typed                d    double       float
x   binary       bytearray            V    void         None
=== ============ ==================== ===  ============ ====================

A long string that is not UTF-8 is `bytes`. Integers of other widths than ``I`` keep their tag in `Typed`, so that
decoding and encoding give the same octets. ``L`` is signed 64 bit too. Duplicate keys: the first one wins. Numbers are finite.
"""

from __future__ import annotations

import struct
from decimal import Decimal
from math import isfinite
from typing import Any

from posthouse.wire.errors import BadField

# Deeper nesting is refused: nothing we interpret needs it, and it would only cost stack.
DEPTH_MAX = 64

TYPE_NAMES = {
    "S": "longstr",
    "I": "signedint",
    "D": "decimal",
    "T": "timestamp",
    "F": "table",
    "A": "array",
    "t": "bool",
    "b": "byte",
    "B": "unsignedbyte",
    "s": "short",
    "u": "unsignedshort",
    "i": "unsignedint",
    "l": "long",
    "L": "long",
    "f": "float",
    "d": "double",
    "x": "binary",
    "V": "void",
}


class Typed:
    """A number with the tag it came with."""

    __slots__ = ("tag", "value")

    def __init__(self, tag: str, value: int | float) -> None:
        self.tag = tag
        self.value = value

    def __repr__(self) -> str:
        return f"Typed({self.tag!r}, {self.value!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Typed):
            return self.tag == other.tag and self.value == other.value
        return bool(self.value == other)

    def __hash__(self) -> int:
        return hash(self.value)


class Timestamp(int):
    """Seconds since 1970 (tag ``T``)."""


def typed_value(tag: str, value: Any) -> Any:  # Any: a number by tag
    """A field value from its tag and number: what was taken apart for keeping."""
    return Timestamp(value) if tag == "T" else Typed(tag, value)


FieldValue = Any  # one of the types in the table above

_NUMBERS = {
    ord("I"): struct.Struct(">i"),
    ord("b"): struct.Struct(">b"),
    ord("B"): struct.Struct(">B"),
    ord("s"): struct.Struct(">h"),
    ord("u"): struct.Struct(">H"),
    ord("i"): struct.Struct(">I"),
    ord("l"): struct.Struct(">q"),
    ord("L"): struct.Struct(">q"),
    ord("f"): struct.Struct(">f"),
    ord("d"): struct.Struct(">d"),
    ord("T"): struct.Struct(">Q"),
}


def type_name(value: FieldValue) -> str:
    """RabbitMQ's word for the AMQP type of ``value``."""
    return TYPE_NAMES[_tag(value)]


def decode_table(data: bytes) -> dict[str, FieldValue]:
    """Decode the inside of a table (without its length).

    Raises:
        BadField: anything about it is malformed.
    """
    return _decode_table(data, 0, len(data), 0)


def _decode_table(p: bytes, at: int, end: int, depth: int) -> dict[str, FieldValue]:
    if depth > DEPTH_MAX:
        raise BadField(f"field table is nested deeper than {DEPTH_MAX}")
    table: dict[str, FieldValue] = {}
    while at < end:
        stop = at + 1 + p[at]
        if stop >= end:
            raise BadField("field table key is cut short")
        key = p[at + 1 : stop].decode("utf-8", "surrogateescape")
        value, at = _decode_value(p, stop, end, depth)
        if key not in table:
            table[key] = value
    return table


def _decode_value(p: bytes, at: int, end: int, depth: int) -> tuple[FieldValue, int]:
    tag = p[at]
    at += 1
    number = _NUMBERS.get(tag)
    if number is not None:
        if at + number.size > end:
            raise BadField("field value is cut short")
        value = number.unpack_from(p, at)[0]
        at += number.size
        if tag == 73:  # I
            return value, at
        if tag in (100, 102):  # d, f
            # RabbitMQ: Erlang has no NaN and no infinity, and neither has JSON.
            if not isfinite(value):
                raise BadField("a field value is not a finite number")
            return (value if tag == 100 else Typed("f", value)), at
        if tag == 84:  # T
            return Timestamp(value), at
        return Typed("l" if tag == 76 else chr(tag), value), at
    if tag == 116:  # t
        if at >= end:
            raise BadField("field value is cut short")
        return p[at] != 0, at + 1
    if tag == 86:  # V
        return None, at
    if tag == 68:  # D
        if at + 5 > end:
            raise BadField("field value is cut short")
        return Decimal(int.from_bytes(p[at + 1 : at + 5], "big")).scaleb(-p[at]), at + 5
    if tag in (83, 120, 70, 65):  # S, x, F, A
        return _decode_sized(tag, p, at, end, depth)
    raise BadField(f"unknown field type {tag}")


def _decode_sized(tag: int, p: bytes, at: int, end: int, depth: int) -> tuple[FieldValue, int]:
    stop = at + 4 + int.from_bytes(p[at : at + 4], "big")
    if at + 4 > end or stop > end:
        raise BadField("field value is longer than its table")
    at += 4
    if tag == 83:
        octets = p[at:stop]
        try:
            return octets.decode("utf-8"), stop
        except UnicodeDecodeError:
            return octets, stop
    if tag == 120:
        return bytearray(p[at:stop]), stop
    if tag == 70:
        return _decode_table(p, at, stop, depth + 1), stop
    if depth >= DEPTH_MAX:
        raise BadField(f"field array is nested deeper than {DEPTH_MAX}")
    values = []
    while at < stop:
        value, at = _decode_value(p, at, stop, depth + 1)
        values.append(value)
    return values, stop


def _tag(value: FieldValue) -> str:
    if value is None:
        return "V"
    if isinstance(value, Typed):
        return value.tag
    if isinstance(value, bool):
        return "t"
    if isinstance(value, Timestamp):
        return "T"
    if isinstance(value, int):
        return "I" if -(2**31) <= value < 2**31 else "l"
    for kind, tag in (
        (str, "S"),
        (bytes, "S"),
        (bytearray, "x"),
        (float, "d"),
        (dict, "F"),
        (list, "A"),
        (Decimal, "D"),
    ):
        if isinstance(value, kind):
            return tag
    raise TypeError(f"{type(value).__name__} has no AMQP field type")


def encode_table(table: dict[str, FieldValue]) -> bytes:
    """A table with its length in front. Keys above 255 octets are a caller's error (ValueError)."""
    parts = []
    for key, value in table.items():
        octets = key.encode("utf-8", "surrogateescape")
        if len(octets) > 255:
            raise ValueError(f"a field table key has at most 255 octets, not {len(octets)}")
        parts += [bytes((len(octets),)), octets, encode_value(value)]
    inside = b"".join(parts)
    return len(inside).to_bytes(4, "big") + inside


def encode_value(value: FieldValue) -> bytes:
    """A value with its tag in front."""
    tag = _tag(value)
    head = tag.encode()
    if tag == "V":
        return head
    if tag == "t":
        return head + (b"\x01" if value else b"\x00")
    if tag == "S" or tag == "x":
        octets = (
            value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)
        )
        return head + len(octets).to_bytes(4, "big") + octets
    if tag == "F":
        return head + encode_table(value)
    if tag == "A":
        inside = b"".join(encode_value(v) for v in value)
        return head + len(inside).to_bytes(4, "big") + inside
    if tag == "D":
        return head + _encode_decimal(value)
    plain = value.value if isinstance(value, Typed) else value
    return head + _NUMBERS[ord(tag)].pack(plain)


def _encode_decimal(value: Decimal) -> bytes:
    sign, _, exponent = value.as_tuple()
    if not isinstance(exponent, int) or sign:
        raise ValueError("an AMQP decimal is a finite number not below 0")
    scale = max(0, -exponent)
    unscaled = int(value.scaleb(scale))
    return bytes((scale,)) + unscaled.to_bytes(4, "big")
