"""What the fields of a fuzzed method should say where a channel stands: names that there are, tags that are outstanding."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.fuzz import values
from tests.fuzz.grammar import Given

if TYPE_CHECKING:
    from posthouse.protocols.amqp091.channel import Channel


def existing_queue(choice: random.Random, channel: Channel | None) -> str:
    """A queue, most likely one that there is."""
    names = list(channel.vhost.queues) if channel is not None else []
    known = [name for name in values.QUEUES if name in names]
    return choice.choice(known if known and choice.random() < 0.97 else values.QUEUES)


def _exchange_name(choice: random.Random, channel: Channel | None) -> str:
    known = channel.vhost.exchanges if channel is not None else {}
    name = choice.choice(values.EXCHANGES)
    return name if name in known or choice.random() < 0.03 else "amq.topic"


def _get(choice: random.Random, channel: Channel | None) -> Given:
    return {"queue": existing_queue(choice, channel).encode(), "no_ack": choice.random() < 0.2}


def _named(choice: random.Random, channel: Channel | None) -> Given:
    """A queue and an exchange that there are."""
    return {
        "queue": existing_queue(choice, channel).encode(),
        "exchange": _exchange_name(choice, channel).encode(),
        "source": _exchange_name(choice, channel).encode(),
        "destination": _exchange_name(choice, channel).encode(),
    }


def _tag(choice: random.Random, channel: Channel | None) -> Given:
    """A delivery tag, outstanding if there is one; else none that there is."""
    tags = channel.unacked.tags() if channel is not None else []
    if tags and choice.random() < 0.9:
        return {"delivery_tag": choice.choice(tags)}
    if channel is not None and choice.random() < 0.5:
        return {"delivery_tag": choice.randint(0, channel.delivery_tag + 1)}
    if choice.random() < 0.5:
        return {"delivery_tag": 0, "multiple": 1}
    return {"delivery_tag": int.from_bytes(values.number(choice, 8), "big")}


def _consume(choice: random.Random, channel: Channel | None) -> Given:
    taken = channel.consumers if channel is not None else {}
    free = [tag for tag in values.TAGS if tag not in taken]
    return {
        "queue": existing_queue(choice, channel).encode(),
        "consumer_tag": choice.choice(free).encode(),
        "arguments": b"\0\0\0\0" if choice.random() < 0.8 else values.table(choice),
    }


def _cancel(choice: random.Random, channel: Channel | None) -> Given:
    tags = list(channel.consumers) if channel is not None else []
    return {"consumer_tag": choice.choice(tags).encode()} if tags else {}


def _publish(choice: random.Random, channel: Channel | None) -> Given:
    if choice.random() < 0.7:
        return {"exchange": b"", "routing_key": existing_queue(choice, channel).encode()}
    name = _exchange_name(choice, channel)
    return {"exchange": name.encode(), "routing_key": choice.choice(values.KEYS).encode()}


def _declare(choice: random.Random, channel: Channel | None) -> Given:
    """Names stand for properties, so that declaring again is mostly fine."""
    number = choice.randrange(len(values.QUEUES))
    queue = values.QUEUES[number].encode() if choice.random() < 0.95 else b""
    if choice.random() < 0.15:
        return {"queue": queue}
    return {
        "queue": queue,
        "durable": number % 2,
        "auto_delete": number == 4,
        "exclusive": number == 5,
        "arguments": bytes(4),
    }


def _exchange(choice: random.Random, channel: Channel | None) -> Given:
    number = choice.randrange(4)
    if choice.random() < 0.15:
        return {}
    return {
        "exchange": values.EXCHANGES[number].encode(),
        "type": values.KINDS[number].encode(),
        "durable": number % 2,
        "auto_delete": number == 2,
        "internal": 0,
        "arguments": bytes(4),
    }


def _qos(choice: random.Random, channel: Channel | None) -> Given:
    return {"prefetch_size": 0, "prefetch_count": choice.choice((0, 1, 2, 10, 65535))}


def _flow(choice: random.Random, channel: Channel | None) -> Given:
    return {"active": 1}


def _recover(choice: random.Random, channel: Channel | None) -> Given:
    return {"requeue": 1}


def _secret(choice: random.Random, channel: Channel | None) -> Given:
    return {"new_secret": choice.choice((b"", b"guest", b"\xff" * 40)), "reason": b"rotation"}


def _close(choice: random.Random, channel: Channel | None) -> Given:
    return {"reply_code": 200, "reply_text": b"bye", "failing_class_id": 0, "failing_method_id": 0}


TELL: dict[str, Callable[[random.Random, Channel | None], Given]] = {
    "basic.ack": _tag,
    "basic.nack": _tag,
    "basic.reject": _tag,
    "basic.consume": _consume,
    "basic.cancel": _cancel,
    "basic.publish": _publish,
    "basic.get": _get,
    "queue.bind": _named,
    "queue.unbind": _named,
    "queue.purge": _named,
    "queue.delete": _named,
    "exchange.bind": _named,
    "exchange.unbind": _named,
    "basic.qos": _qos,
    "basic.recover": _recover,
    "basic.recover-async": _recover,
    "queue.declare": _declare,
    "exchange.declare": _exchange,
    "channel.flow": _flow,
    "channel.close": _close,
    "connection.close": _close,
    "connection.update-secret": _secret,
}
