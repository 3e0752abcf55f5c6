"""Who sends, reads and changes things in the soak. Each drives one link; the ledgers know what is due."""

from __future__ import annotations

import random
import struct
import time
from collections import deque

from tests.load.ledger import Ledger, Session, body_of, size_of
from tests.support import link as amqp
from tests.support.roles import delivery

WINDOW = 100
GROUP = 10


class Producer:
    """Publishes with confirms while ``is_active``, as long as its queue's backlog is below a bound.

    Attributes:
        is_transient: every message, or every second one with ``mixed``.
    """

    def __init__(
        self, port: int, number: int, ledger: Ledger, octets_max: int, kind: str = "persistent"
    ) -> None:
        self.link = amqp.Link(port)
        self.link.select_confirms()
        self.ledger = ledger
        self.number = number
        self.is_active = True
        self.published = 0
        self.confirmed = 0
        self.octets = 0
        self._octets_max = octets_max
        self._kind = kind
        self._publish = amqp.publisher("", ledger.queue)

    def fileno(self) -> int:
        return self.link.fileno()

    @property
    def is_idle(self) -> bool:
        """Everything was confirmed."""
        return self.confirmed == self.published and not self.link.unsent

    def pump(self) -> None:
        if not self.is_active or self.link.unsent or self.ledger.octets >= self._octets_max:
            return
        parts = []
        while self.published - self.confirmed < WINDOW:
            number = self.published
            size = size_of(number)
            self.ledger.publish(self.number, number, size)
            parts.append(self._publish)
            parts.append(amqp.content(body_of(self.number, number), self._mode(number)))
            self.published += 1
            self.octets += size
        if parts:
            self.link.send(b"".join(parts))

    def _mode(self, number: int) -> int:
        return 1 if self._kind == "transient" or (self._kind == "mixed" and number & 1) else 2

    def on_event(self, event: amqp.Event) -> None:
        assert event.method == amqp.BASIC_ACK, event
        tag, flags = struct.unpack(">QB", event.arguments)
        assert self.confirmed < tag <= self.published, "a confirm of nothing"
        assert flags & 1 or tag == self.confirmed + 1, "a confirm out of order"
        self.confirmed = tag


class TxProducer(Producer):
    """The same in transactions."""

    def __init__(self, port: int, number: int, ledger: Ledger, octets_max: int) -> None:
        super().__init__(port, number, ledger, octets_max)
        self.link.close()
        self.link = amqp.Link(port)
        self.link.select_transactions()

    def pump(self) -> None:
        if self.confirmed != self.published or not self.is_active:
            return
        if self.ledger.octets >= self._octets_max:
            return
        parts = []
        for number in range(self.published, self.published + GROUP):
            self.ledger.publish(self.number, number, size_of(number))
            parts += [self._publish, amqp.content(body_of(self.number, number), 2)]
            self.octets += size_of(number)
        self.published += GROUP
        self.link.send(b"".join(parts) + amqp.COMMIT)

    def on_event(self, event: amqp.Event) -> None:
        assert event.method == amqp.TX_COMMIT_OK, event
        self.confirmed = self.published


class Consumer:
    """Acknowledges what it gets, many at once."""

    prefetch = 200

    def __init__(self, port: int, ledger: Ledger, seed: int = 0) -> None:
        self.ledger = ledger
        self.random = random.Random(seed)
        self._port = port
        self.connect()

    def connect(self) -> None:
        """Dial and consume; also to come back."""
        self.session = Session()
        self.held: list[tuple[int, int]] = []  # tag, identity
        self.link = amqp.Link(self._port)
        self.link.consume(self.ledger.queue, self.prefetch)

    def fileno(self) -> int:
        return self.link.fileno()

    def cut(self) -> None:
        """Go away without a word."""
        self.ledger.cut(self.session)
        self.link.close()

    def on_event(self, event: amqp.Event) -> None:
        if event.method == amqp.BASIC_CONSUME_OK:
            return
        assert event.method == amqp.BASIC_DELIVER, event
        tag, redelivered = delivery(event)
        self.held.append((tag, self.ledger.deliver(event.body, redelivered, self.session)))

    def pump(self) -> None:
        if self.held:
            self.link.send(amqp.ack(self.held[-1][0], multiple=True))
            for _, identity in self.held:
                self.ledger.settle(identity, self.session)
            self.held.clear()


class Nacker(Consumer):
    """Gives one in twenty back, acknowledges the others one by one."""

    def pump(self) -> None:
        for tag, identity in self.held:
            if self.random.random() < 0.05:
                self.link.send(amqp.nack_requeue(tag))
            else:
                self.link.send(amqp.ack(tag))
                self.ledger.settle(identity, self.session)
        self.held.clear()


class Comer(Consumer):
    """Comes and goes: holds some, acknowledges some, cuts its connection."""

    prefetch = 50
    life_s = 0.5

    def connect(self) -> None:
        super().connect()
        self._until = time.monotonic() + self.life_s * (0.5 + self.random.random())

    def pump(self) -> None:
        while len(self.held) > 20:
            tag, identity = self.held.pop(self.random.randrange(len(self.held)))
            self.link.send(amqp.ack(tag))
            self.ledger.settle(identity, self.session)
        if time.monotonic() >= self._until:
            self.cut()
            self.connect()


class Slow(Consumer):
    """One message every twentieth of a second, while its queue is wanted slow."""

    prefetch = 10
    is_slow = True

    def connect(self) -> None:
        super().connect()
        self._next = time.monotonic()

    def pump(self) -> None:
        while self.held and (time.monotonic() >= self._next or not self.is_slow):
            tag, identity = self.held.pop(0)
            self.link.send(amqp.ack(tag))
            self.ledger.settle(identity, self.session)
            self._next = time.monotonic() + 0.05


class Empties:
    """Publishes and consumes messages without a body on one link; they cannot be told apart, so it counts."""

    def __init__(self, port: int, queue: str) -> None:
        self.link = amqp.Link(port)
        self.link.consume(queue, 100)
        self.is_active = True
        self.published = 0
        self.delivered = 0
        self._unacked: deque[int] = deque()
        self._message = amqp.publisher("", queue) + amqp.content(b"", 2)

    def fileno(self) -> int:
        return self.link.fileno()

    @property
    def is_idle(self) -> bool:
        """Everything came back."""
        return self.delivered == self.published and not self._unacked

    def pump(self) -> None:
        if self._unacked:
            self.link.send(amqp.ack(self._unacked[-1], multiple=True))
            self._unacked.clear()
        if self.is_active and self.published - self.delivered < WINDOW:
            self.link.send(self._message * GROUP)
            self.published += GROUP

    def on_event(self, event: amqp.Event) -> None:
        if event.method == amqp.BASIC_CONSUME_OK:
            return
        assert event.method == amqp.BASIC_DELIVER, event
        assert event.body == b"", event
        self.delivered += 1
        assert self.delivered <= self.published, "a message that nobody published"
        self._unacked.append(delivery(event)[0])
