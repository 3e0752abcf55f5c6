"""kombu over py-amqp: producer, consumer, SimpleQueue, confirms, returns, recover, and `ensure` after a cut."""

from __future__ import annotations

import pytest

from tests.conformance.clients.tools import Broker, CutProxy

pytestmark = [pytest.mark.external]

kombu = pytest.importorskip("kombu")


def connect(url: str, **options: object) -> kombu.Connection:
    return kombu.Connection(url.replace("amqp://", "pyamqp://"), **options)


def test_publish_and_consume_through_a_topic_exchange(broker: Broker, name: str) -> None:
    exchange = kombu.Exchange(name, type="topic", durable=False, auto_delete=True)
    queue = kombu.Queue(name, exchange, routing_key="mail.#", auto_delete=True)
    seen = []
    with connect(broker.url) as connection, connection.channel() as channel:
        producer = kombu.Producer(channel, exchange, serializer="json")

        def on_message(body: dict[str, int], message: kombu.Message) -> None:
            seen.append(body["number"])
            assert message.headers["kind"] == "letter"
            message.ack()

        with kombu.Consumer(channel, [queue], callbacks=[on_message], prefetch_count=7):
            for number in range(200):
                producer.publish(
                    {"number": number}, routing_key=f"mail.{number % 3}", headers={"kind": "letter"}
                )
            while len(seen) < 200:
                connection.drain_events(timeout=10)
    assert seen == list(range(200))


def test_confirmed_publish_and_return(broker: Broker, name: str) -> None:
    with connect(broker.url, transport_options={"confirm_publish": True}) as connection:
        channel = connection.channel()
        queue = kombu.Queue(name, channel=channel)
        queue.declare()
        returned = []
        producer = kombu.Producer(
            channel, on_return=lambda error, exchange, key, message: returned.append((error, key))
        )
        for number in range(50):
            producer.publish({"n": number}, routing_key=name, delivery_mode=2)
        assert queue.queue_declare(passive=True).message_count == 50
        producer.publish("lost", routing_key=f"{name}-nowhere", mandatory=True)
        ((error, key),) = returned
        assert (error.reply_code, error.reply_text, key) == (312, "NO_ROUTE", f"{name}-nowhere")
        queue.delete()


def test_get_reject_and_recover(broker: Broker, name: str) -> None:
    with connect(broker.url) as connection:
        channel = connection.channel()
        queue = kombu.Queue(name, channel=channel)
        queue.declare()
        assert queue.get() is None
        producer = kombu.Producer(channel)
        for body in ("one", "two"):
            producer.publish(body, routing_key=name)
        first = queue.get()
        assert (first.payload, first.delivery_info["redelivered"]) == ("one", False)
        first.requeue()
        assert queue.get().delivery_info["redelivered"] is True
        channel.basic_recover(requeue=True)
        got = [queue.get(no_ack=True) for _ in range(2)]
        assert [(m.payload, m.delivery_info["redelivered"]) for m in got] == [
            ("one", True),
            ("two", False),
        ]
        queue.delete()


def test_simple_queue(broker: Broker, name: str) -> None:
    with connect(broker.url) as connection:
        simple = connection.SimpleQueue(name)
        simple.put({"hello": "world"})
        message = simple.get(timeout=10)
        assert message.payload == {"hello": "world"}
        message.ack()
        with pytest.raises(simple.Empty):
            simple.get_nowait()
        simple.close()
        kombu.Queue(name, channel=connection.default_channel).delete()


def test_ensured_publish_survives_a_cut(proxy: CutProxy, name: str) -> None:
    with connect(proxy.url, transport_options={"confirm_publish": True}) as connection:
        queue = kombu.Queue(name, durable=False, auto_delete=False)
        producer = kombu.Producer(connection, auto_declare=True)
        policy = {"max_retries": 20, "interval_start": 0.05, "interval_step": 0.05}
        for number in range(10):
            if number == 5:
                assert proxy.cut() == 1
            producer.publish(
                number, routing_key=name, declare=[queue], retry=True, retry_policy=policy
            )
        bound = queue(connection.default_channel)
        got = [bound.get(no_ack=True).payload for _ in range(10)]
        assert got == list(range(10))
        bound.delete()
    assert proxy.accepted == 2
