"""Headers exchange: the binding's arguments are compared with the message's headers.

``x-match``: ``all`` (default) and ``any`` skip argument names that start with ``x-``; ``all-with-x`` and ``any-with-x``
skip only ``x-match`` itself. A void argument asks for presence only. Without arguments ``all`` matches everything and ``any`` nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from posthouse.broker.binding import Binding
from posthouse.broker.exchanges.base import Destination, Exchange
from posthouse.core.errors import PreconditionFailed

KINDS = ("all", "any", "all-with-x", "any-with-x")


def plain(value: Any) -> Any:  # Any: a field value
    """The value without its AMQP tag: integers of all widths compare by value."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return getattr(value, "value", value)


def same(wanted: Any, found: Any) -> bool:  # Any: plain values
    """Equality that does not mix booleans, numbers and text."""
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted is found
    return (type(wanted) is type(found) and bool(wanted == found)) or _numbers(wanted, found)


def _numbers(wanted: Any, found: Any) -> bool:
    return isinstance(wanted, int | float) and isinstance(found, int | float) and wanted == found


def matches(arguments: Mapping[str, Any], headers: Mapping[str, Any] | None) -> bool:
    """Whether a binding with ``arguments`` takes a message with ``headers``."""
    kind = arguments.get("x-match", "all")
    with_x = isinstance(kind, str) and kind.endswith("-with-x")
    wanted = [
        (name, value)
        for name, value in arguments.items()
        if name != "x-match" and (with_x or not name.startswith("x-"))
    ]
    headers = headers or {}
    hits = (
        name in headers and (value is None or same(plain(value), plain(headers[name])))
        for name, value in wanted
    )
    return any(hits) if isinstance(kind, str) and kind.startswith("any") else all(hits)


class HeadersExchange(Exchange):
    """Looks at every binding for every message: O(bindings)."""

    kind = "headers"
    uses_headers = True

    def check_binding(self, binding: Binding) -> None:
        """``x-match`` must be one of the four kinds."""
        if "x-match" not in binding.arguments:
            return
        value = binding.arguments["x-match"]
        if not isinstance(value, str):
            raise PreconditionFailed(
                f"Invalid x-match field type {type_word(value)} (value {plain(value)}); expected longstr"
            )
        if value not in KINDS:
            raise PreconditionFailed(
                f'Invalid x-match field value <<"{value}">>; expected all, any, all-with-x, or any-with-x'
            )

    def on_bound(self, binding: Binding) -> None:
        """Nothing to index."""

    def on_unbound(self, binding: Binding) -> None:
        """Nothing to index."""

    def destinations(self, key: bytes, headers: Mapping[str, Any] | None) -> Iterable[Destination]:
        """See `Exchange.destinations`."""
        return [
            (b.kind, b.destination) for b in self.bindings.values() if matches(b.arguments, headers)
        ]


def type_word(value: Any) -> str:  # Any: a field value
    """RabbitMQ's word for the type of a value that is not text."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "signedint"
    return {"dict": "table", "list": "array", "float": "double", "NoneType": "void"}.get(
        type(value).__name__, "long"
    )
