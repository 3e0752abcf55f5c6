"""AMQPStorm: its threaded connection, confirms, returns, generator consumer, get and recover."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from tests.conformance.clients.tools import Broker, CutProxy

pytestmark = [pytest.mark.external]

amqpstorm = pytest.importorskip("amqpstorm")


def connect(port: int, heartbeat: int = 60) -> amqpstorm.Connection:
    return amqpstorm.Connection(
        "127.0.0.1", "guest", "guest", port=port, timeout=10, heartbeat=heartbeat
    )


@pytest.fixture
def channel(broker: Broker, name: str) -> Iterator[amqpstorm.Channel]:
    with connect(broker.port) as connection, connection.channel() as channel:
        channel.queue.declare(name, durable=True)
        yield channel


def test_publish_and_consume_in_order(channel: amqpstorm.Channel, name: str) -> None:
    properties = {"delivery_mode": 2, "headers": {"number": 7, "list": [1, "two"]}}
    for number in range(200):
        channel.basic.publish(f"body {number}", name, properties=properties)
    channel.basic.qos(prefetch_count=20)
    channel.basic.consume(queue=name)
    seen = []
    for message in channel.build_inbound_messages(break_on_empty=False):
        assert message.properties["headers"] == properties["headers"]
        assert message.redelivered is False
        seen.append((message.delivery_tag, message.body))
        message.ack()
        if len(seen) == 200:
            break
    assert seen == [(number + 1, f"body {number}") for number in range(200)]
    assert channel.queue.delete(name)["message_count"] == 0


def test_confirms_and_returns(channel: amqpstorm.Channel, name: str) -> None:
    channel.confirm_deliveries()
    for number in range(50):
        assert channel.basic.publish(str(number), name, mandatory=True) is True
    with pytest.raises(amqpstorm.AMQPMessageError) as caught:
        channel.basic.publish("lost", f"{name}-nowhere", mandatory=True)
    assert caught.value.error_code == 312
    assert channel.queue.delete(name)["message_count"] == 50


def test_get_reject_and_recover(channel: amqpstorm.Channel, name: str) -> None:
    assert channel.basic.get(name) is None
    for body in ("one", "two"):
        channel.basic.publish(body, name)
    first = channel.basic.get(name)
    assert (first.body, first.redelivered, first.method["message_count"]) == ("one", False, 1)
    first.nack(requeue=True)
    assert channel.basic.get(name).redelivered is True
    channel.basic.recover(requeue=True)
    got = [channel.basic.get(name, no_ack=True) for _ in range(2)]
    assert [(m.body, m.redelivered) for m in got] == [("one", True), ("two", False)]
    channel.queue.delete(name)


def test_transaction(channel: amqpstorm.Channel, name: str) -> None:
    with channel.tx:
        channel.basic.publish("inside", name)
        assert channel.queue.declare(name, passive=True)["message_count"] == 0
    assert channel.basic.get(name, no_ack=True).body == "inside"
    channel.queue.delete(name)


@pytest.mark.slow
def test_cut_is_an_error_and_a_new_connection_works(proxy: CutProxy, name: str) -> None:
    """The library leaves reconnecting to its user, and notices a cut by its heartbeat only."""
    first = connect(proxy.port, heartbeat=1)
    held = first.channel()
    held.queue.declare(name)
    assert proxy.cut() == 1
    while not first.is_closed:  # the heartbeat's thread notices; the user asks
        with contextlib.suppress(amqpstorm.AMQPConnectionError):
            first.check_for_errors()
        time.sleep(0.05)
    with pytest.raises(amqpstorm.AMQPConnectionError):
        first.channel()
    with connect(proxy.port) as second, second.channel() as channel:
        channel.basic.publish("after", name)
        assert channel.basic.get(name, no_ack=True).body == "after"
        channel.queue.delete(name)
