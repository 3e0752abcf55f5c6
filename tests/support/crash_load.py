"""A load over the whole broker that does a little of everything and writes down what it was told (`crash_facts`).

Everything is small, so that all edges are met: segments, blocks, rings, memory, the growth that asks for a snapshot, the definitions log
that is rewritten. Its seed decides what is done, and whether commits are carried out at once or gathered as the real committer does.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from posthouse.journal.local.committer import InlineCommitter
from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.crash_facts import Change, Facts, Key, Message, Place, Transaction
from tests.support.crash_world import GatheringCommitter, small_world
from tests.support.inmemory import Peer
from tests.support.recorded_disk import Recorder

QUEUES = ("q0", "q1", "q2")
FAN = "fan"
SIZES = (0, 5, 40, 200, 600, 1500, 5000)
# More live messages than this in a queue make every state slow to read.
DEPTH_MAX = 25


class Ended(Exception):
    """The journal failed: nothing more can be done with this broker."""


def body_of(number: int, size: int) -> bytes:
    """A body that tells which message it is, and whether it is whole."""
    return b"%d:" % number + bytes((number * 31 + n) % 251 for n in range(size))


class Load:
    """The load of one seed, on a disk of its own.

    Attributes:
        facts: what its clients know.
        recorder: the disk after each operation.
        figures: how much was met of what is rare.
        is_stopped: the node's clients are gone, it may be closed.
        exit_code: of the last node that was closed.
    """

    def __init__(self, seed: int, files: MemoryFiles | None = None) -> None:
        self.seed = seed
        self.choice = random.Random(seed)
        self.files = files or MemoryFiles()
        self.recorder = Recorder(self.files)
        self.facts = Facts()
        self._number = 0
        self._order = 0
        self._tags: list[Message] = []
        # Delivered and not settled: tag, queue, message.
        self._held: list[tuple[int, str, Message]] = []
        # Settled, and must not come back when it is a second old (P4): when, the place.
        self._settled: list[tuple[float, Place]] = []
        self.figures: Counter[str] = Counter()
        self.is_stopped = False
        self.exit_code = 0
        self._is_closed = False

    @property
    def now(self) -> int:
        """The moment."""
        return self.recorder.moment

    def run(self, steps: int) -> None:
        """Do so many things; then stop in good order.

        Raises:
            Ended: the journal failed; `exit_code` and `is_stopped` say how far the node is.
            StorageError: it did not start.
        """
        self._start()
        self._define_all()
        actions: Sequence[tuple[int, Callable[[], object]]] = (
            (16, self._publish),
            (2, self._pile_up),
            (12, self._get),
            (8, self._ack_one),
            (5, self._ack_many),
            (6, self._give_back),
            (6, self._transaction),
            (1, self._roll_back),
            (1, self._purge),
            (1, self._replace_queue),
            (5, self._bind_or_not),
            (2, self._exchange_or_not),
            (8, self._let_time_pass),
            (1, self._restart),
            (1, self._kill),
        )
        weights = [weight for weight, _ in actions]
        for _ in range(steps):
            self.choice.choices(actions, weights)[0][1]()
        self._strand()
        self._settle()
        self._end()

    # --- lives ----------------------------------------------------------------------------------

    def _start(self) -> None:
        self._is_closed = False
        maker = GatheringCommitter if self.seed % 2 else InlineCommitter
        self.world = small_world(self.files, self.seed, maker)
        # A node whose first commit failed has stopped already.
        self.is_stopped = self.world.journal.has_failed
        self.world.node.on_stopped = self._on_stopped
        self.world.node.listen()
        self.publisher, self.consumer, self.trader, self.definer = (
            self.world.peer() for _ in range(4)
        )
        self.publisher.call(methods.ConfirmSelect())
        self.trader.call(methods.TxSelect())
        self._tags = []
        self._held = []
        self._settled = []

    def _settle(self) -> None:
        """Until everything is on the disk that is handed over, and was answered."""
        for _ in range(4):
            self.world.journal._committer.retry()
            self.world.settle()
        self.note_confirms()
        if self.world.journal.has_failed:
            raise Ended

    def _call(self, peer: Peer, method: methods.Method) -> Any:
        peer.take()
        peer.send(method)
        self._settle()
        answer = peer.last()
        assert not isinstance(answer, methods.ChannelClose), answer.reply_text
        return answer

    def _restart(self) -> None:
        self._settle()
        self._end()
        self._start()

    def _on_stopped(self) -> None:
        self.is_stopped = True

    def _end(self) -> None:
        self._count()
        self.is_stopped = True
        self._close()
        if self.exit_code:
            raise Ended

    def _close(self) -> None:
        self._is_closed = True
        self.exit_code = self.world.node.close()

    def end_after_failure(self) -> None:
        """What the process does when the journal failed: it stops within seconds; what clients hear till then counts."""
        if not self._is_closed:
            self.world.loop.advance(5.0)
            self._close()
        self.note_confirms()

    def _kill(self) -> None:
        """What was not handed over is lost, and what was settled a moment ago may come back."""
        self._count()
        self.files.kill()
        self._start()

    def _count(self) -> None:
        pager = self.world.journal.pager
        self.figures["lives"] += 1
        self.figures["pages"] += pager.pages_written
        self.figures["blocks_read"] += pager.blocks_read
        self.figures["octets_moved"] += self.world.cleaner.octets_moved
        self.figures["snapshots"] += self.world.snapshotter.taken
        self.figures["rewrites"] += self.world.node.rewriter.rewritten

    def _let_time_pass(self) -> None:
        for _ in range(4):
            self.world.loop.advance(0.3)
            self._settle()
        old = self.world.clock.monotonic_s() - 1.0
        for at_s, place in self._settled:
            if at_s <= old:
                place.gone_by = min(place.gone_by, self.now)
        self._settled = [item for item in self._settled if item[0] > old]

    # --- publishing -----------------------------------------------------------------------------

    def _message(self, sizes: Sequence[int] = SIZES, queue: str = "") -> tuple[Message, str, bytes]:
        """A new message, to ``queue`` or any, with the exchange and key to publish it with."""
        self._number += 1
        is_fanned = not queue and self.choice.random() < 0.4
        queues = QUEUES[:2] if is_fanned else (queue or self.choice.choice(QUEUES),)
        body = body_of(self._number, self.choice.choice(sizes))
        places = {queue: Place() for queue in queues}
        message = Message(self._number, body, bool(queue) or self.choice.random() < 0.85, places)
        self.facts.messages[message.number] = message
        return message, FAN if is_fanned else "", b"" if is_fanned else queues[0].encode()

    def _octets(self, message: Message, exchange: str, key: bytes) -> bytes:
        properties = BasicProperties(delivery_mode=2 if message.is_persistent else 1)
        return Peer.publish_octets(key, message.body, exchange, properties)

    def _is_deep(self) -> bool:
        queues = self.world.broker.vhosts["/"].queues.values()
        return any(queue.message_count > DEPTH_MAX for queue in queues)

    def _pile_up(self) -> None:
        """So much that blocks leave memory."""
        self._publish(14, SIZES[-3:])

    def _strand(self) -> None:
        """A few old messages hold a log of which most is dead: the cleaner's work."""
        for queue in QUEUES:
            self._purge(queue)
        self._publish(3, (40,), QUEUES[2])
        for _ in range(6):
            self._publish(4, (1500,), QUEUES[0])
            self._purge(QUEUES[0])
        for _ in range(4):
            self._let_time_pass()

    def _publish(self, count: int = 0, sizes: Sequence[int] = SIZES, queue: str = "") -> None:
        if self._is_deep():
            self._purge()
        octets = b""
        for _ in range(count or self.choice.choice((1, 1, 2, 5))):
            message, exchange, key = self._message(sizes, queue)
            self._sent(message)
            self._tags.append(message)
            octets += self._octets(message, exchange, key)
        self.publisher.octets(octets)
        if self.choice.random() < 0.6:
            self._settle()
        self.note_confirms()

    def _sent(self, message: Message) -> None:
        self._order += 1
        message.order = self._order
        message.sent_at = self.now

    def note_confirms(self) -> None:
        """Take what the publisher was told."""
        for item in self.publisher.take():
            is_refused = isinstance(item, methods.BasicNack)
            assert not is_refused or self.world.journal.has_failed, "refused"
            if isinstance(item, methods.BasicAck):
                first = 0 if item.multiple else item.delivery_tag - 1
                for message in self._tags[first : item.delivery_tag]:
                    message.confirmed_at = min(message.confirmed_at, self.now)

    def _transaction(self) -> None:
        self._settle()
        if self._is_deep():
            return
        settled = []
        for queue in self.choice.sample(QUEUES, self.choice.randrange(3)):
            for tag, message in self._take_from(self.trader, queue):
                settled.append((queue, message))
                self.trader.send(methods.BasicAck(delivery_tag=tag))
        made = [self._message() for _ in range(self.choice.randint(1, 4))]
        self.trader.octets(b"".join(self._octets(*one) for one in made))
        messages = [message for message, _, _ in made]
        transaction = Transaction(messages, settled, self.now)
        self.facts.transactions.append(transaction)
        for message in messages:
            self._sent(message)
        for queue, message in settled:
            message.places[queue].gone_from = min(message.places[queue].gone_from, self.now)
        answer = self._call(self.trader, methods.TxCommit())
        assert isinstance(answer, methods.TxCommitOk)
        transaction.answered_at = self.now
        for message in messages:
            message.confirmed_at = self.now
        for queue, message in settled:
            message.places[queue].gone_by = min(message.places[queue].gone_by, self.now)

    def _roll_back(self) -> None:
        self.trader.octets(self._octets(*self._message()))
        assert isinstance(self._call(self.trader, methods.TxRollback()), methods.TxRollbackOk)

    # --- consuming ------------------------------------------------------------------------------

    def _take_from(self, peer: Peer, queue: str, no_ack: bool = False) -> list[tuple[int, Message]]:
        """One message, if there is one."""
        peer.take()
        peer.send(methods.BasicGet(queue=queue, no_ack=no_ack))
        found = []
        for got, body in peer.messages():
            message = self.facts.messages[int(body.split(b":")[0])]
            assert message.body == body
            place = message.places[queue]
            place.delivered_at = min(place.delivered_at, self.now)
            found.append((got.delivery_tag, message))
        return found

    def _get(self) -> None:
        queue = self.choice.choice(QUEUES)
        for _ in range(self.choice.choice((1, 3, 6))):
            for tag, message in self._take_from(self.consumer, queue):
                self._held.append((tag, queue, message))

    def _is_settled(self, held: Sequence[tuple[int, str, Message]]) -> None:
        """To be called before it is sent."""
        for _, queue, message in held:
            place = message.places[queue]
            place.gone_from = min(place.gone_from, self.now)
            self._settled.append((self.world.clock.monotonic_s(), place))

    def _ack_one(self) -> None:
        if self._held:
            one = self._held.pop(self.choice.randrange(len(self._held)))
            self._is_settled([one])
            self.consumer.send(methods.BasicAck(delivery_tag=one[0]))

    def _ack_many(self) -> None:
        count = self.choice.randint(0, len(self._held))
        if count:
            tag = self._held[count - 1][0]
            self._is_settled(self._held[:count])
            del self._held[:count]
            self.consumer.send(methods.BasicAck(delivery_tag=tag, multiple=True))

    def _give_back(self) -> None:
        if self._held:
            one = self._held.pop(self.choice.randrange(len(self._held)))
            requeue = self.choice.random() < 0.7
            if not requeue:
                self._is_settled([one])
            self.consumer.send(methods.BasicNack(delivery_tag=one[0], requeue=requeue))

    # --- definitions ----------------------------------------------------------------------------

    def _change(self, method: methods.Method, *keys: tuple[Key, bool]) -> Any:
        changes = [Change(is_there, self.now) for _, is_there in keys]
        for (key, _), change in zip(keys, changes, strict=True):
            self.facts.changes.setdefault(key, []).append(change)
        answer = self._call(self.definer, method)
        for change in changes:
            change.answered_at = self.now
        return answer

    def _define_all(self) -> None:
        fan = methods.ExchangeDeclare(exchange=FAN, type="fanout", durable=True)
        self._change(fan, (("exchange", FAN), True))
        for queue in QUEUES:
            self._declare(queue)

    def _declare(self, queue: str) -> None:
        self._change(methods.QueueDeclare(queue=queue, durable=True), (("queue", queue), True))
        if queue in QUEUES[:2]:
            self._change(
                methods.QueueBind(queue=queue, exchange=FAN),
                (("binding", FAN, queue, ""), True),
            )

    def _is_there(self, key: Key) -> bool:
        changes = self.facts.changes.get(key)
        return bool(changes) and changes[-1].is_there

    def _bind_or_not(self) -> None:
        """Many in one piece now and then: they make dead changes."""
        queue = self.choice.choice(QUEUES)
        for _ in range(self.choice.choice((1, 1, 6))):
            key = f"k{self.choice.randrange(3)}"
            row = ("binding", "amq.direct", queue, key)
            options: Any = {"queue": queue, "exchange": "amq.direct", "routing_key": key.encode()}
            if self._is_there(row):
                self._change(methods.QueueUnbind(**options), (row, False))
            else:
                self._change(methods.QueueBind(**options), (row, True))

    def _exchange_or_not(self) -> None:
        row = ("exchange", "x")
        if self._is_there(row):
            self._change(methods.ExchangeDelete(exchange="x"), (row, False))
        else:
            method = methods.ExchangeDeclare(exchange="x", type="topic", durable=True)
            self._change(method, (row, True))

    def _places_of(self, queue: str) -> list[Place]:
        """Published to it, and not held by a consumer."""
        held = {id(message) for _, where, message in self._held if where == queue}
        return [
            message.places[queue]
            for message in self.facts.messages.values()
            if queue in message.places and message.order and id(message) not in held
        ]

    def _purge(self, queue: str = "") -> None:
        self._settle()
        queue = queue or self.choice.choice(QUEUES)
        # An acknowledgement of a moment ago is not the purge's, and may be forgotten yet.
        settled = {id(place) for _, place in self._settled}
        places = [place for place in self._places_of(queue) if id(place) not in settled]
        self._go(places, lambda: self._call(self.definer, methods.QueuePurge(queue=queue)))

    def _go(self, places: Sequence[Place], act: Callable[[], object]) -> None:
        for place in places:
            place.gone_from = min(place.gone_from, self.now)
        act()
        for place in places:
            place.gone_by = min(place.gone_by, self.now)

    def _replace_queue(self) -> None:
        """Delete and declare again: what was in it must not be in the new one."""
        self._settle()
        queue = self.choice.choice(QUEUES)
        self._held = [item for item in self._held if item[1] != queue]
        rows = [("queue", queue)]
        rows += [k for k in self.facts.changes if k[0] == "binding" and k[2] == queue]
        gone = [(row, False) for row in rows if self._is_there(row)]
        method = methods.QueueDelete(queue=queue)
        self._go(self._places_of(queue), lambda: self._change(method, *gone))
        self._declare(queue)
