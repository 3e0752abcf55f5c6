"""Fanout exchange: everything goes everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from posthouse.broker.binding import Binding
from posthouse.broker.exchanges.base import Destination, Exchange


class FanoutExchange(Exchange):
    """Ignores keys and headers."""

    kind = "fanout"

    def on_bound(self, binding: Binding) -> None:
        """Nothing to index."""

    def on_unbound(self, binding: Binding) -> None:
        """Nothing to index."""

    def destinations(self, key: bytes, headers: Mapping[str, Any] | None) -> Iterable[Destination]:
        """See `Exchange.destinations`."""
        return [(b.kind, b.destination) for b in self.bindings.values()]
