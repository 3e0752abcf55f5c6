"""Routes: from the bytes of exchange and routing key to the queues, without running Python per message.

`RouteTable` is a probing hash table over the two short strings exactly as `basic.publish` carries them. A miss asks
the virtual host's router (Python); any topology change starts a new, empty table. Kernel: compiled with ``routing.pxd``.
"""

from __future__ import annotations

from collections.abc import Callable

from posthouse.broker.dispatch import QueueCore
from posthouse.core import mem

SLOTS = 8192
PROBES = 16


class Route:
    """Where messages with one exchange and routing key go.

    Attributes:
        blob: the two short strings, ``len exchange len key``.
        queues: the queues, each once.
        durable_ids: ids of the durable queues, u32 little-endian each; empty when none is durable.
        exchange: the exchange's name; the permission to write to it is checked by the channel.
        plain: messages may take the fast road: the exchange exists, takes publishes, and looks at the key only.
    """

    def __init__(
        self, blob: bytes, queues: list[QueueCore], durable_ids: bytes, exchange: str, plain: bool
    ) -> None:
        self.blob = blob
        self.queues = queues
        self.durable_ids = durable_ids
        self.exchange = exchange
        self.plain = plain
        self.hash = 0
        self.blob_len = len(blob)
        self.queue_count = len(queues)
        self.ids_len = len(durable_ids)
        self.b = blob
        self.ids = durable_ids

    def matches(self, p: bytes | bytearray, at: int) -> bool:
        """Whether ``p[at]`` starts with this route's bytes; the caller has compared the lengths."""
        return mem.equal(self.b, 0, p, at, self.blob_len)


class RouteTable:
    """Routes by their bytes: open addressing, `PROBES` probes, the last one is overwritten when all are taken.

    ``resolve(blob)`` makes the route on a miss. It holds at most `SLOTS` routes.
    """

    def __init__(self, resolve: Callable[[bytes], Route]) -> None:
        self.resolve = resolve
        self.slots: list[Route | None] = [None] * SLOTS
        self.generation = 0
        self.is_used = False

    def clear(self) -> None:
        """Forget all routes: the topology changed."""
        self.generation += 1
        if self.is_used:
            self.slots = [None] * SLOTS
            self.is_used = False

    def lookup(self, blob: bytes) -> Route:
        """The route for whole bytes: the cold road's `find`."""
        p = blob
        return self.find(p, 0, len(blob))

    def find(self, p: bytes | bytearray, at: int, size: int) -> Route:
        """The route for ``size`` bytes at ``p[at]``."""
        h = mem.hash_bytes(p, at, size)
        slots = self.slots
        i = h % SLOTS
        for _ in range(PROBES):
            x = slots[i]
            if x is None:
                break
            route = x
            if route.hash == h and route.blob_len == size and route.matches(p, at):
                return route
            i = (i + 1) % SLOTS
        route = self.resolve(mem.take(p, at, size))
        route.hash = h
        if slots is self.slots:
            slots[i] = route
            self.is_used = True
        return route
