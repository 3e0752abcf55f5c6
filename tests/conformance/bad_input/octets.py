"""Octets of AMQP 0-9-1 by hand, right and wrong: everything is struct and nothing is checked."""

from __future__ import annotations

import struct

HEADER = b"AMQP\0\0\x09\x01"


def frame(
    kind: int, channel: int, payload: bytes, end: bytes = b"\xce", size: int | None = None
) -> bytes:
    """A frame; ``size`` is what it claims, if not the truth."""
    claimed = len(payload) if size is None else size
    return struct.pack(">BHI", kind, channel, claimed) + payload + end


def method(class_id: int, method_id: int, arguments: bytes = b"", channel: int = 1) -> bytes:
    """A method frame."""
    return frame(1, channel, struct.pack(">HH", class_id, method_id) + arguments)


def short(text: str | bytes) -> bytes:
    """A short string."""
    raw = text.encode() if isinstance(text, str) else text
    return bytes((len(raw),)) + raw


def long(raw: bytes, size: int | None = None) -> bytes:
    """A long string or a table; ``size`` is what it claims, if not the truth."""
    return struct.pack(">I", len(raw) if size is None else size) + raw


TOLD_WHY = short("authentication_failure_close") + b"t\x01"


def start_ok(
    response: bytes = b"\0guest\0guest",
    mechanism: str = "PLAIN",
    table: bytes = b"",
    flags: bytes = TOLD_WHY,
) -> bytes:
    """``connection.start-ok``, unless told otherwise of a client that wants to be told why; ``flags`` are its capabilities."""
    inside = short("capabilities") + b"F" + long(flags) + table
    return method(10, 11, long(inside) + short(mechanism) + long(response) + short("en_US"), 0)


def tune_ok(channels: int = 2047, size: int = 131072, heartbeat: int = 0) -> bytes:
    """``connection.tune-ok``."""
    return method(10, 31, struct.pack(">HIH", channels, size, heartbeat), 0)


def opening(vhost: str | bytes = "/") -> bytes:
    """``connection.open``."""
    return method(10, 40, short(vhost) + b"\0\0", 0)


def declare(
    name: str | bytes = "", flags: int = 4, arguments: bytes = b"", channel: int = 1
) -> bytes:
    """``queue.declare``, exclusive unless told otherwise; ``arguments`` is the table with its length."""
    return method(
        50, 10, b"\0\0" + short(name) + bytes((flags,)) + (arguments or long(b"")), channel
    )


def publish(
    key: str | bytes = "nobody", exchange: str | bytes = "", bits: int = 0, channel: int = 1
) -> bytes:
    """``basic.publish`` alone."""
    return method(60, 40, b"\0\0" + short(exchange) + short(key) + bytes((bits,)), channel)


def header(
    size: int, properties: bytes = b"\0\0", class_id: int = 60, weight: int = 0, channel: int = 1
) -> bytes:
    """A content header frame; ``properties`` from the flags on."""
    return frame(2, channel, struct.pack(">HHQ", class_id, weight, size) + properties)


def body(raw: bytes, channel: int = 1) -> bytes:
    """A body frame."""
    return frame(3, channel, raw)


def nested(depth: int) -> bytes:
    """The inside of a table nested ``depth`` deep."""
    inside = b""
    for _ in range(depth):
        inside = b"\x01aF" + long(inside)
    return inside


QOS = method(60, 10, bytes(7))
CLOSE = method(10, 50, struct.pack(">H", 200) + short("bye") + bytes(4), 0)
EMPTY_MESSAGE = publish() + header(0)
