"""One broker, three clients that cannot be trusted and one that can, and what happens around them.

An *input* is a mutated session, or a mutated sequence of frames given to a live one. Between inputs clients vanish, stop reading, take
their octets in pieces; seconds go by, and the memory alarm comes and goes.
"""

from __future__ import annotations

import random
from collections import deque

from posthouse.protocols.amqp091.channel import Channel
from posthouse.protocols.amqp091.session import State
from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from tests.conformance.bad_input.octets import body, header, method, publish, short
from tests.fuzz import accounts, mutation, openings, sentences
from tests.fuzz.messages import MARK
from tests.fuzz.restart import check_restart
from tests.fuzz.witness import Broken, Witness
from tests.support.inmemory import World

CLIENTS = 3
RECORDS_MAX = 40
# Output that waits for a deaf client: the high-water mark, and a doubling of the buffer with a batch of replies in it.
OUTPUT_MAX = 8 << 20
# What is larger seldom comes in one piece.
LARGE = 12_000
# To a publish, a passive declare and a get; the body counts as well.
ANSWERS = {methods.BasicAck, methods.QueueDeclareOk, methods.BasicGetOk, int}
CHANNEL_CLOSE_OK = b"\x00\x14\x00\x29"


class Arena:
    """A world and its clients.

    Attributes:
        said: octets given to the broker so far.
        messages: how many were delivered to clients that are gone.
        last: what was given last, for the report.
    """

    def __init__(self, choice: random.Random) -> None:
        self.choice = choice
        self.files: MemoryFiles | None = None
        self.world = self._world(choice.randrange(4))
        self.speaker = sentences.Speaker(choice)
        self.records: deque[bytes] = deque(maxlen=RECORDS_MAX)
        self.clients: list[Witness] = []
        self.said = 0
        self.messages = 0
        self.last = b""
        self.good = Witness(self.world)
        self.good.log_in()
        self.furnish()
        self.clients += [self.connected() for _ in range(CLIENTS)]
        self.good.give(method(50, 10, b"\0\0\4good\4" + bytes(4)) + method(85, 10, b"\0"))
        self._settle()

    def _world(self, kind: int) -> World:
        if kind < 2:
            return World()
        self.files = MemoryFiles()
        if kind == 2:
            return World("data", files=self.files)
        return World(
            "data", files=self.files, memory_max=4 << 20, ring_max=16, segment_size=1 << 20
        )

    def _settle(self) -> None:
        self.world.settle()
        for client in (*self.clients, self.good):
            client.catch_up()
        self.world.settle()

    def furnish(self) -> None:
        """Queues and exchanges where there are none, and some messages: otherwise there would soon be nothing to break."""
        one = Witness(self.world)
        one.log_in()
        self.give(one, openings.furniture(self.choice, one.session))
        one.close()
        self._settle()

    def congest(self) -> None:
        """One client consumes and does not read, another one publishes more than the queue should hold."""
        consumer, publisher = self.replaced(0), self.replaced(1)
        name = short("jam")
        declared = method(50, 10, b"\0\0" + name + b"\0" + bytes(4))
        self.give(consumer, declared + method(60, 20, b"\0\0" + name + b"\0\2" + bytes(4)))
        consumer.session.out_high = 10_000
        publisher.session.queue_high = 20_000
        consumer.is_deaf = True
        message = publish("jam") + header(3000) + body(bytes(3000))
        for _ in range(3):
            self.give(publisher, message * 8)

    # --- clients --------------------------------------------------------------------------------

    def connected(self) -> Witness:
        """A fresh client, its connection open."""
        client = Witness(self.world)
        client.share = self.choice.choice((0, 0, 0, 0, 700, 9000))
        client.session.out_high = self.choice.choice((1 << 20, 1 << 20, 20_000))
        client.session.queue_high = self.choice.choice((32 << 20, 40_000))
        client.log_in(self.choice.choice((4096, 131072, 131072)))
        self.give(client, openings.opening(self.choice, client.session))
        return client

    def present(self, number: int) -> Witness:
        """Client ``number``, mostly in a state in which it can be spoken to."""
        choice = self.choice
        client = self.clients[number]
        session = client.session
        useless = client.is_closed or session.state is not State.RUNNING or client.waiting
        if client.is_closed or choice.random() < (0.7 if useless else 0.02):
            return self.replaced(number)
        if choice.random() < 0.8:
            closing = [
                n for n, c in session.channels.items() if isinstance(c, Channel) and c.is_closing
            ]
            if closing and not client._tail:
                self.give(client, b"".join(_frame(n, CHANNEL_CLOSE_OK) for n in closing))
                if client.is_closed:
                    return self.replaced(number)
        if (client._tail or session.arrival is not None) and choice.random() < 0.5:
            return self.replaced(number)
        return client

    def replaced(self, number: int, fresh: Witness | None = None) -> Witness:
        """Client ``number`` vanishes, wherever it stands, and another one comes."""
        old = self.clients[number]
        old.close()
        if old.session.channels or old.session.arrival is not None or old.session.extents:
            raise Broken("a session that was lost holds on to something")
        self.messages += old.delivered
        self._settle()
        self.clients[number] = fresh or self.connected()
        return self.clients[number]

    def give(self, client: Witness, data: bytes) -> None:
        """Send octets, whole or in pieces; the tick follows every piece, or comes later."""
        choice = self.choice
        self.said += len(data)
        self.last = data
        cuts: list[int] = []
        kind = choice.random()
        if kind < (0.9 if len(data) > LARGE else 0.3):
            cuts = sorted(choice.randrange(len(data) + 1) for _ in range(choice.randint(1, 5)))
        elif kind < 0.33 and len(data) < 300:
            cuts = list(range(1, len(data)))
        start = 0
        for end in (*cuts, len(data)):
            if client.is_closed:
                return
            client.give(data[start:end])
            start = end
            if choice.random() < 0.9:
                self._settle()
        self._settle()

    # --- inputs ---------------------------------------------------------------------------------

    def step(self) -> bool:
        """Give one sentence to one client; True if it was mutated: an input."""
        choice = self.choice
        self.weather()
        number = choice.randrange(CLIENTS)
        kind = choice.random()
        if kind < 0.08:
            said = openings.handshake(choice, wrong=kind < 0.06)
            if kind > 0.04:
                said = mutation.frames(said, choice)
            client = self.replaced(number, Witness(self.world))
            self.give(client, b"".join(said))
            return True
        client = self.present(number)
        if choice.random() < 0.4 and client.session.state is State.RUNNING and not client._tail:
            # Something to stand on.
            said = self.speaker.say(client.session, wrong=False)
            self.give(client, b"".join(said))
            client = self.present(number)
        if kind < 0.25:
            data = mutation.blind(list(self.records), choice)
            if kind < 0.10:
                client = self.replaced(number, Witness(self.world))
            self.give(client, data)
            return True
        wrong = 0.45 < kind < 0.85
        said = self.speaker.say(client.session, wrong=wrong)
        if not wrong:
            self.records.append(b"".join(said))
        if kind < 0.45:
            said = mutation.frames(said, choice)
        data = b"".join(said)
        if wrong and choice.random() < 0.1:
            # What comes next may complete it.
            data = data[: choice.randrange(len(data) + 1)].replace(MARK, mutation.UNMARKED)
        self.give(client, data)
        return kind < 0.85

    def weather(self) -> None:
        """What is nobody's input."""
        choice = self.choice
        kind = choice.random()
        client = self.clients[choice.randrange(CLIENTS)]
        if kind < 0.03:
            client.is_deaf = True
        elif kind < 0.07:
            client.is_deaf = False
            client.flush()
        elif kind < 0.10:
            for one in self.clients:
                if not one.is_closed:
                    one.session.on_second(1.0)
        elif kind < 0.11:
            self.world.dispatcher.alarm = True
            return
        elif kind < 0.12:
            self.world.run_later()
        elif kind < 0.14 and not self.world.dispatcher.alarm:
            self.furnish()
        elif kind < 0.15:
            self.congest()
        if self.world.dispatcher.alarm and choice.random() < 0.2:
            self.clear_alarm()

    def clear_alarm(self) -> None:
        """Publishers may go on."""
        self.world.dispatcher.alarm = False
        for client in (*self.clients, self.good):
            if not client.is_closed:
                client.session.on_alarm_cleared()
        self._settle()

    # --- promises -------------------------------------------------------------------------------

    def check(self) -> None:
        """Everything that must hold between two inputs."""
        accounts.check(self.world, (*self.clients, self.good))
        held = self.world.blocks.bytes_live
        if held > 3 * self.said + (16 << 20):
            raise Broken(f"{held} octets of blocks for {self.said} octets received")
        for client in self.clients:
            accounts.check_session(client)
            if len(client.session.out) > OUTPUT_MAX:
                raise Broken(f"{len(client.session.out)} octets of output buffer")
        if not self.world.dispatcher.alarm:
            self.check_good()

    def check_good(self) -> None:
        """The good client's message comes back, and its confirm."""
        good = self.good
        good.methods_heard()
        message = b"good" + self.choice.randbytes(8)
        asked = method(50, 10, b"\0\0\4good\1" + bytes(4)) + method(60, 70, b"\0\0\4good\1")
        good.give(good.publish_octets(b"good", message) + asked)
        self._settle()
        said = {type(one) for _, one in good.methods_heard()}
        if said != ANSWERS or good.is_closed:
            raise Broken(f"the good client got {said}")

    def finish(self) -> None:
        """All clients go: nothing of them is left; a restart finds what was durable; all memory comes back."""
        self.clear_alarm()
        for client in (*self.clients, self.good):
            if not client.is_closed and client.session.state is State.RUNNING and not client._tail:
                if self.choice.random() < 0.3:
                    self.give(client, method(10, 50, bytes(7), 0))
            client.close()
            self.messages += client.delivered
        self._settle()
        accounts.check_nobody(self.world)
        if self.files is not None:
            check_restart(self.world, self.files)
        else:
            accounts.check_empty(self.world)


def _frame(channel: int, payload: bytes) -> bytes:
    return b"\1" + channel.to_bytes(2, "big") + len(payload).to_bytes(4, "big") + payload + b"\xce"
