"""What clients do: produce, consume, move, look, and meddle with queues. Each is a script over `Client`."""

from __future__ import annotations

from collections.abc import Iterator

from posthouse.broker.queues.queue import Queue
from posthouse.wire.amqp091 import methods
from tests.simulation.client import Channel, Client, Script
from tests.simulation.letters import Letter
from tests.simulation.model import Entry


class Producer(Client):
    """Publishes, mostly with confirms, on one or two channels."""

    def script(self) -> Script:
        for number in range(1, self.choice.choice((2, 2, 3))):
            yield from self.open_channel(number)
            if self.choice.random() < 0.85:
                yield from self._confirming(self.channels[number])
        while not self.sim.is_calm:
            channel = self.choice.choice(list(self.channels.values()))
            self._burst(channel)
            draw = self.choice.random()
            if draw < 0.2:
                yield from self.until(self._is_all_confirmed)
            elif draw < 0.23:
                yield from self._reopen(channel)
            elif draw < 0.25:
                self.break_off()
                return
            yield self.pause()
            if self.choice.random() < 0.9:
                yield from self.until(lambda: not self.is_blocked)
        yield from self.until(self._is_all_confirmed)

    def _confirming(self, channel: Channel) -> Iterator[None]:
        yield from channel.call(methods.ConfirmSelect())
        channel.is_confirming = True

    def _reopen(self, channel: Channel) -> Iterator[None]:
        is_confirming = channel.is_confirming
        yield from self.close_channel(channel)
        yield from self.open_channel(channel.number)
        if is_confirming:
            yield from self._confirming(self.channels[channel.number])

    def _is_all_confirmed(self) -> bool:
        return all(c.confirmed == c.published for c in self.channels.values() if c.is_confirming)

    def _burst(self, channel: Channel) -> None:
        exchange, key = self.sim.address()
        is_persistent = self.choice.random() < 0.7
        for _ in range(self.choice.choice((1, 1, 2, 5, 12, 25))):
            if self.choice.random() < 0.1:
                exchange, key = self.sim.address()
                is_persistent = not is_persistent
            self._publish(channel, exchange, key, is_persistent)

    def _publish(self, channel: Channel, exchange: str, key: bytes, is_persistent: bool) -> None:
        is_mandatory = self.choice.random() < 0.1
        letter = self.new_letter(channel, is_persistent=is_persistent, is_mandatory=is_mandatory)

        def taken() -> None:
            queues = self.sim.route(exchange, key)
            if is_mandatory and not queues:
                letter.is_returned = False
                channel.returns.append(letter)
            self.model.publish(letter, queues)

        channel.publish(exchange, key, letter, taken)


class TxProducer(Client):
    """Publishes groups that are there whole or not at all."""

    def script(self) -> Script:
        yield from self.open_channel(1)
        channel = self.channels[1]
        yield from channel.call(methods.TxSelect())
        while not self.sim.is_calm:
            yield from self._group(channel)
            yield self.pause()
            if self.choice.random() < 0.03:
                self.break_off()
                return
            yield from self.until(lambda: not self.is_blocked)

    def _group(self, channel: Channel) -> Iterator[None]:
        routed: list[tuple[Letter, list[Queue]]] = []
        for _ in range(self.choice.choice((1, 2, 3, 6, 15))):
            exchange, key = self.sim.address()
            letter = self.new_letter(channel, is_persistent=self.choice.random() < 0.8)
            channel.publish(exchange, key, letter, _routing(self, routed, letter, exchange, key))
        if self.choice.random() < 0.15:
            yield from channel.call(methods.TxRollback())
        else:
            yield from commit(channel, routed, [])


def _routing(
    client: Client,
    routed: list[tuple[Letter, list[Queue]]],
    letter: Letter,
    exchange: str,
    key: bytes,
):  # type: ignore[no-untyped-def]
    return lambda: routed.append((letter, client.sim.route(exchange, key)))


def commit(
    channel: Channel, routed: list[tuple[Letter, list[Queue]]], acked: list[Entry]
) -> Iterator[None]:
    """``tx.commit``, and what it means."""
    sim = channel.client.sim
    groups = []
    yield from channel.call(
        methods.TxCommit(), lambda: groups.append(sim.model.commit(routed, acked, sim.loop.now))
    )
    if groups:
        sim.model.answer(groups[0])


class Consumer(Client):
    """Consumes, and settles in every way there is."""

    def script(self) -> Script:
        yield from self.open_channel(1)
        channel = self.channels[1]
        yield from self._subscribe(channel)
        lazy = self.choice.random() < 0.3
        while not self.sim.is_calm and channel.is_open:
            yield self.pause() * (5 if lazy else 1)
            if channel.held and self.choice.random() < 0.9:
                self._settle_some(channel)
            draw = self.choice.random()
            if draw < 0.01:
                self.break_off()
                return
            if draw < 0.02:
                yield from self._recover(channel)
            elif draw < 0.03 and channel.subscriptions:
                yield from self._cancel(channel)
            elif draw < 0.04 or not channel.subscriptions:
                yield from self._subscribe(channel)
            elif draw < 0.045:
                yield from self.close_channel(channel)
                yield from self.open_channel(1)
                channel = self.channels[1]
                yield from self._subscribe(channel)
        while channel.held and channel.is_open:
            self._settle_some(channel)
            yield self.pause()

    def _subscribe(self, channel: Channel) -> Iterator[None]:
        name = self.sim.queue_name()
        yield from channel.call(
            methods.BasicQos(
                prefetch_count=self.choice.choice((0, 1, 3, 10, 50)),
                global_=self.choice.random() < 0.2,
            )
        )
        tag = f"c{self.choice.getrandbits(30)}"
        no_ack = name.startswith("v") and self.choice.random() < 0.2

        def taken() -> None:
            queue = self.queue(name)
            if queue is None:
                channel.refused()
            else:
                shelf = self.model.shelf(queue)
                shelf.is_loose = shelf.is_loose or no_ack
                channel.subscriptions[tag] = shelf, no_ack

        method = methods.BasicConsume(queue=name, consumer_tag=tag, no_ack=no_ack)
        yield from channel.call(method, taken, is_alone=True)

    def _cancel(self, channel: Channel) -> Iterator[None]:
        tag = next(iter(channel.subscriptions))
        yield from channel.call(methods.BasicCancel(consumer_tag=tag))
        channel.subscriptions.pop(tag, None)

    def _recover(self, channel: Channel) -> Iterator[None]:
        channel.is_stale = True
        channel.held.clear()
        yield from channel.call(methods.BasicRecover(requeue=True), channel.let_go)

    def _settle_some(self, channel: Channel) -> None:
        settle_some(channel)


def settle_some(channel: Channel) -> None:
    """Settle one of the deliveries that are held, or all up to one."""
    choice = channel.client.choice
    tags = list(channel.held)
    tag = tags[min(int(choice.expovariate(0.5)), len(tags) - 1)]
    is_multiple = choice.random() < 0.4
    chosen = [t for t in tags if t <= tag] if is_multiple else [tag]
    entries = [channel.held.pop(t) for t in chosen]
    draw = choice.random()
    if draw < 0.8:
        channel.send(
            methods.BasicAck(delivery_tag=tag, multiple=is_multiple), _settling(channel, entries)
        )
    elif draw < 0.9 or is_multiple:
        is_requeued = choice.random() < 0.8
        then = _returning(channel, entries) if is_requeued else _settling(channel, entries)
        channel.send(
            methods.BasicNack(delivery_tag=tag, multiple=is_multiple, requeue=is_requeued), then
        )
    else:
        channel.send(
            methods.BasicReject(delivery_tag=tag, requeue=True), _returning(channel, entries)
        )


def _settling(channel: Channel, entries: list[Entry]):  # type: ignore[no-untyped-def]
    def taken() -> None:
        for entry in entries:
            channel.holding.pop(entry, None)
            channel.client.model.settle(entry, channel.client.sim.loop.now)

    return taken


def _returning(channel: Channel, entries: list[Entry]):  # type: ignore[no-untyped-def]
    def taken() -> None:
        for entry in entries:
            channel.holding.pop(entry, None)
            channel.client.model.give_back(entry)

    return taken


class Getter(Client):
    """Looks into queues with ``basic.get``."""

    def script(self) -> Script:
        yield from self.open_channel(1)
        channel = self.channels[1]
        while not self.sim.is_calm and channel.is_open:
            yield from get(channel, self.sim.queue_name())
            yield self.pause()
            if channel.held and self.choice.random() < 0.7:
                settle_some(channel)
            if self.choice.random() < 0.02:
                self.break_off()
                return


def get(channel: Channel, name: str) -> Iterator[None]:
    """One ``basic.get``."""
    sim = channel.client.sim

    def taken() -> None:
        queue = sim.queue(name)
        if queue is None:
            channel.refused()
        else:
            channel.getting = sim.model.shelf(queue), False

    yield from channel.call(methods.BasicGet(queue=name), taken, is_alone=True)


class Mover(Client):
    """Takes messages from one queue and puts others into another, each time in one transaction."""

    def script(self) -> Script:
        yield from self.open_channel(1)
        channel = self.channels[1]
        yield from channel.call(methods.TxSelect())
        while not self.sim.is_calm and channel.is_open:
            yield from self._move(channel)
            yield self.pause()
            if self.choice.random() < 0.03:
                self.break_off()
                return
            yield from self.until(lambda: not self.is_blocked)

    def _move(self, channel: Channel) -> Iterator[None]:
        for _ in range(self.choice.randint(1, 3)):
            yield from get(channel, self.choice.choice(("q0", "q1", "q2", "q3")))
        if not channel.held:
            return
        routed: list[tuple[Letter, list[Queue]]] = []
        acked = list(channel.held.values())
        for tag in channel.held:
            channel.send(methods.BasicAck(delivery_tag=tag))
            exchange, key = self.sim.address()
            letter = self.new_letter(channel, is_persistent=True)
            channel.publish(exchange, key, letter, _routing(self, routed, letter, exchange, key))
        channel.held.clear()

        def forget() -> None:
            for entry in acked:
                channel.holding.pop(entry, None)

        yield from commit(channel, routed, acked)
        forget()
