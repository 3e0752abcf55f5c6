"""The broker: virtual hosts over one definitions table. Everything above is handed this object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from posthouse.broker.definitions import Definitions, Rows
from posthouse.broker.dispatch import Dispatcher, QueueCore
from posthouse.broker.exchanges.types import exchange_types
from posthouse.broker.limits import VHOST, Defaults, Limits
from posthouse.broker.queues.queue import Queue
from posthouse.broker.vhost import VHost
from posthouse.core.errors import CorruptRecord, NotFound

DEFAULT_VHOST = "/"


class Broker:
    """All virtual hosts of a node."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        rows: Rows,
        typed: Callable[[str, Any], Any],
        default_limits: Defaults | None = None,
    ) -> None:
        self.dispatcher = dispatcher
        self.vhosts: dict[str, VHost] = {}
        self._types = exchange_types()
        self._definitions = Definitions(rows, typed)
        self.limits = Limits(rows, default_limits or {})

    def load(self) -> None:
        """Recreate the durable topology; a new node gets the default virtual host.

        Raises:
            NotFound: an exchange has a type that no plugin provides.
            CorruptRecord: a row that no broker wrote.
        """
        try:
            self._load()
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise CorruptRecord(f"the definitions make no sense: {error!r}") from error

    def _load(self) -> None:
        definitions = self._definitions
        for name in definitions.vhosts():
            self._make_vhost(name)
        if not self.vhosts:
            self.add_vhost(DEFAULT_VHOST)
        for (vhost, name), row in definitions.rows("exchange"):
            kind = self._types.get(row["type"])
            if kind is None:
                raise NotFound(
                    f"exchange '{name}' has the type '{row['type']}', which no installed plugin provides"
                )
            self._loaded_vhost(vhost).exchanges[name] = kind(
                name,
                auto_delete=row["auto_delete"],
                internal=row["internal"],
                arguments=definitions.arguments(row),
            )
        for (vhost, name), row in definitions.rows("queue"):
            host = self._loaded_vhost(vhost)
            queue = Queue(
                host, name, True, None, row["auto_delete"], definitions.arguments(row), row["id"]
            )
            host.add_queue(queue)
        for (vhost, number), row in definitions.rows("binding"):
            host = self._loaded_vhost(vhost)
            host.restore_binding(definitions.loaded_binding(vhost, number, row))

    def _loaded_vhost(self, name: str) -> VHost:
        # Only a damaged log lacks the row of a virtual host whose queues it holds: serve what is left.
        return self.vhosts.get(name) or self.add_vhost(name)

    def _make_vhost(self, name: str) -> VHost:
        vhost = VHost(name, self.dispatcher, self._definitions, self._types, self.limits)
        self.vhosts[name] = vhost
        return vhost

    def add_vhost(self, name: str) -> VHost:
        """Create a virtual host; an existing one is returned as it is."""
        found = self.vhosts.get(name)
        if found is not None:
            return found
        self._definitions.put_vhost(name)
        return self._make_vhost(name)

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with everything in it."""
        vhost = self.vhosts.pop(name, None)
        if vhost is None:
            raise NotFound(f"no vhost '{name}'")
        vhost.clear()
        self.limits.set(VHOST, name, {})
        self._definitions.remove_vhost(name)

    def salvage_queue(self, number: int) -> Queue:
        """A new queue under the number of one whose definition is lost, in the default virtual host."""
        host = self._loaded_vhost(DEFAULT_VHOST)
        name = f"amq.salvaged.{number}"
        while name in host.queues:
            name += "+"
        queue = Queue(host, name, True, None, False, {}, number)
        host.add_queue(queue)
        self._definitions.note_queue_id(number)
        self._definitions.put_queue(host.name, queue)
        return queue

    def queue_name(self, number: int) -> str:
        """A durable queue as people know it."""
        for vhost in self.vhosts.values():
            for queue in vhost.queues.values():
                if queue.queue_id == number:
                    return f"queue '{queue.name}' in vhost '{vhost.name}'"
        return f"queue number {number}, which no longer exists"

    def durable_queues(self) -> dict[int, QueueCore]:
        """The durable queues by their number in the log: for replay."""
        return {
            queue.queue_id: queue
            for vhost in self.vhosts.values()
            for queue in vhost.queues.values()
            if queue.queue_id
        }
