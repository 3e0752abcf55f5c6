"""The client that empties a queue at the end: everything comes once, whole, in order."""

from __future__ import annotations

from posthouse.wire.amqp091 import methods
from tests.simulation.client import Channel, Client, Script
from tests.simulation.model import Entry, Violation


class Drainer(Client):
    """Consumes ``count`` messages of the queue ``target``."""

    target = ""
    count = 0

    def script(self) -> Script:
        self._got: list[Entry] = []
        yield from self.open_channel(1)
        channel = self.channels[1]

        def taken() -> None:
            queue = self.queue(self.target)
            assert queue is not None
            channel.subscriptions["d"] = self.model.shelf(queue), False

        yield from channel.call(methods.BasicConsume(queue=self.target, consumer_tag="d"), taken)
        yield from self.until(lambda: len(self._got) >= self.count)
        orders = [entry.order for entry in self._got]
        if orders != sorted(orders):
            raise Violation(
                f"P6: queue '{self.target}' comes in another order at the end: {orders}"
            )
        if self._got:
            entries = self._got
            channel.send(
                methods.BasicAck(delivery_tag=self.count, multiple=True),
                lambda: [self.model.settle(entry, self.sim.loop.now) for entry in entries],
            )

    def on_delivery(self, channel: Channel, tag: int, entry: Entry) -> None:
        channel.holding.pop(entry, None)
        self._got.append(entry)
