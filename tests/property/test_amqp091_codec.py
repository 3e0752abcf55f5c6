"""The codec's laws: what is written is read back, and no octets do more harm than a `WireError`."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.wire.amqp091.fields import Timestamp, Typed, decode_table, encode_table
from posthouse.wire.amqp091.frames import FrameReader, content_frames, frame
from posthouse.wire.amqp091.methods import METHODS, Method, decode_method
from posthouse.wire.amqp091.properties import PROPERTIES, BasicProperties
from posthouse.wire.errors import SyntaxProblem, WireError

# --- what can be said ---------------------------------------------------------------------------

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
short = text.filter(lambda t: len(t.encode()) <= 255)
# A string of octets that are not UTF-8 comes back as octets: that is another value.
octets = st.binary(max_size=40).filter(lambda b: not is_utf8(b))
integers = {
    "b": (-(2**7), 2**7 - 1),
    "B": (0, 2**8 - 1),
    "s": (-(2**15), 2**15 - 1),
    "u": (0, 2**16 - 1),
    "i": (0, 2**32 - 1),
    "l": (-(2**63), 2**63 - 1),
}
scalars = st.one_of(
    text,
    octets,
    st.integers(-(2**31), 2**31 - 1),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(lambda v: Typed("f", v)),
    st.binary(max_size=20).map(bytearray),
    st.integers(0, 2**64 - 1).map(Timestamp),
    st.builds(
        lambda unscaled, scale: Decimal(unscaled).scaleb(-scale),
        st.integers(0, 2**32 - 1),
        st.integers(0, 255),
    ),
    *(st.builds(Typed, st.just(tag), st.integers(*limits)) for tag, limits in integers.items()),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(short, inner, max_size=4),
    max_leaves=12,
)
tables = st.dictionaries(short, values, max_size=5)


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def same(a: Any, b: Any) -> bool:
    """Equal in value and in type, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Decimal):
        return bool(a.as_tuple() == b.as_tuple())
    if isinstance(a, float):
        return struct.pack(">d", a) == struct.pack(">d", b)
    return bool(a == b)


# --- tables and properties ----------------------------------------------------------------------


@given(tables)
def test_a_table_comes_back(table: dict[str, Any]) -> None:
    raw = encode_table(table)
    assert int.from_bytes(raw[:4], "big") == len(raw) - 4
    back = decode_table(raw[4:])
    assert same(back, table)
    assert encode_table(back) == raw


@given(st.binary(max_size=200))
def test_no_octets_harm_the_table_decoder(data: bytes) -> None:
    try:
        table = decode_table(data)
    except WireError:
        return
    # What was understood can be said again, and means the same.
    assert same(decode_table(encode_table(table)[4:]), table)


@given(tables, st.data())
def test_a_damaged_table_is_understood_or_refused(
    table: dict[str, Any], data: st.DataObject
) -> None:
    raw = bytearray(encode_table(table)[4:])
    if raw:
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_table(bytes(raw))
    except WireError:
        return


KINDS: dict[str, st.SearchStrategy[Any]] = {
    "octet": st.integers(0, 255),
    "short": st.integers(0, 2**16 - 1),
    "long": st.integers(0, 2**32 - 1),
    "longlong": st.integers(0, 2**64 - 1),
    "shortstr": short,
    "table": tables,
    "table-shared": tables,
}
properties = st.fixed_dictionaries(
    {}, optional={name: KINDS[kind] for name, _, kind in PROPERTIES}
).map(lambda given: BasicProperties(**given))


@given(properties)
def test_properties_come_back(some: BasicProperties) -> None:
    back = BasicProperties.decode(some.encode())
    assert back == some
    assert back.encode() == some.encode()


@given(st.binary(max_size=100))
def test_no_octets_harm_the_properties_decoder(data: bytes) -> None:
    try:
        BasicProperties.decode(data)
    except WireError:
        return


# --- methods ------------------------------------------------------------------------------------

BY_DEFAULT: list[tuple[type, st.SearchStrategy[Any]]] = [
    (bool, st.booleans()),
    (str, short),
    (bytes, short.map(str.encode)),
    (dict, tables),
    (int, st.integers(0, 2**64 - 1)),
]
# Arguments with fewer octets than eight, by the greatest value that fits.
WIDTHS = {
    "version_major": 8,
    "version_minor": 8,
    "frame_max": 32,
    "message_count": 32,
    "consumer_count": 32,
    "prefetch_size": 32,
    "delivery_tag": 64,
}


def arguments(kind: type[Method]) -> st.SearchStrategy[dict[str, Any]]:
    plain = kind()
    found = {}
    for name in kind.__slots__:
        default = getattr(plain, name)
        strategy = next(s for t, s in BY_DEFAULT if isinstance(default, t))
        if type(default) is int:
            strategy = st.integers(0, 2 ** WIDTHS.get(name, 16) - 1)
        found[name] = strategy
    return st.fixed_dictionaries(found)


@pytest.mark.parametrize("kind", METHODS.values(), ids=lambda kind: kind.name)
@settings(max_examples=25)
@given(data=st.data())
def test_a_method_comes_back(kind: type[Method], data: st.DataObject) -> None:
    method = kind(**data.draw(arguments(kind)))
    payload = method.encode()
    back = decode_method(payload)
    assert type(back) is kind
    assert back == method
    assert back.encode() == payload


@given(st.sampled_from(sorted(METHODS)), st.binary(max_size=80))
def test_no_arguments_harm_the_method_decoder(code: int, data: bytes) -> None:
    try:
        method = decode_method(code.to_bytes(4, "big") + data)
    except SyntaxProblem:
        return
    assert decode_method(method.encode()) == method


@given(st.binary(max_size=40))
def test_no_octets_harm_the_method_decoder(data: bytes) -> None:
    try:
        decode_method(data)
    except WireError:
        return


# --- frames -------------------------------------------------------------------------------------

frames = st.lists(
    st.tuples(st.sampled_from([1, 2, 3, 8]), st.integers(0, 65535), st.binary(max_size=60)),
    max_size=8,
)


@given(frames, st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_frames_come_back_however_the_stream_is_cut(
    some: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(frame(*item) for item in some)
    reader = FrameReader()
    found: list[tuple[int, int, bytes]] = []
    at = turn = 0
    while at < len(stream):
        step = cuts[turn % len(cuts)]
        found += reader.feed(stream[at : at + step])
        at, turn = at + step, turn + 1
    assert found == some


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_no_octets_harm_the_frame_reader(pieces: list[bytes]) -> None:
    reader = FrameReader(64)
    try:
        for piece in pieces:
            for _, _, payload in reader.feed(piece):
                assert len(payload) <= 64
    except WireError:
        return


@given(st.binary(max_size=5000), st.integers(4096, 4200))
def test_content_comes_back_in_frames_within_the_limit(body: bytes, frame_max: int) -> None:
    raw = BasicProperties(priority=1).encode()
    found = list(FrameReader(0).feed(content_frames(1, 60, raw, body, frame_max)))
    head = found[0][2]
    assert (head[:4], head[4:12], head[12:]) == (
        b"\0\x3c\0\0",
        len(body).to_bytes(8, "big"),
        raw,
    )
    assert b"".join(payload for _, _, payload in found[1:]) == body
    assert all(0 < len(payload) <= frame_max - 8 for _, _, payload in found[1:])
