"""pika's BlockingConnection: publish, consume, confirm, return, get, recover; and a new connection after a cut."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.clients.tools import Broker, CutProxy

pytestmark = [pytest.mark.external]

pika = pytest.importorskip("pika")
PERSISTENT = pika.BasicProperties(
    delivery_mode=2, headers={"number": 7, "deep": {"list": [1, "two", None, True]}}
)


@pytest.fixture
def connection(broker: Broker) -> Iterator[pika.BlockingConnection]:
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    yield connection
    if connection.is_open:
        connection.close()


@pytest.fixture
def channel(connection: pika.BlockingConnection, name: str) -> pika.channel.Channel:
    """A channel with a durable queue of the test's name."""
    channel = connection.channel()
    channel.queue_declare(name, durable=True)
    return channel


def test_publish_and_consume_in_order(channel: pika.channel.Channel, name: str) -> None:
    for number in range(200):
        channel.basic_publish("", name, b"body %d" % number, PERSISTENT)
    channel.basic_qos(prefetch_count=20)
    seen = []
    for method, properties, body in channel.consume(name, inactivity_timeout=10):
        assert method is not None, f"stopped after {len(seen)}"
        assert not method.redelivered
        assert properties.headers == PERSISTENT.headers
        assert properties.delivery_mode == 2
        seen.append((method.delivery_tag, body))
        channel.basic_ack(method.delivery_tag)
        if len(seen) == 200:
            break
    assert seen == [(number + 1, b"body %d" % number) for number in range(200)]
    assert channel.cancel() == 0
    assert channel.queue_delete(name).method.message_count == 0


def test_confirms_and_returns(channel: pika.channel.Channel, name: str) -> None:
    """With confirms on, pika's publish waits for the receipt, and raises for a returned message."""
    channel.confirm_delivery()
    for number in range(50):
        channel.basic_publish("", name, b"%d" % number, PERSISTENT, mandatory=True)
    with pytest.raises(pika.exceptions.UnroutableError) as caught:
        channel.basic_publish("amq.direct", "nowhere", b"lost", mandatory=True)
    (returned,) = caught.value.messages
    assert (returned.method.reply_code, returned.method.reply_text) == (312, "NO_ROUTE")
    assert (returned.method.exchange, returned.method.routing_key) == ("amq.direct", "nowhere")
    assert returned.body == b"lost"
    assert channel.queue_delete(name).method.message_count == 50


def test_get_reject_and_recover(channel: pika.channel.Channel, name: str) -> None:
    assert channel.basic_get(name) == (None, None, None)
    for body in (b"one", b"two", b"three"):
        channel.basic_publish("", name, body)
    first, _, body = channel.basic_get(name)
    assert (body, first.redelivered, first.message_count) == (b"one", False, 2)
    channel.basic_reject(first.delivery_tag, requeue=True)
    again, _, body = channel.basic_get(name)
    assert (body, again.redelivered, again.delivery_tag) == (b"one", True, 2)
    channel.basic_get(name)
    channel.basic_recover(requeue=True)
    got = [channel.basic_get(name, auto_ack=True) for _ in range(3)]
    assert [(body, method.redelivered) for method, _, body in got] == [
        (b"one", True),
        (b"two", True),
        (b"three", False),
    ]
    channel.queue_delete(name)


def test_transaction_publishes_and_acks_as_one(channel: pika.channel.Channel, name: str) -> None:
    channel.basic_publish("", name, b"before")
    channel.tx_select()
    method, _, _ = channel.basic_get(name)
    channel.basic_publish("", name, b"inside", PERSISTENT)
    channel.basic_ack(method.delivery_tag)
    assert channel.queue_declare(name, passive=True).method.message_count == 0
    channel.tx_rollback()
    channel.basic_publish("", name, b"kept", PERSISTENT)
    channel.basic_ack(method.delivery_tag)
    channel.tx_commit()
    method, _, body = channel.basic_get(name, auto_ack=True)
    assert (body, method.message_count) == (b"kept", 0)
    channel.queue_delete(name)


def test_error_closes_the_channel_with_code_and_text(
    connection: pika.BlockingConnection, name: str
) -> None:
    channel = connection.channel()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        channel.queue_declare(name, passive=True)
    assert caught.value.reply_code == 404
    assert caught.value.reply_text == f"NOT_FOUND - no queue '{name}' in vhost '/'"
    assert connection.channel().is_open


def test_wrong_password_is_refused_with_the_close_capability(broker: Broker) -> None:
    parameters = pika.URLParameters(broker.url.replace("guest@", "wrong@"))
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        pika.BlockingConnection(parameters)


def test_new_connection_after_a_cut_gets_the_unacked_again(
    proxy: CutProxy, channel: pika.channel.Channel, name: str
) -> None:
    channel.confirm_delivery()
    channel.basic_publish("", name, b"held", PERSISTENT)
    first = pika.BlockingConnection(pika.URLParameters(proxy.url))
    assert first.channel().basic_get(name)[2] == b"held"
    assert proxy.cut() == 1
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        first.channel()
    with pika.BlockingConnection(pika.URLParameters(proxy.url)) as second:
        reader = second.channel()
        # The consumer waits until the broker has noticed that the first connection is gone.
        for method, _, body in reader.consume(name, inactivity_timeout=10):
            assert method is not None
            assert (body, method.redelivered) == (b"held", True)
            reader.basic_ack(method.delivery_tag)
            break
        reader.cancel()
        assert reader.queue_delete(name).method.message_count == 0
