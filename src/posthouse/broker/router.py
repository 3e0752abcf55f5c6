"""Makes routes for the route table of a virtual host: the cold side of routing.

It runs once per exchange and routing key until the topology changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from posthouse.broker.binding import EXCHANGE
from posthouse.broker.dispatch import QueueCore
from posthouse.broker.queues.queue import Queue
from posthouse.broker.routing import Route

if TYPE_CHECKING:
    from posthouse.broker.vhost import VHost


def durable_ids(queues: Iterable[Queue]) -> bytes:
    """The ids of the durable queues among ``queues``, u32 little-endian each."""
    return b"".join(q.queue_id.to_bytes(4, "little") for q in queues if q.queue_id)


def resolve(
    vhost: VHost, exchange: str, key: bytes, headers: Mapping[str, Any] | None
) -> list[Queue]:
    """The queues that a message reaches, each once.

    Bindings to exchanges are walked, each exchange once, so cycles are fine; an exchange that finds no destination
    hands the message to its alternate exchange. A missing exchange reaches nothing.
    """
    queues: dict[str, Queue] = {}
    visited: set[str] = set()
    pending = [exchange]
    while pending:
        name = pending.pop()
        source = vhost.exchanges.get(name)
        if name in visited or source is None:
            continue
        visited.add(name)
        found = False
        for kind, target in source.destinations(key, headers):
            found = True
            if kind == EXCHANGE:
                pending.append(target)
            else:
                queues[target] = vhost.queues[target]
        if not found and source.alternate is not None:
            pending.append(source.alternate)
    return list(queues.values())


def needs_headers(vhost: VHost, exchange: str) -> bool:
    """Whether routing from ``exchange`` may look at headers, so that no route can be kept."""
    visited: set[str] = set()
    pending = [exchange]
    while pending:
        name = pending.pop()
        source = vhost.exchanges.get(name)
        if name in visited or source is None:
            continue
        visited.add(name)
        if source.uses_headers:
            return True
        if source.alternate is not None:
            pending.append(source.alternate)
        pending += [b.destination for b in source.bindings.values() if b.kind == EXCHANGE]
    return False


def make_route(vhost: VHost, blob: bytes) -> Route:
    """The route for ``len exchange len key`` in ``blob``.

    A route that is not plain (missing or internal exchange, or one that looks at headers) only says that each
    message has to be looked at.
    """
    length = blob[0]
    name = blob[1 : 1 + length].decode("utf-8", "surrogateescape")
    key = blob[2 + length :]
    exchange = vhost.exchanges.get(name)
    if exchange is None or exchange.internal or needs_headers(vhost, name):
        return Route(blob, [], b"", name, False)
    queues = resolve(vhost, name, key, None)
    return Route(blob, list[QueueCore](queues), durable_ids(queues), exchange.name, True)
