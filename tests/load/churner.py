"""Makes connections, channels, exchanges, queues and bindings, uses them, and lets them go: politely, or by cutting the line."""

from __future__ import annotations

import random
import select
import struct
from collections.abc import Callable

from tests.support import link as amqp

TYPES = ("direct", "fanout", "topic", "headers")
CONNECTION_CLOSE_OK = 10 << 16 | 51
DURABLE, EXCLUSIVE, AUTO_DELETE = 2, 4, 8


class Churner:
    """One round at a time, each with a connection of its own.

    Attributes:
        rounds, messages: done since start.
    """

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._random = random.Random(seed)
        self.rounds = 0
        self.messages = 0

    def round(self) -> None:
        """Make something, use it, let it go."""
        link = amqp.Link(self._port)
        try:
            choices: list[Callable[[amqp.Link], None]] = [
                self._nothing,
                self._channels,
                self._durable,
                self._durable,
                self._exclusive,
                self._auto_delete,
            ]
            self._random.choice(choices)(link)
            if self._random.random() < 0.5:
                self._close(link)
        finally:
            link.close()
        self.rounds += 1

    def _close(self, link: amqp.Link) -> None:
        """Politely; deliveries may be on their way."""
        link.send(amqp.method(10, 50, struct.pack(">HBHH", 200, 0, 0, 0), 0))
        while not any(event.method == CONNECTION_CLOSE_OK for event in link.receive()):
            assert select.select([link], [], [], 20.0)[0], "no answer to connection.close"

    def _nothing(self, link: amqp.Link) -> None:
        """Only the connection."""

    def _channels(self, link: amqp.Link) -> None:
        for channel in range(2, 2 + self._random.randint(1, 5)):
            link.call(amqp.method(20, 10, b"\0", channel), amqp.CHANNEL_OPEN_OK)
            if self._random.random() < 0.5:
                close = struct.pack(">HBHH", 200, 0, 0, 0)
                link.call(amqp.method(20, 40, close, channel), 20 << 16 | 41)

    def _durable(self, link: amqp.Link) -> None:
        """A durable exchange and queue that end by deletion, often with messages in them."""
        name = f"churn.{self.rounds}"
        kind = self._random.choice(TYPES)
        declare = b"\0\0" + amqp.short(name) + amqp.short(kind) + b"\x02\0\0\0\0"
        link.call(amqp.method(40, 10, declare), amqp.EXCHANGE_DECLARE_OK)
        self._declare(link, name, DURABLE)
        link.bind(name, name, "key")
        self._publish(link, name)
        count = link.declare_queue(name, passive=True)
        if count and self._random.random() < 0.3:
            self._consume(link, name, count)
        elif self._random.random() < 0.5:
            link.call(amqp.method(50, 30, b"\0\0" + amqp.short(name) + b"\0"), amqp.QUEUE_PURGE_OK)
        link.call(amqp.method(50, 40, b"\0\0" + amqp.short(name) + b"\0"), amqp.QUEUE_DELETE_OK)
        link.call(amqp.method(40, 20, b"\0\0" + amqp.short(name) + b"\0"), 40 << 16 | 21)

    def _exclusive(self, link: amqp.Link) -> None:
        """Goes with its connection."""
        name = f"churn.exclusive.{self.rounds}"
        self._declare(link, name, EXCLUSIVE)
        link.bind(name, "amq.topic", "churn.#")
        self._publish(link, "amq.topic", "churn.now")

    def _auto_delete(self, link: amqp.Link) -> None:
        """Goes with its consumer."""
        name = f"churn.auto.{self.rounds}"
        self._declare(link, name, AUTO_DELETE)
        link.bind(name, "amq.fanout", "")
        self._publish(link, "amq.fanout")
        link.consume(name, 1)

    def _declare(self, link: amqp.Link, name: str, flags: int) -> None:
        arguments = b"\0\0" + amqp.short(name) + bytes([flags]) + b"\0\0\0\0"
        link.call(amqp.method(50, 10, arguments), amqp.QUEUE_DECLARE_OK)

    def _publish(self, link: amqp.Link, exchange: str, key: str = "key") -> None:
        link.select_confirms()
        for _ in range(self._random.randint(0, 4)):
            body = bytes(self._random.choice((0, 100, 3000)))
            mode = self._random.choice((1, 2))
            message = amqp.publisher(exchange, key) + amqp.content(body, mode)
            link.call(message, amqp.BASIC_ACK)
            self.messages += 1

    def _consume(self, link: amqp.Link, name: str, count: int) -> None:
        """Take some, leave them unacknowledged or not."""
        link.consume(name, 1)
        while count:
            assert select.select([link], [], [], 20.0)[0], f"{name}: {count} did not come"
            for event in link.receive():
                if event.method == amqp.BASIC_DELIVER:
                    count -= 1
                    at = 1 + event.arguments[0]
                    tag = int.from_bytes(event.arguments[at : at + 8], "big")
                    if count or self._random.random() < 0.5:
                        link.send(amqp.ack(tag))
