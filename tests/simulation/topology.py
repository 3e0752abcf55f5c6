"""Who makes queues and exchanges, and who changes them; what was answered is a fact that no death undoes (P3)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from posthouse.broker.vhost import VHost
from posthouse.wire.amqp091 import methods
from tests.simulation.client import Channel, Client, Script
from tests.simulation.letters import Letter
from tests.simulation.model import Violation

Fact = tuple[str, ...]

QUEUES = ("q0", "q1", "q2", "q3")
VOLATILE = ("v0", "v1", "v2")
BINDINGS = (
    ("amq.fanout", "q0", b""),
    ("amq.fanout", "q1", b""),
    ("amq.topic", "q1", b"a.*"),
    ("amq.topic", "q2", b"#"),
    ("amq.direct", "q3", b"k"),
)
ADDRESSES = (
    ("", b"q0"),
    ("", b"q1"),
    ("", b"q2"),
    ("", b"q3"),
    ("amq.fanout", b""),
    ("amq.topic", b"a.x"),
    ("amq.topic", b"b"),
    ("amq.direct", b"k"),
    ("amq.direct", b"nowhere"),
    ("", b"t0"),
    ("", b"v0"),
    ("", b"v1"),
    ("", b"v2"),
)


class Facts:
    """What was answered: True if a thing is there, False if it is not; None while a change is under way."""

    def __init__(self) -> None:
        self._known: dict[Fact, bool | None] = {}

    def begin(self, fact: Fact, is_there: bool) -> None:
        """A change was sent."""
        if self._known.get(fact, False) is not is_there:
            self._known[fact] = None

    def answer(self, fact: Fact, is_there: bool) -> None:
        """It was answered."""
        self._known[fact] = is_there

    def forget_bindings(self, queue: str, is_there: bool | None) -> None:
        """They go with their queue."""
        for fact in self._known:
            if fact[0] == "binding" and fact[2] == queue and self._known[fact] is not False:
                self._known[fact] = is_there

    def compare(self, vhost: VHost, death: Any) -> None:
        """With what is there after a death."""
        there: set[Fact] = {
            ("queue", name) for name, queue in vhost.queues.items() if queue.queue_id
        }
        there |= {("exchange", name) for name in vhost.exchanges}
        for name, exchange in vhost.exchanges.items():
            there |= {
                ("binding", name, b.destination, b.key.decode()) for b in exchange.bindings.values()
            }
        for fact, is_there in self._known.items():
            if is_there is not None and is_there is not (fact in there):
                state = "is gone" if is_there else "came back"
                raise Violation(f"P3: {' '.join(fact)} {state} after {death.kind}")
            self._known[fact] = fact in there


class Founder(Client):
    """Makes what all the others need; asks for it again after every start."""

    def script(self) -> Script:
        yield from self.open_channel(1)
        channel = self.channels[1]
        for name in QUEUES:
            yield from declare(channel, name)
        yield from channel.call(methods.QueueDeclare(queue="t0"))
        for exchange, queue, key in BINDINGS:
            yield from bind(channel, exchange, queue, key)
        self.sim.is_founded = True


class Meddler(Client):
    """Declares, deletes, purges, binds and unbinds what nobody relies on."""

    def script(self) -> Script:
        yield from self.open_channel(1)
        while not self.sim.is_calm:
            channel = self.channels[1]
            name = self.choice.choice(VOLATILE)
            action = self.choice.randrange(8)
            if action < 2:
                yield from declare(channel, name)
            elif action == 2:
                yield from delete(channel, name)
            elif action == 3 and self.queue(name) is not None:
                yield from purge(channel, name)
            elif action == 4:
                yield from purge(channel, self.choice.choice(QUEUES))
            elif action == 5 and self.queue(name) is not None:
                yield from bind(channel, "amq.topic", name, b"b")
            elif action == 6:
                yield from self._exchange(channel)
            else:
                yield from self._private(channel)
            yield self.pause() * 3
            if not self.channels[1].is_open:
                del self.channels[1]
                yield from self.open_channel(1)

    def _exchange(self, channel: Channel) -> Iterator[None]:
        name = self.choice.choice(("x0", "x1"))
        is_there = self.choice.random() < 0.6
        fact = ("exchange", name)
        self.sim.facts.begin(fact, is_there)
        method: methods.Method = methods.ExchangeDelete(exchange=name)
        if is_there:
            method = methods.ExchangeDeclare(exchange=name, type="topic", durable=True)
        yield from channel.call(method)
        self.sim.facts.answer(fact, is_there)

    def _private(self, channel: Channel) -> Iterator[None]:
        """A queue that goes with its connection, with something in it."""
        yield from channel.call(methods.QueueDeclare(queue="", exclusive=True, auto_delete=True))
        name = channel.answers[-1].queue
        for _ in range(self.choice.randint(0, 5)):
            letter = self.new_letter(channel, is_persistent=True)
            key = name.encode()
            channel.publish("", key, letter, partial(self._published, letter, key))

    def _published(self, letter: Letter, key: bytes) -> None:
        self.model.publish(letter, self.sim.route("", key))


def declare(channel: Channel, name: str) -> Iterator[None]:
    """A durable queue."""
    facts = channel.client.sim.facts
    facts.begin(("queue", name), True)
    yield from channel.call(methods.QueueDeclare(queue=name, durable=True))
    facts.answer(("queue", name), True)


def delete(channel: Channel, name: str) -> Iterator[None]:
    """A queue with all in it."""
    sim = channel.client.sim
    facts = sim.facts
    facts.begin(("queue", name), False)
    facts.forget_bindings(name, None)
    found = sim.queue(name)
    shelf = None if found is None else sim.model.shelf(found)

    def taken() -> None:
        if shelf is not None:
            shelf.going = True

    yield from channel.call(methods.QueueDelete(queue=name), taken)
    if shelf is not None:
        sim.model.durable.pop(shelf.queue_id, None)
    facts.answer(("queue", name), False)
    facts.forget_bindings(name, False)


def purge(channel: Channel, name: str) -> Iterator[None]:
    """The ready messages of a queue."""
    sim = channel.client.sim
    dropped: list[Any] = []

    def taken() -> None:
        queue = sim.queue(name)
        if queue is not None:
            dropped.extend(sim.model.purge(queue))

    yield from channel.call(methods.QueuePurge(queue=name), taken, is_alone=True)
    if channel.is_open:
        for entry in dropped:
            entry.is_purge_answered = True


def bind(channel: Channel, exchange: str, queue: str, key: bytes) -> Iterator[None]:
    """A binding of a durable queue."""
    facts = channel.client.sim.facts
    fact = ("binding", exchange, queue, key.decode())
    facts.begin(fact, True)
    yield from channel.call(
        methods.QueueBind(queue=queue, exchange=exchange, routing_key=key), is_alone=True
    )
    if channel.is_open:
        facts.answer(fact, True)
