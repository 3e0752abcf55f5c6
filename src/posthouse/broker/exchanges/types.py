"""The exchange types by name."""

from __future__ import annotations

from posthouse.broker.exchanges.base import Exchange
from posthouse.broker.exchanges.direct import DirectExchange
from posthouse.broker.exchanges.fanout import FanoutExchange
from posthouse.broker.exchanges.headers import HeadersExchange
from posthouse.broker.exchanges.topic import TopicExchange
from posthouse.core.registry import Registry


def exchange_types() -> Registry[type[Exchange]]:
    """The bundled types; others come through the entry point group ``posthouse.exchange_types``."""
    bundled: tuple[type[Exchange], ...] = (
        DirectExchange,
        FanoutExchange,
        HeadersExchange,
        TopicExchange,
    )
    return Registry("posthouse.exchange_types", {kind.kind: kind for kind in bundled})
