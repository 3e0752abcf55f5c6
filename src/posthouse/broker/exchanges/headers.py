"""Headers exchange: the binding's arguments are compared with the message's headers.

``x-match``: ``all`` (default) and ``any`` skip argument names that start with ``x-``; ``all-with-x`` and ``any-with-x``
skip only ``x-match`` itself. A void argument asks for presence only. Without arguments ``all`` matches everything and ``any`` nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from posthouse.broker.binding import Binding
from posthouse.broker.exchanges.base import Destination, Exchange
from posthouse.broker.terms import plain, term, text, type_name
from posthouse.core.errors import PreconditionFailed

KINDS = ("all", "any", "all-with-x", "any-with-x")


def simple(value: Any) -> Any:  # Any: a field value
    """The value without its AMQP type: integers of all widths compare by value, text and binary by octets."""
    raw = plain(value)
    if isinstance(raw, dict):
        return {k: simple(v) for k, v in raw.items()}
    if isinstance(raw, list):
        return [simple(v) for v in raw]
    if isinstance(raw, str):
        return raw.encode("utf-8", "surrogateescape")
    return bytes(raw) if isinstance(raw, bytearray) else raw


def same(wanted: Any, found: Any) -> bool:  # Any: simple values
    """Equality that does not mix booleans, numbers and text."""
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted is found
    return (type(wanted) is type(found) and bool(wanted == found)) or _numbers(wanted, found)


def _numbers(wanted: Any, found: Any) -> bool:
    return isinstance(wanted, int | float) and isinstance(found, int | float) and wanted == found


@dataclass(frozen=True, slots=True)
class Test:
    """A binding, prepared: what its headers must be, and whether one of them is enough."""

    destination: Destination
    is_any: bool
    wanted: tuple[tuple[str, Any], ...]  # name, simple value; None asks for presence only

    @classmethod
    def of(cls, binding: Binding) -> Test:
        """The test that ``binding`` stands for."""
        kind = text(binding.arguments.get("x-match", "all"))
        with_x = kind.endswith("-with-x")
        wanted = tuple(
            (name, simple(value))
            for name, value in binding.arguments.items()
            if name != "x-match" and (with_x or not name.startswith("x-"))
        )
        return cls((binding.kind, binding.destination), kind.startswith("any"), wanted)

    def matches(self, headers: Mapping[str, Any]) -> bool:
        """Whether a message with these headers (simple values) passes."""
        hits = (
            name in headers and (value is None or same(value, headers[name]))
            for name, value in self.wanted
        )
        return any(hits) if self.is_any else all(hits)


class HeadersExchange(Exchange):
    """Looks at every binding for every message: O(bindings)."""

    kind = "headers"
    uses_headers = True

    def __init__(self, name: str, **properties: Any) -> None:  # Any: see Exchange
        super().__init__(name, **properties)
        self._tests: dict[tuple[Any, ...], Test] = {}

    def check_binding(self, binding: Binding) -> None:
        """``x-match`` must be one of the four kinds."""
        if "x-match" not in binding.arguments:
            return
        value = binding.arguments["x-match"]
        if type_name(value) != "longstr":
            raise PreconditionFailed(
                f"Invalid x-match field type {type_name(value)} (value {term(value)}); expected longstr"
            )
        if value not in KINDS:
            raise PreconditionFailed(
                f"Invalid x-match field value {term(value)}; expected all, any, all-with-x, or any-with-x"
            )

    def on_bound(self, binding: Binding) -> None:
        """See `Exchange.on_bound`."""
        self._tests[binding.identity] = Test.of(binding)

    def on_unbound(self, binding: Binding) -> None:
        """See `Exchange.on_unbound`."""
        del self._tests[binding.identity]

    def destinations(self, key: bytes, headers: Mapping[str, Any] | None) -> Iterable[Destination]:
        """See `Exchange.destinations`."""
        found = {name: simple(value) for name, value in (headers or {}).items()}
        return [test.destination for test in self._tests.values() if test.matches(found)]
