"""Topic exchange: binding keys are patterns of words, see `trie`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from posthouse.broker.binding import Binding
from posthouse.broker.exchanges.base import Destination, Exchange
from posthouse.broker.exchanges.trie import TopicTrie


class TopicExchange(Exchange):
    """Indexes its bindings in a trie."""

    kind = "topic"

    def __init__(self, name: str, **properties: Any) -> None:  # Any: see Exchange
        super().__init__(name, **properties)
        self._trie = TopicTrie()

    def on_bound(self, binding: Binding) -> None:
        """See `Exchange.on_bound`."""
        self._trie.add(binding.key, (binding.kind, binding.destination))

    def on_unbound(self, binding: Binding) -> None:
        """See `Exchange.on_unbound`."""
        self._trie.remove(binding.key, (binding.kind, binding.destination))

    def destinations(self, key: bytes, headers: Mapping[str, Any] | None) -> Iterable[Destination]:
        """See `Exchange.destinations`."""
        return cast("dict[Destination, int]", self._trie.match(key))
