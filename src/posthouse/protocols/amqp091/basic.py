"""The ``basic``, ``confirm`` and ``tx`` classes on a channel (AMQP 0-9-1 §1.8, §1.9; RabbitMQ's extensions and texts).

Each handler takes the channel and the decoded method; what it raises closes the channel or the connection by its
code. Plain publishes and acks never come here: see `engine`.
"""

from __future__ import annotations

import re
from typing import Any

from posthouse.broker.arguments import is_integer
from posthouse.broker.dispatch import QueueCore
from posthouse.broker.terms import plain
from posthouse.core import mem
from posthouse.core.errors import NotFound
from posthouse.protocols.amqp091.channel import RETIRED, Channel
from posthouse.protocols.amqp091.content import Content
from posthouse.protocols.amqp091.engine import AmqpConsumer
from posthouse.protocols.amqp091.errors import AmqpError
from posthouse.protocols.amqp091.transaction import HeldPublish, Transaction
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.fields import type_name
from posthouse.wire.amqp091.frames import content_frames

PERSISTENT = 2
TAG_BYTES_MAX = 255
INTEGER = re.compile(r"[+-]?[0-9]+")


# --- publish ------------------------------------------------------------------------------------


def publish(channel: Channel, content: Content) -> None:
    """A complete message that took the cold road; the order of checks is RabbitMQ's."""
    method = content.method
    session = channel.session
    if method.immediate:
        raise AmqpError(540, "immediate=true", 60, 40)
    channel.permissions.check("write", "exchange", method.exchange)
    blob = _short(method.exchange.encode("utf-8", "surrogateescape")) + _short(method.routing_key)
    properties = content.properties
    assert properties is not None
    route = channel.vhost.routes.lookup(blob)
    if not route.plain:
        exchange = channel.vhost.publishable_exchange(method.exchange)
    _check_properties(channel, properties)
    queues: list[QueueCore]
    if route.plain:
        queues = route.queues
        durable_ids = route.durable_ids
        channel.write_ok.add(route.exchange)
    else:
        found = channel.vhost.resolve(exchange.name, method.routing_key, properties.headers)
        queues = list(found)
        durable_ids = channel.vhost.durable_ids(found)
    persistent = properties.delivery_mode == PERSISTENT
    if not queues and method.mandatory:
        _return(channel, content, method)
    body = bytes(content.body)
    session.count_publish(channel)
    if channel.transaction is not None:
        held = HeldPublish(queues, durable_ids, persistent, blob, content.props_raw, body)
        channel.transaction.publishes.append(held)
        return
    session.enqueue(channel, queues, durable_ids, persistent, blob, content.props_raw, body)


def _short(octets: bytes) -> bytes:
    return bytes((len(octets),)) + octets


def _check_properties(
    channel: Channel, properties: Any
) -> None:  # Any: BasicProperties, or a test's double
    expiration = properties.expiration
    if expiration is not None:
        _check_expiration(expiration)
    user_id = properties.user_id
    identity = channel.session.identity
    assert identity is not None
    if user_id is not None and user_id != identity.name and not identity.may_impersonate:
        raise AmqpError(
            406,
            f"user_id property set to '{user_id}' but authenticated user was '{identity.name}'",
            60,
            40,
        )


def _check_expiration(text: str) -> None:
    """A number of milliseconds, or 406; RabbitMQ reads it with ``string:to_integer/1``, which knows ASCII digits only."""
    found = INTEGER.match(text)
    if found is None:
        raise AmqpError(406, f"invalid expiration '{text}': no_integer", 60, 40)
    leftover = text[found.end() :]
    if leftover:
        raise AmqpError(
            406, f"invalid expiration '{text}': {{leftover_string,\"{leftover}\"}}", 60, 40
        )
    value = int(text)
    if value < 0:
        raise AmqpError(406, f"invalid expiration '{text}': {{value_negative,{value}}}", 60, 40)
    if value > 315360000000:
        raise AmqpError(406, f"invalid expiration '{text}': {{value_too_large,{value}}}", 60, 40)


def _return(channel: Channel, content: Content, method: methods.BasicPublish) -> None:
    channel.send(
        methods.BasicReturn(
            reply_code=312,
            reply_text="NO_ROUTE",
            exchange=method.exchange,
            routing_key=method.routing_key,
        )
    )
    channel.session.put(
        content_frames(
            channel.number,
            60,
            content.props_raw,
            bytes(content.body),
            channel.session.body_max + 8,
        )
    )


# --- consume and get ----------------------------------------------------------------------------


def queue_name(channel: Channel, name: str) -> str:
    """The queue a method means: the last declared one when it names none."""
    if name:
        return name
    if not channel.last_queue:
        raise NotFound("no previously declared queue")
    return channel.last_queue


def consume(channel: Channel, method: methods.BasicConsume) -> None:
    """``basic.consume``."""
    session = channel.session
    name = queue_name(channel, method.queue)
    channel.permissions.check("read", "queue", name)
    queue = channel.vhost.queue(name, session)
    tag = method.consumer_tag or session.services.new_name("amq.ctag-")
    if tag in channel.consumers:
        raise AmqpError(530, f"attempt to reuse consumer tag '{tag}'")
    limit = session.services.consumers_per_channel_max
    if limit and len(channel.consumers) >= limit:
        raise AmqpError(530, f"reached maximum ({limit}) of consumers per channel")
    channel.vhost.check_exclusive_consumer(queue, method.exclusive)
    raw = tag.encode("utf-8", "surrogateescape")
    prefix = (
        b"\x01"
        + channel.number.to_bytes(2, "big")
        + b"\x00\x00\x00\x00\x00\x3c\x00\x3c"
        + _short(raw)
    )
    consumer = AmqpConsumer(
        queue,
        consumer_priority(method.arguments, channel.vhost.describe("queue", queue.name)),
        channel,
        tag,
        prefix,
        method.no_ack,
        0 if method.no_ack else channel.prefetch,
    )
    consumer.exclusive = method.exclusive
    channel.subscribe(consumer)
    channel.consumers[tag] = consumer
    channel.reply(methods.BasicConsumeOk(consumer_tag=tag), method.nowait)
    queue.add_consumer(consumer, exclusive=method.exclusive)


def consumer_priority(arguments: dict[str, Any], described: str) -> int:
    """``x-priority`` of a consumer of the queue ``described``; what is not an integer is refused with 406."""
    value = arguments.get("x-priority")
    if value is None:
        return 0
    if not is_integer(value):
        raise AmqpError(
            406,
            f"invalid arg 'x-priority' for {described}: "
            f'"expected integer, got {type_name(value)}"',
        )
    return int(plain(value))


def cancel(channel: Channel, method: methods.BasicCancel) -> None:
    """``basic.cancel``: an unknown tag is answered too."""
    consumer = channel.consumers.get(method.consumer_tag)
    channel.reply(methods.BasicCancelOk(consumer_tag=method.consumer_tag), method.nowait)
    if consumer is not None:
        channel.cancel(consumer)


def get(channel: Channel, method: methods.BasicGet) -> None:
    """``basic.get``."""
    session = channel.session
    name = queue_name(channel, method.queue)
    channel.permissions.check("read", "queue", name)
    queue = channel.vhost.queue(name, session)
    index = queue.index
    blocks = session.dispatcher.blocks
    while index.pop():
        block, offset = blocks.blocks[index.block], index.offset
        if block.is_whole or blocks.bring(block, offset):
            break
        queue.lose(index.sequence, index.block, offset, index.size, index.flags)
    else:
        channel.send(methods.BasicGetEmpty(reserved_1=""))
        return
    channel.delivery_tag += 1
    data = block.data
    route_len = mem.le16(data, offset + 6)
    payload = (
        b"\x00\x3c\x00\x47"
        + channel.delivery_tag.to_bytes(8, "big")
        + bytes((index.flags & 1,))
        + bytes(data[offset + 24 : offset + 24 + route_len])
        + index.ready().to_bytes(4, "big")
    )
    head = b"\x01" + channel.number.to_bytes(2, "big") + len(payload).to_bytes(4, "big")
    session.put_message(channel.number, head + payload + b"\xce", index.block, offset)
    if method.no_ack:
        queue.settle(index.sequence, index.block, offset, index.flags)
        return
    getter = channel.getters.get(queue)
    if getter is None or getter.number == RETIRED:
        getter = AmqpConsumer(queue, 0, channel, "", b"", False, 0)
        channel.getters[queue] = getter
        channel.subscribe(getter)
    channel.note_get(getter, index.block, offset, index.size, index.flags, index.sequence)


def qos(channel: Channel, method: methods.BasicQos) -> None:
    """``basic.qos``: for future consumers, or with global for the whole channel (RabbitMQ 3.3+)."""
    if method.prefetch_size:
        raise AmqpError(540, f"prefetch_size!=0 ({method.prefetch_size})")
    if method.global_:
        channel.limit = method.prefetch_count
        channel.mark_queues()
    else:
        channel.prefetch = method.prefetch_count
    channel.send(methods.BasicQosOk())


# --- settling -----------------------------------------------------------------------------------


def ack(channel: Channel, method: methods.BasicAck) -> None:
    """``basic.ack`` inside a transaction, or of an unknown tag."""
    _settle(channel, method.delivery_tag, method.multiple, None)


def reject(channel: Channel, method: methods.BasicReject) -> None:
    """``basic.reject``."""
    _settle(channel, method.delivery_tag, False, method.requeue)


def nack(channel: Channel, method: methods.BasicNack) -> None:
    """``basic.nack`` (RabbitMQ)."""
    _settle(channel, method.delivery_tag, method.multiple, method.requeue)


def _settle(channel: Channel, tag: int, multiple: bool, requeue: bool | None) -> None:
    transaction = channel.transaction
    if transaction is not None:
        _hold_settlement(channel, transaction, tag, multiple, bool(requeue))
        return
    if requeue is None:
        known = channel.acknowledge(tag, multiple)
    else:
        known = channel.reject(tag, multiple, requeue)
    if not known:
        raise AmqpError(406, f"unknown delivery tag {tag}")


def _hold_settlement(
    channel: Channel, transaction: Transaction, tag: int, multiple: bool, requeue: bool
) -> None:
    free = [t for t in channel.unacked.tags() if t not in transaction.settled]
    if multiple:
        chosen = free if tag == 0 else [t for t in free if t <= tag]
        if tag and (not chosen or chosen[-1] != tag):
            raise AmqpError(406, f"unknown delivery tag {tag}")
    elif tag in free:
        chosen = [tag]
    else:
        raise AmqpError(406, f"unknown delivery tag {tag}")
    transaction.settled.update(dict.fromkeys(chosen, requeue))


def recover(channel: Channel, method: methods.BasicRecover) -> None:
    """``basic.recover``."""
    _recover(channel, method.requeue)
    channel.send(methods.BasicRecoverOk())


def recover_async(channel: Channel, method: methods.BasicRecoverAsync) -> None:
    """``basic.recover-async``: the same without an answer."""
    _recover(channel, method.requeue)


def _recover(channel: Channel, requeue: bool) -> None:
    if not requeue:
        raise AmqpError(540, "requeue=false")
    channel.requeue_all()


# --- confirm and tx -----------------------------------------------------------------------------


def confirm_select(channel: Channel, method: methods.ConfirmSelect) -> None:
    """``confirm.select``: sequence numbers start at 1; repeating it changes nothing."""
    if channel.transaction is not None:
        raise AmqpError(406, "cannot switch from tx to confirm mode")
    channel.confirm = True
    channel.reply(methods.ConfirmSelectOk(), method.nowait)


def tx_select(channel: Channel, method: methods.TxSelect) -> None:
    """``tx.select``."""
    if channel.confirm:
        raise AmqpError(406, "cannot switch from confirm to tx mode")
    if channel.transaction is None:
        channel.transaction = Transaction()
        channel.is_slow = True
    channel.send(methods.TxSelectOk())


def tx_commit(channel: Channel, method: methods.TxCommit) -> None:
    """``tx.commit``: one journal entry for everything; commit-ok leaves when it is on disk."""
    transaction = _transaction(channel)
    session = channel.session
    dispatcher = session.dispatcher
    log = dispatcher.durable
    if log is not None and transaction.is_durable:
        # What others acknowledged stands before the transaction's entry, and leaves with it.
        dispatcher.write_acks()
        log.ensure(transaction.log_size())
        dispatcher.note_change()
    for held in transaction.publishes:
        alive = [queue for queue in held.queues if not queue.deleted]
        session.enqueue(
            channel,
            alive,
            held.durable_ids,
            held.persistent,
            held.route,
            held.props,
            held.body,
        )
    for tag, requeue in transaction.settled.items():
        channel.reject(tag, False, requeue)
    if log is not None and transaction.settled:
        dispatcher.write_acks()
    transaction.clear()
    channel.has_persistent = False
    channel.reply_durably(methods.TxCommitOk())


def tx_rollback(channel: Channel, method: methods.TxRollback) -> None:
    """``tx.rollback``: held publishes go, held settlements become outstanding again."""
    _transaction(channel).clear()
    channel.send(methods.TxRollbackOk())


def _transaction(channel: Channel) -> Transaction:
    if channel.transaction is None:
        raise AmqpError(406, "channel is not transactional")
    return channel.transaction


Channel.handlers.update(
    {
        methods.BasicPublish: publish,
        methods.BasicConsume: consume,
        methods.BasicCancel: cancel,
        methods.BasicGet: get,
        methods.BasicQos: qos,
        methods.BasicAck: ack,
        methods.BasicReject: reject,
        methods.BasicNack: nack,
        methods.BasicRecover: recover,
        methods.BasicRecoverAsync: recover_async,
        methods.ConfirmSelect: confirm_select,
        methods.TxSelect: tx_select,
        methods.TxCommit: tx_commit,
        methods.TxRollback: tx_rollback,
    }
)
