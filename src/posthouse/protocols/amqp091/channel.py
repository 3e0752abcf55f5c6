"""One channel of a connection: frames into calls, content assembly, closing.

What the methods do stands in the tables of `topology` (exchanges and queues) and `basic` (messages); this module
owns the channel's life. AMQP 0-9-1 §2.2.5; RabbitMQ for texts and for what is dropped while a channel closes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from posthouse.auth.permissions import PermissionCache
from posthouse.broker.queues.queue import Queue
from posthouse.core.errors import PosthouseError
from posthouse.protocols.amqp091.content import Content
from posthouse.protocols.amqp091.engine import AmqpConsumer, ChannelCore
from posthouse.protocols.amqp091.errors import AmqpError, from_domain
from posthouse.protocols.amqp091.transaction import Transaction
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.frames import method_frame

if TYPE_CHECKING:
    from posthouse.broker.vhost import VHost
    from posthouse.protocols.amqp091.session import Session

FRAME_METHOD = 1
FRAME_HEADER = 2
FRAME_BODY = 3

Handler = Callable[["Channel", Any], None]  # Any: each handler takes its own method class


class Channel(ChannelCore):
    """The cold half of a channel.

    Attributes:
        consumers: by consumer tag.
        prefetch: for consumers started from now on (``basic.qos`` without global).
        last_queue: name of the queue declared last, for methods that name none.
        transaction: what ``tx.select`` gathers, or None.
        is_closing: ``channel.close`` was sent and is not answered yet.
    """

    handlers: ClassVar[dict[type[methods.Method], Handler]] = {}

    def __init__(self, session: Session, number: int) -> None:
        super().__init__(session, number)
        self.session = session
        vhost = session.vhost
        assert vhost is not None
        self.vhost: VHost = vhost
        self.consumers: dict[str, AmqpConsumer] = {}
        self.getters: dict[Queue, AmqpConsumer] = {}
        self.prefetch = 0
        self.last_queue = ""
        self.transaction: Transaction | None = None
        self.is_closing = False
        self.permissions = PermissionCache(
            session.services.authorizer, session.identity, vhost.name
        )
        self._content: Content | None = None
        session.dispatcher.holders[self] = None

    # --- frames ---------------------------------------------------------------------------------

    def handle(self, kind: int, payload: bytes) -> None:
        """One frame of this channel that took the cold road."""
        if self.is_closing:
            self._while_closing(kind, payload)
        elif self._content is not None:
            self._assemble(self._content, kind, payload)
        elif kind != FRAME_METHOD:
            raise AmqpError(505, "expected method frame, got non method frame instead")
        else:
            self._on_method(methods.decode_method(payload))

    def _on_method(self, method: methods.Method) -> None:
        if isinstance(method, methods.BasicPublish):
            self._content = Content(method, self.session.message_max)
            # Already now: a publisher that never completes a message must not fill the memory past an alarm.
            self.session.has_published = True
            self.is_slow = True
            return
        handler = self.handlers.get(type(method))
        if handler is None:
            raise AmqpError(503, "unimplemented method", method.class_id, method.method_id)
        self._call(handler, method, method)

    def _call(self, handler: Handler, method: methods.Method, argument: object) -> None:
        """Run a handler; its errors name the method that failed."""
        try:
            handler(self, argument)
        except PosthouseError as error:
            refusal = from_domain(error)
            refusal.class_id, refusal.method_id = method.class_id, method.method_id
            raise refusal from error
        except AmqpError as error:
            if not error.class_id:
                error.class_id, error.method_id = method.class_id, method.method_id
            raise

    def _assemble(self, content: Content, kind: int, payload: bytes) -> None:
        if kind == FRAME_HEADER:
            complete = content.add_header(payload)
        elif kind == FRAME_BODY:
            complete = content.add_body(payload)
        else:
            raise content.misplaced()
        if complete:
            self._content = None
            self.is_slow = self.transaction is not None
            self._call(self.handlers[methods.BasicPublish], content.method, content)

    def _while_closing(self, kind: int, payload: bytes) -> None:
        if kind != FRAME_METHOD:
            return
        code = payload[:4]
        if code == b"\x00\x14\x00\x29":  # channel.close-ok
            self.session.forget_channel(self.number)
        elif (
            code == b"\x00\x14\x00\x28"
        ):  # channel.close crossed ours: answer it, still wait for theirs
            self.send(methods.ChannelCloseOk())

    # --- replies --------------------------------------------------------------------------------

    def send(self, method: methods.Method) -> None:
        """Write a method."""
        self.session.put(method_frame(self.number, method.encode()))

    def reply(self, method: methods.Method, nowait: bool = False) -> None:
        """Answer a request, unless the client wants no answer."""
        if not nowait:
            self.send(method)

    def reply_durably(self, method: methods.Method, nowait: bool = False) -> None:
        """Answer what durable state is: the answer leaves when that is on disk, whoever changed it."""
        if not nowait:
            dispatcher = self.session.dispatcher
            if dispatcher.changed > dispatcher.committed:
                self.session.barrier()
            self.send(method)

    def forget_permissions(self) -> None:
        """What was granted must be asked again."""
        self.permissions.clear()
        self.write_ok = set()
        self.last_ok = None

    # --- consumers ------------------------------------------------------------------------------

    def subscribe(self, consumer: AmqpConsumer) -> None:
        """Give ``consumer`` a number, by which outstanding deliveries name it."""
        for number, old in enumerate(self.subscribers):
            if old is None or (old.number == RETIRED and old.unacked == 0):
                self.subscribers[number] = consumer
                consumer.number = number
                return
        consumer.number = len(self.subscribers)
        self.subscribers.append(consumer)

    def unsubscribe(self, consumer: AmqpConsumer) -> None:
        """``consumer`` gets nothing more; its outstanding deliveries stay with the channel."""
        number = consumer.number
        if consumer.unacked == 0 and number != RETIRED:
            self.subscribers[number] = None  # type: ignore[call-overload]  # a free number
        consumer.number = RETIRED

    def cancel(self, consumer: AmqpConsumer) -> None:
        """End a subscription from the channel's side."""
        del self.consumers[consumer.tag]
        self.unsubscribe(consumer)
        self.vhost.remove_consumer(queue_of(consumer), consumer)

    def on_cancelled(self, consumer: AmqpConsumer) -> None:
        """The queue is gone: tell a client that understands it."""
        self.consumers.pop(consumer.tag, None)
        self.unsubscribe(consumer)
        if self.session.capabilities.get("consumer_cancel_notify"):
            cancel = methods.BasicCancel(consumer_tag=consumer.tag, nowait=True)
            self.session.put_after_reply(method_frame(self.number, cancel.encode()))

    # --- ending ---------------------------------------------------------------------------------

    def release(self) -> None:
        """Give everything back: outstanding deliveries to their queues, consumers, the transaction."""
        self.is_slow = True
        self.is_stopped = True
        self.session.abandon(self.number)
        self._content = None
        self.transaction = None
        self.waiting.clear()
        consumers = list(self.consumers.values())
        for consumer in consumers:
            queue_of(consumer).remove_consumer(consumer)
        self.requeue_all()
        self.consumers.clear()
        for consumer in consumers:
            self.vhost.remove_consumer(queue_of(consumer), consumer)
        self.subscribers = []
        self.getters.clear()
        self.session.dispatcher.holders.pop(self, None)

    def fail(self, error: AmqpError) -> None:
        """Close the channel with ``error``; what comes before the client's close-ok is dropped."""
        self.release()
        self.is_closing = True
        self.send(
            methods.ChannelClose(
                reply_code=error.code,
                reply_text=error.text,
                failing_class_id=error.class_id,
                failing_method_id=error.method_id,
            )
        )

    def close(self) -> None:
        """The client closed the channel; confirms that wait for nothing leave before the answer."""
        self.session.finish_batch()
        self.release()
        self.session.forget_channel(self.number)
        self.send(methods.ChannelCloseOk())


def queue_of(consumer: AmqpConsumer) -> Queue:
    """The consumer's queue, with its cold half."""
    queue = consumer.queue
    assert isinstance(queue, Queue)
    return queue


# A subscriber number that no delivery can have: the consumer was cancelled.
RETIRED = 0xFFFFFFFF
