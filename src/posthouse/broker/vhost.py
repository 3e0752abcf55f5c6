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
from posthouse.broker.limits import Limits
from posthouse.broker.queues.queue import Queue
from posthouse.broker.router import durable_ids, make_route, resolve
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
        limits: Limits,
        *,
        unknown_type_closes_connection: bool = False,
    ) -> None:
        self.name = name
        self.dispatcher = dispatcher
        self.exchanges: dict[str, Exchange] = {}
        self.queues: dict[str, Queue] = {}
        self._definitions = definitions
        self._types = types
        self._limits = limits
        self._unknown_type_closes_connection = unknown_type_closes_connection
        self._bindings_to: dict[tuple[str, str], dict[tuple[Any, ...], Binding]] = {}
        self._exclusive: dict[object, dict[Queue, None]] = {}
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
        self._unbind(self._remove_exchange(found))

    def _remove_exchange(self, exchange: Exchange) -> list[Binding]:
        """Take it out with its own bindings; returns those that lead to it, which are to go next."""
        del self.exchanges[exchange.name]
        for binding in exchange.bindings.values():
            self._forget_binding(binding)
        if exchange.durable:
            self._definitions.remove_exchange(self.name, exchange.name)
        return self._bindings_of(EXCHANGE, exchange.name)

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
        """Put back a binding that is in the definitions already; without both ends there is nothing to put back."""
        exchange = self.exchanges.get(binding.source)
        ends = self.queues if binding.kind == QUEUE else self.exchanges
        if exchange is not None and binding.destination in ends and exchange.bind(binding):
            target = (binding.kind, binding.destination)
            self._bindings_to.setdefault(target, {})[binding.identity] = binding
            self.routes.clear()

    def unbind(
        self,
        source: str,
        destination: str,
        kind: str,
        key: bytes,
        arguments: Mapping[str, Any],
        requester: object = None,
    ) -> None:
        """Remove a binding; a missing one, or a missing end, is fine.

        Raises:
            ResourceLocked: the binding is there and its queue is exclusive to another than ``requester``.
        """
        exchange = self.exchanges.get(source)
        binding = Binding(source, destination, kind, key, dict(arguments))
        if exchange is None or binding.identity not in exchange.bindings:
            return
        if kind == QUEUE:
            self.queue_if_accessible(destination, requester)
        self._unbind([binding])

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

    def _unbind(self, bindings: list[Binding]) -> None:
        """Remove these, and exchanges that go with their last binding; a chain of them needs no recursion."""
        pending = bindings
        while pending:
            binding = pending.pop()
            exchange = self.exchanges.get(binding.source)
            self._forget_binding(binding)
            if exchange is None or not exchange.unbind(binding):
                continue
            if exchange.auto_delete and not exchange.bindings:
                pending += self._remove_exchange(exchange)
        self.routes.clear()

    def _forget_binding(self, binding: Binding) -> None:
        target = (binding.kind, binding.destination)
        bindings = self._bindings_to.get(target)
        if bindings is not None:
            bindings.pop(binding.identity, None)
            if not bindings:
                del self._bindings_to[target]
        self._definitions.remove_binding(self.name, binding)

    def _bindings_of(self, kind: str, destination: str) -> list[Binding]:
        return list(self._bindings_to.get((kind, destination), {}).values())

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
        """Create, or check the equivalence with the one that is there (owner first, as RabbitMQ does).

        ``server_named``: the caller made the name up, so the reserved prefix is fine.
        """
        described = self.describe("queue", name)
        if server_named:
            self._check_server_named(arguments, described)
        elif name.startswith("amq."):
            # RabbitMQ: before it looks whether there is such a queue.
            raise AccessRefused(f"queue name '{name}' contains reserved prefix 'amq.*'")
        found = self.queues.get(name)
        if found is not None:
            if found.exclusive_owner is not exclusive_owner:
                raise ResourceLocked(self._locked(name))
            args.check_equal("durable", described, durable, found.durable)
            args.check_equal("auto_delete", described, auto_delete, found.auto_delete)
            args.check_queue_equivalent(described, arguments, found.arguments)
            return found
        self._limits.check_queue(self.name, name, len(self.queues))
        args.check_queue_properties(
            args.check_queue_arguments(arguments, described),
            described,
            durable=durable,
            exclusive=exclusive_owner is not None,
            auto_delete=auto_delete,
        )
        keep = durable and exclusive_owner is None
        queue_id = self._definitions.new_queue_id() if keep else 0
        queue = Queue(self, name, durable, exclusive_owner, auto_delete, dict(arguments), queue_id)
        self.add_queue(queue)
        if exclusive_owner is not None:
            self._exclusive.setdefault(exclusive_owner, {})[queue] = None
        if keep:
            self._definitions.put_queue(self.name, queue)
        return queue

    def _check_server_named(self, arguments: Mapping[str, Any], described: str) -> None:
        kind = args.queue_type(arguments, described)
        if kind != "classic":
            raise PreconditionFailed(
                f"Cannot declare a server-named queue for type rabbit_{kind}_queue"
            )

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
        if if_empty and found.ready_count:
            raise PreconditionFailed(f"{self.describe('queue', name)} not empty")
        if if_unused and found.consumer_count:
            raise PreconditionFailed(f"{self.describe('queue', name)} in use")
        return self.drop_queue(found)

    def drop_queue(self, queue: Queue) -> int:
        """Delete without asking."""
        del self.queues[queue.name]
        key = queue.name.encode("utf-8", "surrogateescape")
        self._default.unbind(Binding("", queue.name, QUEUE, key))
        self._unbind(self._bindings_of(QUEUE, queue.name))
        if queue.exclusive_owner is not None:
            owned = self._exclusive.get(queue.exclusive_owner)
            if owned is not None:
                owned.pop(queue, None)
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

    def clear(self) -> None:
        """Drop everything, the virtual host is being deleted; the predeclared exchanges stay, bare."""
        for queue in list(self.queues.values()):
            self.drop_queue(queue)
        declared = self.exchanges.keys() - {"", *(name for name, _, _ in PREDECLARED)}
        for exchange in [self.exchanges[name] for name in declared]:
            if exchange.name in self.exchanges:
                self._unbind(self._remove_exchange(exchange))
        for exchange in self.exchanges.values():
            self._unbind(list(exchange.bindings.values()))

    # --- routing --------------------------------------------------------------------------------

    def resolve(self, exchange: str, key: bytes, headers: Mapping[str, Any] | None) -> list[Queue]:
        """See `posthouse.broker.router.resolve`."""
        return resolve(self, exchange, key, headers)

    def durable_ids(self, queues: Iterable[Queue]) -> bytes:
        """See `posthouse.broker.router.durable_ids`."""
        return durable_ids(queues)
