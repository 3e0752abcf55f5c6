"""A virtual host: exchanges, queues, bindings, and the rules RabbitMQ has for them.

Names are checked and errors worded as RabbitMQ does; permissions were checked above. Every change of the topology empties the
route table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from posthouse.broker import arguments as args
from posthouse.broker.binding import EXCHANGE, QUEUE, Binding
from posthouse.broker.definitions import Definitions
from posthouse.broker.dispatch import Consumer, Dispatcher
from posthouse.broker.exchanges.base import Exchange
from posthouse.broker.exchanges.direct import DirectExchange
from posthouse.broker.queues.queue import Queue
from posthouse.broker.router import durable_ids, make_route
from posthouse.broker.routing import RouteTable
from posthouse.core.errors import (
    AccessRefused,
    CommandInvalid,
    NotFound,
    PreconditionFailed,
    ResourceLocked,
)
from posthouse.core.registry import Registry

PREDECLARED = (
    ("amq.direct", "direct", False),
    ("amq.fanout", "fanout", False),
    ("amq.headers", "headers", False),
    ("amq.match", "headers", False),
    ("amq.rabbitmq.trace", "topic", True),
    ("amq.topic", "topic", False),
)


class VHost:
    """One virtual host.

    Attributes:
        exchanges, queues: by name; the default exchange is not among them.
        routes: the cache over `resolve`.
    """

    def __init__(
        self,
        name: str,
        dispatcher: Dispatcher,
        definitions: Definitions,
        types: Registry[type[Exchange]],
        *,
        unknown_type_closes_connection: bool = False,
    ) -> None:
        self.name = name
        self.dispatcher = dispatcher
        self.exchanges: dict[str, Exchange] = {}
        self.queues: dict[str, Queue] = {}
        self._definitions = definitions
        self._types = types
        self._unknown_type_closes_connection = unknown_type_closes_connection
        self._bindings_to: dict[tuple[str, str], dict[tuple[Any, ...], Binding]] = {}
        self._exclusive: dict[object, set[Queue]] = {}
        default = DirectExchange("")
        self._default = default
        self.exchanges[""] = default
        self.routes = RouteTable(lambda blob: make_route(self, blob))
        for exchange, kind, internal in PREDECLARED:
            made = self._type(kind)(exchange, internal=internal)
            self.exchanges[exchange] = made

    def describe(self, kind: str, name: str) -> str:
        """``queue 'q' in vhost '/'``."""
        return f"{kind} '{name}' in vhost '{self.name}'"

    def _type(self, kind: str) -> type[Exchange]:
        found = self._types.get(kind)
        if found is None:
            text = f"unknown exchange type '{kind}'"
            raise (
                CommandInvalid(text)
                if self._unknown_type_closes_connection
                else PreconditionFailed(text)
            )
        return found

    # --- exchanges ------------------------------------------------------------------------------

    def check_exchange_type(self, kind: str) -> None:
        """Raises PreconditionFailed (or CommandInvalid, by profile) for a type that does not exist."""
        self._type(kind)

    def check_not_default(self, name: str) -> None:
        """The default exchange takes no operations but publishing."""
        if not name:
            raise AccessRefused("operation not permitted on the default exchange")

    def check_exchange(self, name: str) -> Exchange:
        """A passive declare: the exchange, or NotFound; the default exchange is refused."""
        self.check_not_default(name)
        return self.exchange(name)

    def exchange(self, name: str) -> Exchange:
        """The exchange, or NotFound."""
        found = self.exchanges.get(name)
        if found is None:
            raise NotFound(f"no {self.describe('exchange', name)}")
        return found

    def publishable_exchange(self, name: str) -> Exchange:
        """The exchange, if clients may publish to it."""
        found = self.exchange(name)
        if found.internal:
            raise AccessRefused(f"cannot publish to internal {self.describe('exchange', name)}")
        return found

    def declare_exchange(
        self,
        name: str,
        kind: str,
        *,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Mapping[str, Any],
    ) -> Exchange:
        """Create, or check the equivalence with the one that is there."""
        made = self._type(kind)
        self.check_not_default(name)
        described = self.describe("exchange", name)
        found = self.exchanges.get(name)
        if found is not None:
            args.check_equal("type", described, kind, found.kind)
            args.check_equal("durable", described, durable, found.durable)
            args.check_equal("auto_delete", described, auto_delete, found.auto_delete)
            args.check_equal("internal", described, internal, found.internal)
            args.check_equivalent(args.EXCHANGE_EQUIVALENT, described, arguments, found.arguments)
            return found
        if name.startswith("amq."):
            raise AccessRefused(f"exchange name '{name}' contains reserved prefix 'amq.*'")
        args.check_exchange_arguments(arguments, described)
        exchange = made(
            name, durable=durable, auto_delete=auto_delete, internal=internal, arguments=arguments
        )
        self.exchanges[name] = exchange
        if durable:
            self._definitions.put_exchange(self.name, exchange)
        self.routes.clear()
        return exchange

    def delete_exchange(self, name: str, *, if_unused: bool = False) -> None:
        """Delete with all bindings; a missing one is fine."""
        self.check_not_default(name)
        if name.startswith("amq."):
            raise AccessRefused(f"deletion of system {self.describe('exchange', name)} not allowed")
        found = self.exchanges.get(name)
        if found is None:
            return
        if if_unused and found.bindings:
            raise PreconditionFailed(f"{self.describe('exchange', name)} in use")
        self._drop_exchange(found)

    def _drop_exchange(self, exchange: Exchange) -> None:
        del self.exchanges[exchange.name]
        for binding in list(exchange.bindings.values()):
            self._forget_binding(binding)
        self._drop_bindings_to(EXCHANGE, exchange.name)
        if exchange.durable:
            self._definitions.remove_exchange(self.name, exchange.name)
        self.routes.clear()

    # --- bindings -------------------------------------------------------------------------------

    def bind(
        self, source: str, destination: str, kind: str, key: bytes, arguments: Mapping[str, Any]
    ) -> None:
        """Bind; the same binding again changes nothing."""
        exchange = self._ends(source, destination, kind)
        binding = Binding(source, destination, kind, key, dict(arguments))
        exchange.check_binding(binding)
        if not exchange.bind(binding):
            return
        self._bindings_to.setdefault((kind, destination), {})[binding.identity] = binding
        if exchange.durable and self._is_durable(kind, destination):
            self._definitions.put_binding(self.name, binding)
        self.routes.clear()

    def restore_binding(self, binding: Binding) -> None:
        """Put back a binding that is in the definitions already."""
        exchange = self.exchanges.get(binding.source)
        if exchange is not None and exchange.bind(binding):
            target = (binding.kind, binding.destination)
            self._bindings_to.setdefault(target, {})[binding.identity] = binding
            self.routes.clear()

    def unbind(
        self, source: str, destination: str, kind: str, key: bytes, arguments: Mapping[str, Any]
    ) -> None:
        """Remove a binding; a missing one is fine."""
        exchange = self._ends(source, destination, kind)
        self._unbind(exchange, Binding(source, destination, kind, key, dict(arguments)))

    def _ends(self, source: str, destination: str, kind: str) -> Exchange:
        exchange = self.exchanges.get(source)
        ends = self.queues if kind == QUEUE else self.exchanges
        if exchange is None:
            raise NotFound(f"no {self.describe('exchange', source)}")
        if destination not in ends:
            raise NotFound(f"no {self.describe(kind, destination)}")
        return exchange

    def _is_durable(self, kind: str, name: str) -> bool:
        return bool(self.queues[name].queue_id) if kind == QUEUE else self.exchanges[name].durable

    def _unbind(self, exchange: Exchange, binding: Binding) -> None:
        if not exchange.unbind(binding):
            return
        self._forget_binding(binding)
        self.routes.clear()
        if exchange.auto_delete and not exchange.bindings and exchange.name in self.exchanges:
            self._drop_exchange(exchange)

    def _forget_binding(self, binding: Binding) -> None:
        target = (binding.kind, binding.destination)
        bindings = self._bindings_to.get(target)
        if bindings is not None:
            bindings.pop(binding.identity, None)
            if not bindings:
                del self._bindings_to[target]
        self._definitions.remove_binding(self.name, binding)

    def _drop_bindings_to(self, kind: str, name: str) -> None:
        for binding in list(self._bindings_to.get((kind, name), {}).values()):
            exchange = self.exchanges.get(binding.source)
            if exchange is not None:
                self._unbind(exchange, binding)
            else:
                self._forget_binding(binding)

    # --- queues ---------------------------------------------------------------------------------

    def queue(self, name: str, requester: object) -> Queue:
        """The queue, if ``requester`` may use it.

        Raises:
            NotFound, ResourceLocked.
        """
        found = self.queues.get(name)
        if found is None:
            raise NotFound(f"no {self.describe('queue', name)}")
        self._check_owner(found, requester)
        return found

    def queue_if_accessible(self, name: str, requester: object) -> None:
        """Only the exclusive owner may bind; a missing queue is somebody else's error."""
        found = self.queues.get(name)
        if found is not None:
            self._check_owner(found, requester)

    def _check_owner(self, queue: Queue, requester: object) -> None:
        owner = queue.exclusive_owner
        if owner is not None and owner is not requester:
            raise ResourceLocked(self._locked(queue.name))

    def _locked(self, name: str) -> str:
        return (
            f"cannot obtain exclusive access to locked {self.describe('queue', name)}. It could be "
            "originally declared on another connection or the exclusive property value does not "
            "match that of the original declaration."
        )

    def declare_queue(
        self,
        name: str,
        *,
        durable: bool,
        exclusive_owner: object | None,
        requester: object,
        auto_delete: bool,
        arguments: Mapping[str, Any],
        server_named: bool = False,
    ) -> Queue:
        """Create, or check the equivalence with the one that is there (owner first, as RabbitMQ does)."""
        described = self.describe("queue", name)
        found = self.queues.get(name)
        if found is not None:
            if found.exclusive_owner is not exclusive_owner:
                raise ResourceLocked(self._locked(name))
            args.check_equal("durable", described, durable, found.durable)
            args.check_equal("auto_delete", described, auto_delete, found.auto_delete)
            args.check_queue_arguments(arguments, described)
            args.check_equivalent(args.QUEUE_EQUIVALENT, described, arguments, found.arguments)
            return found
        if name.startswith("amq.") and not server_named:
            raise AccessRefused(f"queue name '{name}' contains reserved prefix 'amq.*'")
        args.check_queue_arguments(arguments, described)
        keep = durable and exclusive_owner is None
        queue_id = self._definitions.new_queue_id() if keep else 0
        queue = Queue(self, name, durable, exclusive_owner, auto_delete, dict(arguments), queue_id)
        self.add_queue(queue)
        if exclusive_owner is not None:
            self._exclusive.setdefault(exclusive_owner, set()).add(queue)
        if keep:
            self._definitions.put_queue(self.name, queue)
        return queue

    def add_queue(self, queue: Queue) -> None:
        """Put a queue in place, bound to the default exchange under its name."""
        self.queues[queue.name] = queue
        key = queue.name.encode("utf-8", "surrogateescape")
        self._default.bind(Binding("", queue.name, QUEUE, key))
        self.routes.clear()

    def delete_queue(
        self, name: str, *, requester: object, if_unused: bool = False, if_empty: bool = False
    ) -> int:
        """Delete; returns how many messages were ready. A missing one is fine and held none."""
        found = self.queues.get(name)
        if found is None:
            return 0
        self._check_owner(found, requester)
        if if_unused and found.consumer_count:
            raise PreconditionFailed(f"{self.describe('queue', name)} in use")
        if if_empty and found.ready_count:
            raise PreconditionFailed(f"{self.describe('queue', name)} not empty")
        return self.drop_queue(found)

    def drop_queue(self, queue: Queue) -> int:
        """Delete without asking."""
        del self.queues[queue.name]
        key = queue.name.encode("utf-8", "surrogateescape")
        self._default.unbind(Binding("", queue.name, QUEUE, key))
        self._drop_bindings_to(QUEUE, queue.name)
        if queue.exclusive_owner is not None:
            owned = self._exclusive.get(queue.exclusive_owner)
            if owned is not None:
                owned.discard(queue)
        if queue.queue_id:
            self._definitions.remove_queue(self.name, queue.name)
        self.routes.clear()
        return queue.delete()

    def delete_exclusive(self, owner: object) -> None:
        """The owner's connection ended."""
        for queue in self._exclusive.pop(owner, ()):
            if self.queues.get(queue.name) is queue:
                self.drop_queue(queue)

    def check_exclusive_consumer(self, queue: Queue, exclusive: bool) -> None:
        """An exclusive consumer is alone."""
        if queue.exclusive_consumer is not None or (exclusive and queue.consumer_count):
            raise AccessRefused(f"{self.describe('queue', queue.name)} in exclusive use")

    def remove_consumer(self, queue: Queue, consumer: Consumer) -> None:
        """A subscription ended; an auto-delete queue goes with its last one."""
        queue.remove_consumer(consumer)
        if queue.auto_delete and queue.had_consumer and not queue.consumer_count:
            if self.queues.get(queue.name) is queue:
                self.drop_queue(queue)

    # --- routing --------------------------------------------------------------------------------

    def resolve(self, exchange: str, key: bytes, headers: Mapping[str, Any] | None) -> list[Queue]:
        """The queues a message reaches, each once: exchange bindings walked, then alternate exchanges."""
        queues: dict[str, Queue] = {}
        visited: set[str] = set()
        pending = [exchange]
        while pending:
            name = pending.pop()
            if name in visited:
                continue
            visited.add(name)
            source = self.exchanges.get(name)
            if source is None:
                continue
            hit = False
            for kind, target in source.destinations(key, headers):
                hit = True
                if kind == EXCHANGE:
                    pending.append(target)
                else:
                    queue = self.queues.get(target)
                    if queue is not None:
                        queues[target] = queue
            if not hit and source.alternate is not None:
                pending.append(source.alternate)
        return list(queues.values())

    def needs_headers(self, exchange: str) -> bool:
        """Whether routing from ``exchange`` may look at headers, so that no route can be kept."""
        visited: set[str] = set()
        pending = [exchange]
        while pending:
            name = pending.pop()
            source = self.exchanges.get(name)
            if name in visited or source is None:
                continue
            visited.add(name)
            if source.uses_headers:
                return True
            if source.alternate is not None:
                pending.append(source.alternate)
            pending += [b.destination for b in source.bindings.values() if b.kind == EXCHANGE]
        return False

    def durable_ids(self, queues: Iterable[Queue]) -> bytes:
        """See `posthouse.broker.router.durable_ids`."""
        return durable_ids(queues)
