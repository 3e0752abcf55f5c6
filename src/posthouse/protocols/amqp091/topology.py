"""The ``channel``, ``exchange``, ``queue`` and ``access`` classes on a channel (AMQP 0-9-1 §1.5 to §1.7; RabbitMQ).

Permissions are checked here, existence and equivalence by the virtual host. Answers to changes of durable things leave
when the change is on disk.
"""

from __future__ import annotations

from typing import Any

from posthouse.protocols.amqp091.basic import queue_name
from posthouse.protocols.amqp091.channel import Channel
from posthouse.protocols.amqp091.errors import AmqpError
from posthouse.wire.amqp091 import methods


def clean(name: str) -> str:
    """RabbitMQ strips CR and LF from names on declare, delete and bind."""
    return name.replace("\r", "").replace("\n", "")


# --- channel and access -------------------------------------------------------------------------


def channel_open(channel: Channel, method: methods.ChannelOpen) -> None:
    """A channel is opened once."""
    raise AmqpError(504, "second 'channel.open' seen")


def channel_flow(channel: Channel, method: methods.ChannelFlow) -> None:
    """RabbitMQ does not stop a flow for a client; it asks for ``basic.qos`` instead."""
    if not method.active:
        raise AmqpError(540, "active=false")
    channel.send(methods.ChannelFlowOk(active=True))


def channel_close(channel: Channel, method: methods.ChannelClose) -> None:
    """``channel.close``."""
    channel.close()


def access_request(channel: Channel, method: methods.AccessRequest) -> None:
    """``access.request`` is obsolete: everybody gets ticket 1."""
    channel.send(methods.AccessRequestOk(ticket=1))


# --- exchanges ----------------------------------------------------------------------------------


def exchange_declare(channel: Channel, method: methods.ExchangeDeclare) -> None:
    """``exchange.declare``."""
    name = clean(method.exchange)
    vhost = channel.vhost
    if method.passive:
        vhost.check_exchange(name)
        channel.reply(methods.ExchangeDeclareOk(), method.nowait)
        return
    vhost.check_exchange_type(method.type)
    channel.permissions.check("configure", "exchange", name)
    alternate = _text(method.arguments.get("alternate-exchange"))
    if alternate is not None:
        channel.permissions.check("read", "exchange", name)
        channel.permissions.check("write", "exchange", alternate)
    vhost.declare_exchange(
        name,
        method.type,
        durable=method.durable,
        auto_delete=method.auto_delete,
        internal=method.internal,
        arguments=method.arguments,
    )
    channel.reply_durably(methods.ExchangeDeclareOk(), method.nowait)


def exchange_delete(channel: Channel, method: methods.ExchangeDelete) -> None:
    """``exchange.delete``: a missing one is fine."""
    name = clean(method.exchange)
    channel.vhost.check_not_default(name)
    channel.permissions.check("configure", "exchange", name)
    channel.vhost.delete_exchange(name, if_unused=method.if_unused)
    channel.reply_durably(methods.ExchangeDeleteOk(), method.nowait)


def _text(value: Any) -> str | None:  # Any: a field value
    plain = getattr(value, "value", value)
    if isinstance(plain, bytes):
        return plain.decode("utf-8", "surrogateescape")
    return plain if isinstance(plain, str) else None


def exchange_bind(channel: Channel, method: methods.ExchangeBind) -> None:
    """``exchange.bind`` (RabbitMQ)."""
    source, destination = clean(method.source), clean(method.destination)
    _check_bind(channel, "exchange", destination, source)
    channel.vhost.bind(source, destination, "exchange", method.routing_key, method.arguments)
    channel.reply_durably(methods.ExchangeBindOk(), method.nowait)


def exchange_unbind(channel: Channel, method: methods.ExchangeUnbind) -> None:
    """``exchange.unbind`` (RabbitMQ)."""
    source, destination = clean(method.source), clean(method.destination)
    _check_bind(channel, "exchange", destination, source)
    channel.vhost.unbind(source, destination, "exchange", method.routing_key, method.arguments)
    channel.reply_durably(methods.ExchangeUnbindOk(), method.nowait)


def _check_bind(channel: Channel, kind: str, destination: str, source: str) -> None:
    """Write on the destination, read on the source; the default exchange takes no bindings."""
    channel.vhost.check_not_default(source)
    if kind == "exchange":
        channel.vhost.check_not_default(destination)
    channel.permissions.check("write", kind, destination)
    channel.permissions.check("read", "exchange", source)


# --- queues -------------------------------------------------------------------------------------


def queue_declare(channel: Channel, method: methods.QueueDeclare) -> None:
    """``queue.declare``: the name is remembered for methods that name none, passive or not."""
    name = clean(method.queue)
    vhost = channel.vhost
    session = channel.session
    if method.passive:
        queue = vhost.queue(name, session)
        _declared(channel, queue, method.nowait)
        return
    name = name or session.services.new_name("amq.gen-")
    channel.permissions.check("configure", "queue", name)
    dead_letter = _text(method.arguments.get("x-dead-letter-exchange"))
    if dead_letter is not None:
        channel.permissions.check("read", "queue", name)
        channel.permissions.check("write", "exchange", dead_letter)
    queue = vhost.declare_queue(
        name,
        durable=method.durable,
        exclusive_owner=session if method.exclusive else None,
        requester=session,
        auto_delete=method.auto_delete,
        arguments=method.arguments,
        server_named=not method.queue,
    )
    _declared(channel, queue, method.nowait)


def _declared(channel: Channel, queue: Any, nowait: bool) -> None:  # Any: a Queue of any type
    channel.last_queue = queue.name
    channel.reply_durably(
        methods.QueueDeclareOk(
            queue=queue.name,
            message_count=queue.ready_count,
            consumer_count=queue.consumer_count,
        ),
        nowait,
    )


def queue_bind(channel: Channel, method: methods.QueueBind) -> None:
    """``queue.bind``; without queue and key, the last declared queue under its own name."""
    name, key = _bound(channel, method.queue, method.routing_key)
    exchange = clean(method.exchange)
    _check_bind(channel, "queue", name, exchange)
    channel.vhost.queue_if_accessible(name, channel.session)
    channel.vhost.bind(exchange, name, "queue", key, method.arguments)
    channel.reply_durably(methods.QueueBindOk(), method.nowait)


def queue_unbind(channel: Channel, method: methods.QueueUnbind) -> None:
    """``queue.unbind``: a missing binding is fine."""
    name, key = _bound(channel, method.queue, method.routing_key)
    exchange = clean(method.exchange)
    _check_bind(channel, "queue", name, exchange)
    channel.vhost.unbind(exchange, name, "queue", key, method.arguments, channel.session)
    channel.reply_durably(methods.QueueUnbindOk())


def _bound(channel: Channel, queue: str, key: bytes) -> tuple[str, bytes]:
    name = queue_name(channel, clean(queue))
    if not queue and not key:
        return name, name.encode("utf-8", "surrogateescape")
    return name, key


def queue_purge(channel: Channel, method: methods.QueuePurge) -> None:
    """``queue.purge``: the ready messages only."""
    name = queue_name(channel, method.queue)
    channel.permissions.check("read", "queue", name)
    queue = channel.vhost.queue(name, channel.session)
    count = queue.purge()
    channel.reply_durably(methods.QueuePurgeOk(message_count=count), method.nowait)


def queue_delete(channel: Channel, method: methods.QueueDelete) -> None:
    """``queue.delete``: a missing one is fine and held no messages."""
    name = queue_name(channel, clean(method.queue))
    channel.permissions.check("configure", "queue", name)
    count = channel.vhost.delete_queue(
        name, requester=channel.session, if_unused=method.if_unused, if_empty=method.if_empty
    )
    channel.reply_durably(methods.QueueDeleteOk(message_count=count), method.nowait)


Channel.handlers.update(
    {
        methods.ChannelOpen: channel_open,
        methods.ChannelFlow: channel_flow,
        methods.ChannelClose: channel_close,
        methods.AccessRequest: access_request,
        methods.ExchangeDeclare: exchange_declare,
        methods.ExchangeDelete: exchange_delete,
        methods.ExchangeBind: exchange_bind,
        methods.ExchangeUnbind: exchange_unbind,
        methods.QueueDeclare: queue_declare,
        methods.QueueBind: queue_bind,
        methods.QueueUnbind: queue_unbind,
        methods.QueuePurge: queue_purge,
        methods.QueueDelete: queue_delete,
    }
)
