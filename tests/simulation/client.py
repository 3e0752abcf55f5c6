"""A client at frame level: what it sends is told to the model when the broker takes it, what it gets is checked at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from posthouse.broker.queues.queue import Queue
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.frames import FrameReader, heartbeat_frame, method_frame
from tests.simulation.letters import Letter, body_of, name_of
from tests.simulation.model import Entry, Shelf, Violation

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

HEADER = b"AMQP\x00\x00\x09\x01"
Script = Iterator[float | None]


class Delivery:
    """A message as it comes in."""

    __slots__ = ("body", "method", "properties", "shelf", "size")

    def __init__(self, method: Any, shelf: Shelf | None) -> None:
        self.method = method
        self.shelf = shelf
        self.properties = b""
        self.size = 0
        self.body = b""


class Channel:
    """One channel of a client.

    Attributes:
        unanswered: requests whose answers are not there yet.
        is_stale: what comes now was sent before the server knew that nothing shall come (closing, recovering).
        held: deliveries to settle, by tag.
    """

    def __init__(self, client: Client, number: int) -> None:
        self.client = client
        self.number = number
        self.sender = client.sim.next_sender()
        self.published = 0
        self.confirmed = 0
        self.letters: list[Letter] = []
        self.returns: list[Letter] = []
        self.answers: list[Any] = []
        self.held: dict[int, Entry] = {}
        self.holding: dict[Entry, None] = {}
        self.subscriptions: dict[str, tuple[Shelf, bool]] = {}
        self.last_order: dict[str, int] = {}
        self.getting: tuple[Shelf, bool] | None = None
        self.is_stale = False
        self.is_open = False
        self.is_confirming = False
        self.incoming: Delivery | None = None

    def __str__(self) -> str:
        return f"{self.client}/{self.number}"

    # --- sending --------------------------------------------------------------------------------

    def send(
        self,
        method: methods.Method,
        then: Callable[[], object] | None = None,
        *,
        is_alone: bool = False,
    ) -> None:
        """One method; ``then`` when the broker took it."""
        self.client.send(method_frame(self.number, method.encode()), then, is_alone=is_alone)

    def call(
        self,
        method: methods.Method,
        then: Callable[[], object] | None = None,
        *,
        is_alone: bool = False,
    ) -> Iterator[None]:
        """Send, and wait for the answer, which is the last of `answers` then."""
        before = len(self.answers)
        self.send(method, then, is_alone=is_alone)
        yield from self.client.until(lambda: len(self.answers) > before or not self.is_open)

    def publish(
        self, exchange: str, key: bytes, letter: Letter, then: Callable[[], object]
    ) -> None:
        """One message."""
        method = methods.BasicPublish(
            exchange=exchange, routing_key=key, mandatory=letter.is_mandatory
        )
        data = method_frame(self.number, method.encode())
        data += letter.frames(self.number, self.client.frame_max)
        self.client.send(data, then)

    def let_go(self) -> None:
        """The broker has everything back that was delivered here."""
        for entry in self.holding:
            if entry.holder is self:
                self.client.sim.model.give_back(entry)
        self.holding.clear()
        self.held.clear()

    def refused(self) -> None:
        """The broker closes the channel, which the client will hear of later."""
        self.let_go()
        self.is_stale = True

    # --- receiving ------------------------------------------------------------------------------

    def on_method(self, method: methods.Method) -> None:
        if isinstance(method, methods.BasicAck):
            self._on_confirm(method)
        elif isinstance(method, methods.BasicDeliver):
            shelf, _ = self.subscriptions.get(method.consumer_tag, (None, False))
            self.incoming = Delivery(method, shelf)
        elif isinstance(method, methods.BasicGetOk):
            self.incoming = Delivery(method, self.getting[0] if self.getting else None)
        elif isinstance(method, methods.BasicReturn):
            self.incoming = Delivery(method, None)
        elif isinstance(method, methods.BasicCancel):
            self.subscriptions.pop(method.consumer_tag, None)
        elif isinstance(method, methods.BasicNack):
            raise Violation(f"{self} got basic.nack though nothing refuses")
        elif isinstance(method, methods.ChannelClose):
            self.is_open = False
            self.let_go()
            self.send(methods.ChannelCloseOk())
            self.client.on_channel_error(self, method)
        else:
            if isinstance(method, methods.BasicRecoverOk):
                self.is_stale = False
            self.answers.append(method)

    def _on_confirm(self, method: methods.BasicAck) -> None:
        tag = method.delivery_tag
        first = self.confirmed + 1 if method.multiple else tag
        if not self.confirmed < tag <= self.published or first != self.confirmed + 1:
            raise Violation(
                f"P1: {self} got a confirm of {tag} (multiple {method.multiple}) after {self.confirmed}, {self.published} published"
            )
        for letter in self.letters[self.confirmed : tag]:
            if letter.is_mandatory and letter.is_returned is False:
                raise Violation(
                    f"P1: {self}: message {letter.name} was confirmed and should have come back before"
                )
            self.client.sim.model.confirm(letter)
        self.confirmed = tag

    def on_content(self, kind: int, payload: bytes) -> None:
        found = self.incoming
        if found is None:
            raise Violation(f"{self} got content that belongs to nothing")
        if kind == 2:
            found.size = int.from_bytes(payload[4:12], "big")
            found.properties = payload[12:]
        else:
            found.body += payload
        if len(found.body) >= found.size:
            self.incoming = None
            self._on_message(found)

    def _on_message(self, found: Delivery) -> None:
        name = name_of(found.properties)
        if found.body != body_of(name, found.size) or found.size != self.client.sim.sizes[name]:
            raise Violation(f"P7: {self} got another body than message {name} has")
        method = found.method
        if isinstance(method, methods.BasicReturn):
            self._on_return(name)
            return
        is_get = isinstance(method, methods.BasicGetOk)
        if is_get:
            self.answers.append(method)
        if found.shelf is None or self.is_stale or self.client.is_ended:
            return
        no_ack = self.getting[1] if is_get and self.getting else False
        if not is_get:
            no_ack = self.subscriptions[method.consumer_tag][1]
        if found.shelf.is_gone:
            return
        entry = self.client.sim.model.deliver(found.shelf, name, method.redelivered, self)
        if not is_get and not method.redelivered:
            last = self.last_order.get(method.consumer_tag, -1)
            if entry.order <= last:
                raise Violation(f"P6: {entry} comes to {self} after a later one")
            self.last_order[method.consumer_tag] = entry.order
        if no_ack:
            self.client.sim.model.settle(entry, self.client.sim.loop.now)
            return
        self.held[method.delivery_tag] = entry
        self.holding[entry] = None
        self.client.on_delivery(self, method.delivery_tag, entry)

    def _on_return(self, name: Any) -> None:
        letter = self.returns.pop(0) if self.returns else None
        if letter is None or letter.name != name or letter.is_returned is not False:
            raise Violation(f"{self} got message {name} back, which was not to come back")
        letter.is_returned = True


class Client:
    """One connection, and the script that it follows. Subclasses are the roles."""

    def __init__(self, sim: Simulation, number: int) -> None:
        self.sim = sim
        self.number = number
        self.choice = sim.choice
        self.model = sim.model
        self.frame_max = sim.switches.frame_max
        self.channels: dict[int, Channel] = {}
        self.is_open = False
        self.is_ended = False
        self.is_blocked = False
        self.is_closing = False
        self.wire: Any = None
        self._reader = FrameReader(131072)
        self._connection_answers: list[Any] = []
        self._script: Script | None = None
        self._is_waiting = False

    def __str__(self) -> str:
        return f"{type(self).__name__.lower()} {self.number}"

    # --- the script -----------------------------------------------------------------------------

    def start(self) -> bool:
        """Call the broker; False if nobody listens."""
        self.wire = self.sim.network.connect(self)
        if self.wire is None:
            return False
        self._script = self._whole_script()
        self._go_on()
        return True

    def script(self) -> Script:
        """What the role does, once the connection is open."""
        raise NotImplementedError

    def _whole_script(self) -> Script:
        yield from self._open()
        self.sim.loop.note(f"{self} is open")
        if self.sim.switches.heartbeat_s:
            self._beat()
        yield from self.script()
        yield from self.close()

    def _go_on(self) -> None:
        if self._script is None or self.is_ended:
            return
        self._is_waiting = False
        try:
            wait = next(self._script)
        except StopIteration:
            self._script = None
            return
        if wait is None:
            self._is_waiting = True
        else:
            self.sim.loop.call_later(wait, self._go_on)

    def until(self, condition: Callable[[], bool]) -> Iterator[None]:
        """Wait until something that came in made the condition true."""
        while not condition():
            yield None

    def pause(self) -> float:
        """A random time to think."""
        return self.choice.expovariate(1.0) * self.sim.switches.pace_s

    def _beat(self) -> None:
        if not self.is_ended and not self.is_closing:
            self.send(heartbeat_frame())
            self.sim.loop.call_later(self.sim.switches.heartbeat_s / 2, self._beat)

    def _open(self) -> Script:
        answers = self._connection_answers
        self.wire.send(HEADER)
        yield from self.until(lambda: len(answers) > 0)
        start = methods.ConnectionStartOk(
            client_properties={
                "capabilities": {"connection.blocked": True, "consumer_cancel_notify": True}
            },
            mechanism="PLAIN",
            response=b"\0guest\0guest",
            locale="en_US",
        )
        self.wire.send(method_frame(0, start.encode()))
        yield from self.until(lambda: len(answers) > 1)
        tune = methods.ConnectionTuneOk(
            channel_max=2047, frame_max=self.frame_max, heartbeat=self.sim.switches.heartbeat_s
        )
        self.wire.send(
            method_frame(0, tune.encode())
            + method_frame(0, methods.ConnectionOpen(virtual_host="/").encode())
        )
        yield from self.until(lambda: len(answers) > 2)
        self.is_open = True

    def open_channel(self, number: int) -> Iterator[None]:
        """A fresh channel."""
        channel = Channel(self, number)
        self.channels[number] = channel
        channel.is_open = True
        yield from channel.call(methods.ChannelOpen())

    def close_channel(self, channel: Channel) -> Iterator[None]:
        """In order: what was not settled goes back."""
        channel.is_stale = True
        yield from channel.call(methods.ChannelClose(reply_code=200, reply_text=""), channel.let_go)
        channel.is_open = False
        del self.channels[channel.number]

    def close(self) -> Script:
        """In order."""
        self.is_closing = True
        for channel in self.channels.values():
            channel.is_stale = True
        self.send(
            method_frame(0, methods.ConnectionClose(reply_code=200, reply_text="").encode()),
            self._let_go,
        )
        before = len(self._connection_answers)
        yield from self.until(lambda: len(self._connection_answers) > before)
        self.break_off()

    def break_off(self) -> None:
        """Without a word."""
        self.wire.cut()
        self.on_lost()

    def send(
        self, data: bytes, then: Callable[[], object] | None = None, *, is_alone: bool = False
    ) -> None:
        """Octets; ``then`` when the broker took them, unless it does not listen any more."""
        mark = None
        if then is not None:
            act = then

            def mark(is_heard: bool) -> None:
                if is_heard and not self.is_ended:
                    act()

        self.wire.send(data, mark, is_alone=is_alone)

    def _let_go(self) -> None:
        for channel in self.channels.values():
            channel.let_go()

    # --- what comes -----------------------------------------------------------------------------

    def on_octets(self, data: bytes) -> None:
        """From the server, in pieces."""
        for kind, number, payload in self._reader.feed(data):
            if kind == 8:
                continue
            if number == 0:
                self._on_connection_method(methods.decode_method(payload))
                continue
            channel = self.channels.get(number)
            if channel is None:
                continue
            if kind == 1:
                channel.on_method(methods.decode_method(payload))
            else:
                channel.on_content(kind, payload)
        if self._is_waiting:
            self._go_on()

    def _on_connection_method(self, method: methods.Method) -> None:
        if isinstance(method, methods.ConnectionBlocked):
            self.is_blocked = True
        elif isinstance(method, methods.ConnectionUnblocked):
            self.is_blocked = False
        elif isinstance(method, methods.ConnectionClose):
            self.sim.check_close(self, method)
            self._let_go()
            self.wire.send(method_frame(0, methods.ConnectionCloseOk().encode()))
        else:
            self._connection_answers.append(method)

    def on_closed(self) -> None:
        """The server let the connection go; what it held is ready again."""
        self._let_go()
        self.is_ended = True

    def on_lost(self) -> None:
        """Nothing comes any more."""
        self._let_go()
        self.is_ended = True
        self._script = None
        self.sim.on_client_gone(self)

    # --- for roles ------------------------------------------------------------------------------

    def on_delivery(self, channel: Channel, tag: int, entry: Entry) -> None:
        """A message that is to be settled."""

    def on_channel_error(self, channel: Channel, method: methods.ChannelClose) -> None:
        """The broker closed a channel."""
        if method.reply_code not in (404, 405, 406):
            raise Violation(f"{channel} was closed: {method.reply_code} {method.reply_text}")

    def new_letter(
        self, channel: Channel, *, is_persistent: bool, is_mandatory: bool = False
    ) -> Letter:
        """The next message of a channel."""
        channel.published += 1
        name = channel.sender, channel.published
        letter = Letter(name, self.sim.body_size(), is_persistent, is_mandatory)
        channel.letters.append(letter)
        self.sim.sizes[name] = letter.size
        return letter

    def queue(self, name: str) -> Queue | None:
        """The queue of that name, as the broker has it now."""
        return self.sim.queue(name)
