"""Makes routes for the route table of a virtual host: the cold side of routing.

It runs once per exchange and routing key until the topology changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from posthouse.broker.dispatch import QueueCore
from posthouse.broker.queues.queue import Queue
from posthouse.broker.routing import Route

if TYPE_CHECKING:
    from posthouse.broker.vhost import VHost


def durable_ids(queues: Iterable[Queue]) -> bytes:
    """The ids of the durable queues among ``queues``, u32 little-endian each."""
    return b"".join(q.queue_id.to_bytes(4, "little") for q in queues if q.queue_id)


def make_route(vhost: VHost, blob: bytes) -> Route:
    """The route for ``len exchange len key`` in ``blob``.

    A route that is not plain (missing or internal exchange, or one that looks at headers) only says that each
    message has to be looked at.
    """
    length = blob[0]
    name = blob[1 : 1 + length].decode("utf-8", "surrogateescape")
    key = blob[2 + length :]
    exchange = vhost.exchanges.get(name)
    if exchange is None or exchange.internal or vhost.needs_headers(name):
        return Route(blob, [], b"", name, False)
    queues = vhost.resolve(name, key, None)
    return Route(blob, list[QueueCore](queues), durable_ids(queues), exchange.name, True)
