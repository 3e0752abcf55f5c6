"""Direct exchange: the routing key equals the binding key, octet for octet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from posthouse.broker.binding import Binding
from posthouse.broker.exchanges.base import Destination, Exchange


class DirectExchange(Exchange):
    """Binding key -> destinations, counted, since bindings that differ in arguments only share a destination."""

    kind = "direct"

    def __init__(self, name: str, **properties: Any) -> None:  # Any: see Exchange
        super().__init__(name, **properties)
        self._by_key: dict[bytes, dict[Destination, int]] = {}

    def on_bound(self, binding: Binding) -> None:
        """See `Exchange.on_bound`."""
        counts = self._by_key.setdefault(binding.key, {})
        target = (binding.kind, binding.destination)
        counts[target] = counts.get(target, 0) + 1

    def on_unbound(self, binding: Binding) -> None:
        """See `Exchange.on_unbound`."""
        counts = self._by_key[binding.key]
        target = (binding.kind, binding.destination)
        counts[target] -= 1
        if not counts[target]:
            del counts[target]
            if not counts:
                del self._by_key[binding.key]

    def destinations(self, key: bytes, headers: Mapping[str, Any] | None) -> Iterable[Destination]:
        """See `Exchange.destinations`."""
        return self._by_key.get(key, ())
