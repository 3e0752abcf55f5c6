"""A classic queue: the cold half, on top of the kernel `QueueCore`.

It owns its consumers' order and the publishers held back by congestion. The virtual host decides about names,
ownership, equivalence and deletion; the protocol's consumers do the delivering.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from posthouse.broker.dispatch import Consumer, Dispatcher, QueueCore
from posthouse.broker.held import held_positions


class Queue(QueueCore):
    """A queue of one virtual host.

    Attributes:
        vhost: the virtual host, opaque here.
        queue_id: the durable queue's number in the log (never reused), 0 if it does not survive.
        exclusive_owner: the connection that owns an exclusive queue, else None.
        arguments: x-arguments as declared.
        exclusive_consumer: the consumer that asked to be alone, if any.
    """

    def __init__(
        self,
        vhost: Any,  # the virtual host's type is above this module
        name: str,
        durable: bool,
        exclusive_owner: object | None,
        auto_delete: bool,
        arguments: Mapping[str, Any],  # field values of any AMQP type
        queue_id: int,
    ) -> None:
        dispatcher: Dispatcher = vhost.dispatcher
        super().__init__(dispatcher, queue_id)
        self.vhost = vhost
        self.name = name
        self.durable = durable
        self.exclusive_owner = exclusive_owner
        self.auto_delete = auto_delete
        self.arguments = arguments
        self.queue_id = queue_id
        self.exclusive_consumer: Consumer | None = None
        self.had_consumer = False
        self._held: list[Callable[[], None]] = []

    @property
    def ready_count(self) -> int:
        """Messages that wait for a consumer."""
        return self.index.ready()

    @property
    def unacked_count(self) -> int:
        """Messages delivered and not settled."""
        return self.unacked

    @property
    def message_count(self) -> int:
        """Ready and unacked together."""
        return self.index.ready() + self.unacked

    @property
    def consumer_count(self) -> int:
        """Subscriptions."""
        return len(self.consumers)

    def add_consumer(self, consumer: Consumer, *, exclusive: bool = False) -> None:
        """Put ``consumer`` behind those of the same or a higher priority, and have the queue served."""
        at = len(self.consumers)
        while at > 0 and self.consumers[at - 1].priority < consumer.priority:
            at -= 1
        self.consumers.insert(at, consumer)
        self.had_consumer = True
        if exclusive:
            self.exclusive_consumer = consumer
        self.dispatcher.mark(self)

    def remove_consumer(self, consumer: Consumer) -> None:
        """Take ``consumer`` out; publishers that were held back for it go on when none is left."""
        if consumer in self.consumers:
            self.consumers.remove(consumer)
        if self.exclusive_consumer is consumer:
            self.exclusive_consumer = None
        if not self.consumers and self.is_congested:
            self.drained()

    def purge(self) -> int:
        """Drop the ready messages; returns how many. Durable once the next commit is done."""
        count = self.drop_ready()
        is_incomplete = self.index.entries_lost > 0
        if is_incomplete and self.queue_id:
            # What a lost page named is purged like the rest, or it would come back with the next start.
            self.settle_all_but(held_positions(self))
        if (count or is_incomplete) and self.queue_id:
            self.dispatcher.note_change()
        return count

    def delete(self) -> int:
        """End the queue: drop its messages, cancel its consumers; returns how many were ready.

        Outstanding deliveries stay with their channels; settling them only frees memory.
        """
        count = self.ready_count
        self.deleted = True
        self.drop_ready()
        consumers = list(self.consumers)
        self.consumers.clear()
        self.exclusive_consumer = None
        for consumer in consumers:
            consumer.cancelled()
        self.drained()
        return count

    def hold(self, resume: Callable[[], None], low_bytes: int) -> None:
        """Call ``resume`` once the queue holds at most ``low_bytes``, has no consumer left, or is gone."""
        self.is_congested = True
        self.bytes_low = low_bytes
        self._held.append(resume)

    def drained(self) -> None:
        """Let the publishers that were held back go on."""
        self.is_congested = False
        held, self._held = self._held, []
        for resume in held:
            resume()
