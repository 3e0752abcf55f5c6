"""Field values in RabbitMQ's words: the name of a type, and a value as an Erlang term, for error texts.

A value is what the wire decoded: a plain Python value, or a number with ``tag`` and ``value``. The domain does not import the
wire, so it knows these objects by their attributes.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

Value = Any  # a field value

_BY_TAG = {
    "b": "byte",
    "B": "unsignedbyte",
    "s": "short",
    "u": "unsignedshort",
    "i": "unsignedint",
    "l": "long",
    "L": "long",
    "f": "float",
}
_BY_CLASS: dict[type, str] = {
    str: "longstr",
    bytes: "longstr",
    bytearray: "binary",
    float: "double",
    dict: "table",
    list: "array",
    bool: "bool",
    Decimal: "decimal",
    type(None): "void",
}


def plain(value: Value) -> Value:
    """The value without its tag."""
    return getattr(value, "value", value)


def type_name(value: Value) -> str:
    """RabbitMQ's word for the AMQP type of ``value``."""
    tag = getattr(value, "tag", None)
    if tag is not None:
        return _BY_TAG[tag]
    if type(value) is int:
        return "signedint" if -(2**31) <= value < 2**31 else "long"
    # A subclass of int that is not a bool is the wire's timestamp.
    return _BY_CLASS.get(type(value), "timestamp")


def term(value: Value) -> str:
    """The value as Erlang prints it (``~p``)."""
    raw = plain(value)
    if raw is None:
        return "undefined"
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, str):
        return f'<<"{raw}">>' if raw else "<<>>"
    if isinstance(raw, bytes | bytearray):
        return term(bytes(raw).decode("utf-8", "surrogateescape"))
    if isinstance(raw, dict):
        inside = (f"{{{term(k)},{type_name(v)},{term(v)}}}" for k, v in raw.items())
        return f"[{','.join(inside)}]"
    if isinstance(raw, list):
        inside = (f"{{{type_name(v)},{term(v)}}}" for v in raw)
        return f"[{','.join(inside)}]"
    if isinstance(raw, Decimal):
        exponent = raw.as_tuple().exponent
        scale = -exponent if isinstance(exponent, int) and exponent < 0 else 0
        return f"{{{scale},{int(raw.scaleb(scale))}}}"
    return str(raw)


def text(value: Value) -> str:
    """A value inside RabbitMQ's quotes: text as it is, the rest as an Erlang term."""
    raw = plain(value)
    if isinstance(raw, bytes | bytearray):
        return bytes(raw).decode("utf-8", "surrogateescape")
    return raw if isinstance(raw, str) else term(value)
