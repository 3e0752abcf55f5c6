"""aio-pika: its channel with confirms on, transactions, queue iterator, and the robust connection after a cut."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.clients.tools import Broker, CutProxy

pytestmark = [pytest.mark.external]

aio_pika = pytest.importorskip("aio_pika")


def message(body: bytes) -> aio_pika.Message:
    return aio_pika.Message(
        body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, headers={"n": 1, "l": ["a", 2]}
    )


async def publish_and_consume(url: str, name: str) -> None:
    async with await aio_pika.connect(url, timeout=10) as connection:
        channel = await connection.channel(on_return_raises=True)  # confirms are on
        await channel.set_qos(prefetch_count=20)
        queue = await channel.declare_queue(name, durable=True)
        exchange = await channel.declare_exchange(f"{name}-x", aio_pika.ExchangeType.TOPIC)
        await queue.bind(exchange, "a.*.c")
        for number in range(100):
            confirmation = await exchange.publish(message(b"%d" % number), "a.b.c")
            assert type(confirmation).__name__ == "Ack"
        await asyncio.gather(
            *(exchange.publish(message(b"%d" % number), "a.b.c") for number in range(100, 200))
        )
        seen = []
        async with queue.iterator(timeout=10) as incoming:
            async for delivery in incoming:
                assert delivery.headers == {"n": 1, "l": ["a", 2]}
                async with delivery.process():
                    seen.append(int(delivery.body))
                if len(seen) == 200:
                    break
        assert seen == list(range(200))
        with pytest.raises(aio_pika.exceptions.DeliveryError) as caught:
            await exchange.publish(message(b"lost"), "x", mandatory=True)
        returned = caught.value.message.delivery
        assert (returned.reply_code, returned.reply_text) == (312, "NO_ROUTE")
        await exchange.delete()
        await queue.delete()


def test_publish_confirm_return_and_consume(broker: Broker, name: str) -> None:
    asyncio.run(publish_and_consume(broker.url, name))


async def get_and_transaction(url: str, name: str) -> None:
    async with await aio_pika.connect(url, timeout=10) as connection:
        channel = await connection.channel(publisher_confirms=False)
        queue = await channel.declare_queue(name)
        assert await queue.get(fail=False) is None
        async with channel.transaction():
            await channel.default_exchange.publish(message(b"one"), name)
            await channel.default_exchange.publish(message(b"two"), name)
        first = await queue.get()
        assert (first.body, first.redelivered, first.message_count) == (b"one", False, 1)
        # The channel stays transactional: what settles counts at the commit, and a rollback takes it back.
        transaction = channel.transaction()
        await first.nack(requeue=True)
        assert (await queue.declare()).message_count == 1
        await transaction.commit()
        again = await queue.get()
        assert (again.body, again.redelivered) == (b"one", True)
        await channel.default_exchange.publish(message(b"never"), name)
        await transaction.rollback()
        await again.ack()
        await transaction.commit()
        last = await queue.get(no_ack=True)
        assert (last.body, last.message_count) == (b"two", 0)
        await queue.delete()


def test_get_and_transaction(broker: Broker, name: str) -> None:
    asyncio.run(get_and_transaction(broker.url, name))


async def robust(proxy: CutProxy, name: str) -> None:
    """The robust connection dials again and restores channel, queue, binding, prefetch and consumer."""
    connection = await aio_pika.connect_robust(proxy.url, timeout=10, reconnect_interval=0.05)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=5)
        queue = await channel.declare_queue(name, exclusive=True)
        await queue.bind("amq.topic", f"{name}.#")
        bodies: asyncio.Queue[bytes] = asyncio.Queue()

        async def take(delivery: aio_pika.abc.AbstractIncomingMessage) -> None:
            async with delivery.process():
                bodies.put_nowait(delivery.body)

        await queue.consume(take)
        topic = await channel.get_exchange("amq.topic")
        await topic.publish(message(b"before"), f"{name}.x")
        assert await asyncio.wait_for(bodies.get(), 10) == b"before"
        back = asyncio.Event()
        connection.reconnect_callbacks.add(lambda *_: back.set())
        assert proxy.cut() == 1
        await asyncio.wait_for(back.wait(), 10)
        await topic.publish(message(b"after"), f"{name}.y.z")
        assert await asyncio.wait_for(bodies.get(), 10) == b"after"
    assert proxy.accepted >= 2


def test_robust_connection_comes_back_after_a_cut(proxy: CutProxy, name: str) -> None:
    asyncio.run(robust(proxy, name))
