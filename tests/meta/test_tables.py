"""Tables that stand twice, or must be complete, agree with what they are about."""

from __future__ import annotations

import ast
import inspect
import pathlib
import re

import pytest

from posthouse.core import errors, layout, mem
from posthouse.journal import constants, crc
from posthouse.protocols.amqp091.errors import CODES, REPLY_NAMES, AmqpError, from_domain

SRC = pathlib.Path(__file__).resolve().parents[2] / "src" / "posthouse"


def leaves(kind: type[errors.PosthouseError]) -> list[type[errors.PosthouseError]]:
    below = kind.__subclasses__()
    return [leaf for sub in below for leaf in leaves(sub)] if below else [kind]


@pytest.mark.parametrize("kind", leaves(errors.BrokerError))
def test_every_domain_error_has_a_reply_code(kind: type[errors.BrokerError]) -> None:
    assert kind in CODES
    reply = from_domain(kind("no queue 'q' in vhost '/'"))
    assert reply.text == f"{REPLY_NAMES[CODES[kind]]} - no queue 'q' in vhost '/'"


def test_an_error_without_a_code_is_internal() -> None:
    assert from_domain(errors.LogClosed("closed")).code == 541


def test_reply_texts_end_at_255_octets_and_between_characters() -> None:
    text = AmqpError(404, "é" * 300).text
    assert len(text.encode()) in (254, 255)
    assert text.startswith("NOT_FOUND - éé")


def test_channel_and_connection_errors_are_told_apart() -> None:
    closing = {code for code in REPLY_NAMES if AmqpError(code, "").closes_connection}
    assert {403, 404, 405, 406}.isdisjoint(closing)
    assert {320, 501, 502, 503, 504, 505, 530, 540, 541} <= closing


def test_the_tree_drawn_in_the_errors_module_is_the_tree() -> None:
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    defined = [
        name
        for name, item in vars(errors).items()
        if isinstance(item, type) and issubclass(item, errors.PosthouseError)
    ]
    assert sorted(drawn) == sorted(set(defined) - {"PosthouseError"})


def test_the_compiled_layout_has_the_same_numbers() -> None:
    text = (SRC / "core" / "layout.pxd").read_text(encoding="utf-8")
    compiled = {name: int(value) for name, value in re.findall(r"^    (\w+) = (\d+)$", text, re.M)}
    interpreted = {name: value for name, value in vars(layout).items() if name.isupper()}
    assert compiled == interpreted


def test_the_journal_agrees_with_the_layout() -> None:
    shared = {name for name in vars(layout) if name.isupper() and hasattr(constants, name)}
    assert shared >= {"KIND_ENQ", "KIND_ACK", "ENTRY_HEADER_SIZE"}
    for name in shared:
        assert getattr(layout, name) == getattr(constants, name)


@pytest.mark.parametrize("module", [mem, crc])
def test_a_compiled_twin_has_the_same_functions(module: object) -> None:
    file = pathlib.Path(inspect.getfile(module))  # type: ignore[arg-type]
    twin = file.with_suffix(".pxd").read_text(encoding="utf-8")
    declared = {
        name: len(arguments.split(","))
        for name, arguments in re.findall(r"^ +\w+ (\w+) \"\w+\"\(([^)]*)\)", twin, re.M)
        + re.findall(r"^cdef inline [\w *]*?\*?(\w+)\(([^)]*)\)", twin, re.M)
    }
    public = {
        node.name: len(node.args.args)
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    assert declared == public
