"""Field values for fuzzed methods, as octets: mostly such that sessions get somewhere, and each kind of wrong one.

Nothing here goes through the product's encoder, which could not write most of it. AMQP 0-9-1 §4.2.5 (fields).
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from tests.conformance.bad_input.octets import long, nested, short

QUEUES = tuple(f"q{n}" for n in range(6))
EXCHANGES = ("x0", "x1", "x2", "x3", "amq.direct", "amq.fanout", "amq.headers", "amq.topic")
KINDS = ("direct", "fanout", "topic", "headers")
KEYS = (*QUEUES, "", "a", "a.b", "a.b.c", "a.*", "#", "*.b", "#.#.b", "k" * 255)
TAGS = ("", "t0", "t1", "t2", "t" * 255)
# Nobody's, everybody's, and what should not be anybody's.
ODD_NAMES = (
    b"",
    b"nobody",
    b"amq.gen-mine",
    b"amq.rabbitmq.trace",
    b"amq.",
    b"amq.default",
    b"a\0b",
    b"line\r\nend",
    b"../../etc/passwd",
    b"<script>alert(1)</script>",
    b"%s%n%x{0}",
    b"\x1b[31m",
    b"\xff\xfe",
    b"abc\xe2\x82",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    "naïve ☃ 名前".encode(),
    b"q" * 255,
    b"\xc3\xa9" * 127,
)
NUMBERS = {
    size: tuple(
        n & ((1 << 8 * size) - 1)
        for n in (0, 1, 2, 3, (1 << 8 * size - 1) - 1, 1 << 8 * size - 1, -1, -2, 1 << 8 * size - 4)
    )
    for size in (1, 2, 4, 8)
}
# Arguments that mean something to somebody.
KNOWN_ARGUMENTS = (
    "x-message-ttl",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-type",
    "x-queue-version",
    "x-single-active-consumer",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "alternate-exchange",
    "x-priority",
    "x-match",
    "x-cancel-on-ha-failover",
    "x-stream-offset",
    "CC",
    "BCC",
    "x-delay",
    "h",
)
WORDS = ("all", "any", "all-with-x", "classic", "quorum", "lazy", "drop-head", "x0", "q1", "1000")
FIXED = {b"t": 1, b"b": 1, b"B": 1, b"s": 2, b"u": 2, b"I": 4, b"i": 4, b"l": 8, b"L": 8, b"T": 8}
FIXED |= {b"f": 4, b"d": 8, b"D": 5}


def number(choice: random.Random, size: int) -> bytes:
    """An integer of ``size`` octets: small, or at an edge."""
    if choice.random() < 0.6:
        return choice.choice((0, 1, 2, 10)).to_bytes(size, "big")
    return choice.choice(NUMBERS[size]).to_bytes(size, "big")


def value(choice: random.Random, depth: int = 0) -> bytes:
    """A well-formed field value with its tag; numbers are anything, so floats may be no numbers."""
    kind = choice.random()
    if kind < 0.35:
        return b"S" + long(choice.choice(WORDS).encode())
    if kind < 0.75:
        tag = choice.choice(tuple(FIXED))
        size = FIXED[tag]
        return tag + (number(choice, size) if size in NUMBERS else choice.randbytes(size))
    if kind < 0.80:
        return b"V"
    if kind < 0.85:
        return choice.choice((b"S", b"x")) + long(choice.choice(ODD_NAMES))
    if depth > 3:
        return b"V"
    if kind < 0.92:
        return b"A" + long(b"".join(value(choice, depth + 1) for _ in range(choice.randrange(3))))
    return b"F" + long(entries(choice, depth + 1))


def entries(choice: random.Random, depth: int = 0) -> bytes:
    """The inside of a table."""
    return b"".join(
        short(choice.choice(KNOWN_ARGUMENTS)) + value(choice, depth)
        for _ in range(choice.randint(0 if depth else 1, 3))
    )


def table(choice: random.Random) -> bytes:
    """A table, empty as a rule, else with values that may mean something."""
    return b"\0\0\0\0" if choice.random() < 0.7 else long(entries(choice))


def _unknown_type(choice: random.Random) -> bytes:
    return long(short("a") + bytes((choice.randrange(256),)) + choice.randbytes(9))


def _deep_arrays(choice: random.Random) -> bytes:
    depth = choice.choice((63, 64, 65, 66, 3000))
    inside = b"A" + b"".join(struct.pack(">I", 5 * n - 5) + b"A" for n in range(depth, 1, -1))
    return long(short("a") + inside + long(b""))


BAD_TABLES: tuple[Callable[[random.Random], bytes], ...] = (
    _unknown_type,
    _deep_arrays,
    lambda choice: long(nested(choice.choice((63, 64, 65, 66, 3000)))),
    lambda choice: long(entries(choice), choice.choice((0, 1, 5, 0x7FFFFFFF, 0xFFFFFFFF))),
    lambda choice: long(short("a") + b"S" + long(b"abc", choice.choice(NUMBERS[4]))),
    lambda choice: long(short("a") + choice.choice((b"F", b"A")) + long(b"I\0", 50)),
    lambda choice: long(short("a") + b"d\x7f\xf8" + bytes(6)),
    lambda choice: long(short("a") + b"f\xff\x80\0\0"),
    lambda choice: long(short("k" * 255) + b"V" + short("") + b"V"),
    lambda choice: long((short("same") + b"t\1") * 3),
    lambda choice: long(b"\xff" + choice.randbytes(20)),
    lambda choice: long(short("n") + b"D" + bytes((choice.choice((0, 9, 255)),)) + b"\xff" * 4),
    lambda choice: long(entries(choice) + short("cut")),
    lambda choice: long(choice.randbytes(choice.randrange(60))),
)


def bad_table(choice: random.Random) -> bytes:
    """A table that is malformed, or only just not."""
    return choice.choice(BAD_TABLES)(choice)


def bad_string(choice: random.Random, size_octets: int) -> bytes:
    """A string with a length of ``size_octets``, odd in what it says or in how long it says to be."""
    raw = choice.choice(ODD_NAMES)
    if choice.random() < 0.7:
        return len(raw).to_bytes(size_octets, "big") + raw
    return choice.choice(NUMBERS[size_octets]).to_bytes(size_octets, "big") + raw
