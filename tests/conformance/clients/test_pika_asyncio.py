"""pika's asyncio adapter: callbacks on a channel, as its users write them, turned into awaitables by a small shim."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.clients.tools import Broker

pytestmark = [pytest.mark.external]

pika = pytest.importorskip("pika")
asyncio_connection = pytest.importorskip("pika.adapters.asyncio_connection")


async def called(start: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a method that takes `callback`; return what the callback got."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    start(*arguments, callback=future.set_result, **options)
    return await asyncio.wait_for(future, 10)


async def connect(url: str) -> Any:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    asyncio_connection.AsyncioConnection(
        pika.URLParameters(url),
        on_open_callback=future.set_result,
        on_open_error_callback=lambda _, error: future.set_exception(error),
    )
    return await asyncio.wait_for(future, 10)


async def open_channel(connection: Any) -> Any:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    connection.channel(on_open_callback=future.set_result)
    return await asyncio.wait_for(future, 10)


async def close(connection: Any) -> None:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    connection.add_on_close_callback(lambda _, reason: future.set_result(reason))
    connection.close()
    reason = await asyncio.wait_for(future, 10)
    assert isinstance(reason, pika.exceptions.ConnectionClosedByClient)


async def session(url: str, name: str) -> None:
    connection = await connect(url)
    assert connection.publisher_confirms
    assert connection.basic_nack
    channel = await open_channel(connection)
    await called(channel.queue_declare, name, durable=True)

    # Confirms: every tag settled, in order, `multiple` allowed.
    confirmed: list[int] = []
    done = asyncio.Event()

    def on_confirm(frame: Any) -> None:
        assert isinstance(frame.method, pika.spec.Basic.Ack)
        first = confirmed[-1] + 1 if confirmed else 1
        last = frame.method.delivery_tag
        assert frame.method.multiple or last == first
        confirmed.extend(range(first, last + 1))
        if last == 100:
            done.set()

    await called(channel.confirm_delivery, on_confirm)
    for number in range(100):
        channel.basic_publish("", name, b"%d" % number, pika.BasicProperties(delivery_mode=2))
    await asyncio.wait_for(done.wait(), 10)
    assert confirmed == list(range(1, 101))

    # Return.
    returned: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    channel.add_on_return_callback(lambda *what: returned.set_result(what))
    channel.basic_publish("amq.fanout", "nowhere", b"lost", mandatory=True)
    _, method, _, body = await asyncio.wait_for(returned, 10)
    assert (method.reply_code, method.reply_text, body) == (312, "NO_ROUTE", b"lost")

    # Consume with a prefetch of ten: hold the first ten, recover them, then settle all.
    reader = await open_channel(connection)
    await called(reader.basic_qos, prefetch_count=10)
    deliveries: asyncio.Queue[Any] = asyncio.Queue()
    tag = reader.basic_consume(name, lambda *what: deliveries.put_nowait(what[1:]))
    held = [await asyncio.wait_for(deliveries.get(), 10) for _ in range(10)]
    assert [body for _, _, body in held] == [b"%d" % n for n in range(10)]
    assert deliveries.empty()
    await called(reader.basic_recover, requeue=True)
    for number in range(100):
        method, _, body = await asyncio.wait_for(deliveries.get(), 10)
        assert (body, method.redelivered) == (b"%d" % number, number < 10)
        reader.basic_ack(method.delivery_tag)
    await called(reader.basic_cancel, tag)

    # Get, with something there and with nothing.
    channel.basic_publish("", name, b"got")
    got: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    reader.basic_get(name, lambda *what: got.set_result(what[1:]), auto_ack=True)
    assert (await asyncio.wait_for(got, 10))[2] == b"got"
    empty: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    reader.add_callback(empty.set_result, [pika.spec.Basic.GetEmpty])
    reader.basic_get(name, lambda *_: None)
    await asyncio.wait_for(empty, 10)
    await called(reader.queue_delete, name)
    await close(connection)


def test_asyncio_adapter_publishes_confirms_returns_consumes_and_recovers(
    broker: Broker, name: str
) -> None:
    asyncio.run(session(broker.url, name))
