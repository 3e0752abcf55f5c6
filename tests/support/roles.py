"""Who sends and who reads in the kill test: each role drives one link and writes what it learnt into the history.

A role never sends a message twice: what was not confirmed before a kill is of unknown fate, and the next one has a new number.
"""

from __future__ import annotations

import random
import struct
import time
from collections import deque

from tests.support import link as amqp
from tests.support.history import History, Identity, Session, make_body, read_body

EXCHANGE = "letters"
ARCHIVE = "archive"
WINDOW = 200
BACKLOG_MAX = 3000


class Role:
    """One actor with a link of its own; `on_event` takes what comes, `pump` sends what may be sent."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.link: amqp.Link  # from `connect` on
        self.session = Session()

    def connect(self, port: int) -> None:
        """Dial and set up; whatever an earlier link left open is of unknown fate from here on."""
        self.link = amqp.Link(port)
        self.session = Session()

    def fileno(self) -> int:
        """For `select`."""
        return self.link.fileno()

    def on_event(self, event: amqp.Event) -> None:
        raise NotImplementedError

    def pump(self) -> None:
        """Send what may be sent now; called after every round of events."""

    def cut(self) -> None:
        """End the link without a word."""
        self.session.end()
        self.link.close()

    def bury(self) -> None:
        """The broker is dead: learn what it still said. The session was ended at the moment of the kill."""
        for event in self.link.remains():
            self.on_event(event)
        self.link.close()


class Producer(Role):
    """Publishes persistent messages with confirms, a window of them outstanding.

    Attributes:
        in_order: confirms must come in order; RabbitMQ's may not.
    """

    in_order = True

    def __init__(self, history: History, number: int, key: str, window: int = WINDOW) -> None:
        super().__init__(history)
        self.number = number
        self.key = key
        self.window = window
        self.published = 0
        self._publish = amqp.publisher(EXCHANGE, key)
        self._open: deque[int] = (
            deque()
        )  # numbers that wait, oldest first; -1 were settled before their turn
        self._first_tag = 1  # the delivery tag of the oldest

    def connect(self, port: int) -> None:
        super().connect(port)
        self._open.clear()
        self._first_tag = 1
        self.link.select_confirms()

    def pump(self) -> None:
        # What the broker does not take now must not pile up here: the window is about what it has.
        if len(self._open) > self.window // 2 or self.link.unsent:
            return
        # Consumers keep up, so that most messages are delivered before a kill and not only after it.
        if self.history.behind(self.number) > BACKLOG_MAX:
            return
        parts = []
        while len(self._open) < self.window:
            parts.append(self._publish)
            parts.append(amqp.persistent_content(make_body(self.number, self.published)))
            self._open.append(self.published)
            self.published += 1
        self.link.send(b"".join(parts))

    def on_event(self, event: amqp.Event) -> None:
        assert event.method in (amqp.BASIC_ACK, amqp.BASIC_NACK), event
        tag, flags = struct.unpack(">QB", event.arguments)
        assert self._first_tag <= tag < self._first_tag + len(self._open), "a confirm of nothing"
        if not flags & 1 and tag != self._first_tag:
            # Posthouse confirms in order, so a single one is that of the oldest.
            assert not self.in_order, "a confirm out of order"
            self._settle(event.method, tag - self._first_tag)
            return
        for n in range(tag - self._first_tag + 1):
            self._settle(event.method, n)
        while self._open and (self._open[0] < 0 or self._first_tag <= tag):
            self._open.popleft()
            self._first_tag += 1

    def _settle(self, method: int, n: int) -> None:
        """The message ``n`` places behind the oldest that waits, if it was not settled before."""
        number, self._open[n] = self._open[n], -1
        if number < 0:
            return
        if method == amqp.BASIC_ACK:
            self.history.confirm(self.key, Identity(self.number, number))
        else:
            self.history.refused += 1


class TxProducer(Role):
    """Publishes groups in transactions, spread over two queues; every seventh is rolled back."""

    def __init__(self, history: History, number: int, keys: tuple[str, str], seed: int) -> None:
        super().__init__(history)
        self.number = number
        self._random = random.Random(seed)
        self._publish = [amqp.publisher(EXCHANGE, key) for key in keys]
        self._next = 0
        self._group: list[Identity] = []
        self._waiting = False

    def connect(self, port: int) -> None:
        super().connect(port)
        self.link.select_transactions()
        self._waiting = False

    def pump(self) -> None:
        if self._waiting:
            return
        parts = []
        self._group = []
        for _ in range(self._random.randint(2, 12)):
            parts.append(self._publish[self._next % 2])
            parts.append(amqp.persistent_content(make_body(self.number, self._next)))
            self._group.append(Identity(self.number, self._next))
            self._next += 1
        rolled_back = self.history.open_group(self._group)
        parts.append(amqp.ROLLBACK if rolled_back else amqp.COMMIT)
        self._waiting = True
        self.link.send(b"".join(parts))

    def on_event(self, event: amqp.Event) -> None:
        assert event.method in (amqp.TX_COMMIT_OK, amqp.TX_ROLLBACK_OK), event
        if event.method == amqp.TX_COMMIT_OK:
            self.history.commit_group(self._group)
        self._waiting = False


class Mover(Role):
    """Takes messages from one queue and publishes them to another, five at a time, acks and publishes in one transaction."""

    def __init__(self, history: History, source: str, target: str) -> None:
        super().__init__(history)
        self.source = source
        self._publish = amqp.publisher("", target)
        self._taken: list[tuple[int, Identity, bytes]] = []
        self._committing: list[Identity] = []

    def connect(self, port: int) -> None:
        super().connect(port)
        self._taken.clear()
        self._committing = []
        self.link.select_transactions()
        self.link.consume(self.source, 20)

    def on_event(self, event: amqp.Event) -> None:
        if event.method == amqp.TX_COMMIT_OK:
            self.history.move(self._committing)
            self._committing = []
        elif event.method == amqp.BASIC_DELIVER:
            tag, _ = delivery(event)
            self._taken.append((tag, read_body(event.body), event.body))

    def pump(self) -> None:
        if self._committing or len(self._taken) < 5:
            return
        batch, self._taken = self._taken[:5], self._taken[5:]
        parts = []
        for _, _, body in batch:
            parts.append(self._publish)
            parts.append(amqp.persistent_content(body))
        parts.append(amqp.ack(batch[-1][0], multiple=True))
        parts.append(amqp.COMMIT)
        self._committing = [identity for _, identity, _ in batch]
        self.link.send(b"".join(parts))


class Consumer(Role):
    """Reads a queue with manual acknowledgements; subclasses choose the verdicts."""

    prefetch = 100
    strict = (
        False  # nothing on this queue is ever requeued, so even redelivered messages come in order
    )

    def __init__(self, history: History, queue: str, seed: int = 0) -> None:
        super().__init__(history)
        self.queue = queue
        self.random = random.Random(seed)

    def connect(self, port: int) -> None:
        super().connect(port)
        self.link.consume(self.queue, self.prefetch)

    def on_event(self, event: amqp.Event) -> None:
        if event.method == amqp.BASIC_CONSUME_OK:
            return
        assert event.method == amqp.BASIC_DELIVER, event
        tag, redelivered = delivery(event)
        identity = read_body(event.body)
        self.history.delivered(self.queue, identity, redelivered, self.session, self.strict)
        if self.session.ended is None:
            self.settle(tag, identity)

    def settle(self, tag: int, identity: Identity) -> None:
        raise NotImplementedError


class Acker(Consumer):
    """Acknowledges many at once. The only consumer of its queue, so it sees the queue's own order."""

    strict = True

    def __init__(self, history: History, queue: str, seed: int = 0) -> None:
        super().__init__(history, queue, seed)
        self._held: list[tuple[int, Identity]] = []

    def connect(self, port: int) -> None:
        self._held.clear()
        super().connect(port)

    def settle(self, tag: int, identity: Identity) -> None:
        self._held.append((tag, identity))

    def pump(self) -> None:
        if self._held:
            self.link.send(amqp.ack(self._held[-1][0], multiple=True))
            for _, identity in self._held:
                self.history.acked(self.queue, identity, self.session)
            self._held.clear()


class Nacker(Consumer):
    """Gives one in twenty back and acknowledges the others one by one."""

    def settle(self, tag: int, identity: Identity) -> None:
        if self.random.random() < 0.05:
            self.link.send(amqp.nack_requeue(tag))
        else:
            self.link.send(amqp.ack(tag))
            self.history.acked(self.queue, identity, self.session)


class Holder(Consumer):
    """Holds what it gets, acknowledges some, cuts its connection and comes back."""

    prefetch = 50
    life_s = 0.12

    def __init__(self, history: History, queue: str, seed: int = 0) -> None:
        super().__init__(history, queue, seed)
        self._held: list[tuple[int, Identity]] = []
        self._port = 0
        self._until = 0.0

    def connect(self, port: int) -> None:
        self._held.clear()
        self._port = port
        self._until = time.monotonic() + self.life_s
        super().connect(port)

    def settle(self, tag: int, identity: Identity) -> None:
        self._held.append((tag, identity))
        if len(self._held) == 30:
            for tag, identity in self.random.sample(self._held, 10):
                self.link.send(amqp.ack(tag))
                self.history.acked(self.queue, identity, self.session)
                self._held.remove((tag, identity))

    @property
    def is_due(self) -> bool:
        """Whether it is time to cut the connection and come back."""
        return time.monotonic() >= self._until

    def come_back(self) -> None:
        self.cut()
        self.connect(self._port)


def delivery(event: amqp.Event) -> tuple[int, bool]:
    """Delivery tag and redelivered flag of a `basic.deliver`."""
    at = 1 + event.arguments[0]
    tag, redelivered = struct.unpack_from(">QB", event.arguments, at)
    return tag, bool(redelivered)
