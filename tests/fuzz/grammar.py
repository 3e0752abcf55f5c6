"""Methods of AMQP 0-9-1 from the specification's own list of fields: every one of them, right or with a field gone wrong.

A `Form` knows the fields of one method and writes its arguments; what a field says comes from the sentence that is being made
(a queue's name, a delivery tag that is outstanding) or from `values`.
"""

from __future__ import annotations

import json
import pathlib
import random
import struct
from collections.abc import Mapping
from typing import Any

from tests.conformance.bad_input.octets import long, short
from tests.fuzz import values

SPEC = pathlib.Path(__file__).resolve().parents[2] / "spec" / "amqp091.json"
SIZES = {"octet": 1, "short": 2, "long": 4, "longlong": 8}
# What the names of fields stand for.
POOLS: dict[str, tuple[str, ...]] = {
    "queue": values.QUEUES,
    "exchange": values.EXCHANGES,
    "source": values.EXCHANGES,
    "destination": values.EXCHANGES,
    "type": values.KINDS,
    "consumer_tag": values.TAGS,
    "routing_key": values.KEYS,
    "virtual_host": ("/",),
    "mechanism": ("PLAIN", "AMQPLAIN", "RABBIT-CR-DEMO"),
    "locale": ("en_US",),
    "realm": ("/data",),
}
# Bits that would end most sentences at once if they were set as often as not.
RARE_BITS = {"immediate": 0.005, "passive": 0.1, "exclusive": 0.15, "internal": 0.1, "no_ack": 0.3}
RARE_BITS |= {"if_unused": 0.2, "if_empty": 0.2, "nowait": 0.2, "mandatory": 0.2, "requeue": 0.7}
Given = Mapping[str, bytes | int]


class Form:
    """One method.

    Attributes:
        name: ``class.method``.
        head: class and method id, 4 octets.
    """

    def __init__(self, class_id: int, name: str, method: Mapping[str, Any]) -> None:
        self.name = name
        self.head = struct.pack(">HH", class_id, method["id"])
        self.fields: list[tuple[str, str]] = [(a["name"], a["type"]) for a in method["arguments"]]

    def write(self, choice: random.Random, given: Given, wrong: int = -1) -> bytes:
        """The payload of a method frame; the field number ``wrong`` is mutated."""
        parts = [self.head]
        bits = 0
        count = 0
        for number, (name, kind) in enumerate(self.fields):
            if kind == "bit":
                known = given.get(name)
                if known is None:
                    known = choice.random() < RARE_BITS.get(name, 0.5)
                if number == wrong:
                    known = not known
                bits |= bool(known) << count
                count += 1
                continue
            if count:
                parts.append(bytes((bits,)))
                bits = count = 0
            if number == wrong:
                parts.append(wrong_field(choice, kind))
            else:
                known = given.get(name)
                parts.append(field(choice, name, kind) if known is None else encoded(kind, known))
        if count:
            parts.append(bytes((bits,)))
        return b"".join(parts)


def encoded(kind: str, known: bytes | int) -> bytes:
    """A field of which the value is known."""
    if isinstance(known, int):
        return known.to_bytes(SIZES[kind], "big")
    if kind.startswith("table"):
        return known
    return long(known) if kind == "longstr" else short(known)


def field(choice: random.Random, name: str, kind: str) -> bytes:
    """A field of which any likely value will do."""
    if kind in SIZES:
        if name in ("prefetch_size", "reserved_1"):
            return bytes(SIZES[kind])
        return values.number(choice, SIZES[kind])
    if kind.startswith("table"):
        return values.table(choice)
    if kind == "longstr":
        return long(b"\0guest\0guest")
    pool = POOLS.get(name)
    return short(choice.choice(pool)) if pool else b"\0"


def wrong_field(choice: random.Random, kind: str) -> bytes:
    """A field that is odd, wrong, or does not end where it says."""
    if kind in SIZES:
        size = SIZES[kind]
        raw = choice.choice(values.NUMBERS[size]).to_bytes(size, "big")
        return raw if choice.random() < 0.9 else raw[: choice.randrange(size)]
    if kind.startswith("table"):
        return values.bad_table(choice)
    return values.bad_string(choice, 4 if kind == "longstr" else 1)


def _forms() -> dict[str, Form]:
    classes = json.loads(SPEC.read_text(encoding="utf-8"))["classes"]
    found = {}
    for one in classes:
        for method in one["methods"]:
            name = f"{one['name']}.{method['name']}"
            found[name] = Form(one["id"], name, method)
    return found


FORMS = _forms()
ANY = tuple(FORMS.values())
