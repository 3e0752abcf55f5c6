"""A data directory that the real broker wrote, with everything in it that a log can hold, and what is stored there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.entries import DIRECTORY, Contents, Entry, entries_of
from tests.support.inmemory import Peer, World

QUEUES = ("a", "b", "c")
SEGMENT = 4096
PERSISTENT = BasicProperties(delivery_mode=2)


@dataclass
class Sample:
    """The directory and the model.

    Attributes:
        contents: the files.
        numbers: of the queues, in the log.
        order: by queue, the place of each body that was ever published to it.
        live: by queue, what must be served.
        delivered: by queue, what a consumer had before and gave back.
    """

    contents: Contents = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    order: dict[str, dict[bytes, int]] = field(default_factory=lambda: {q: {} for q in QUEUES})
    live: dict[str, set[bytes]] = field(default_factory=lambda: {q: set() for q in QUEUES})
    delivered: dict[str, set[bytes]] = field(default_factory=lambda: {q: set() for q in QUEUES})

    def octets(self) -> int:
        """Size of all files."""
        return sum(map(len, self.contents.values()))

    def is_known(self, queue: str, bad: list[Entry], end: int) -> bool:
        """Whether a start can know of the queue: its definition is intact, or what is left of the definitions shows that one is lost.

        ``end`` is where the definitions end. A torn tail there can only have held those of the newest queues.
        """
        definitions = [entry for entry in self.entries if entry.log == "definitions"]
        mine = [entry for entry in definitions if queue in entry.queues]
        if not any(entry in bad for entry in mine):
            return True
        seen = [entry for entry in definitions if entry in bad and entry.position < end]
        good = [entry for entry in definitions if entry not in bad]
        known = [self.numbers[q] for entry in good for q in entry.queues if q in self.numbers]
        is_damage = bool(seen) and bool(good) and good[-1].position > seen[0].position
        return is_damage or (bool(seen) and self.numbers[queue] > max(known, default=1 << 32))

    def unexcused(self, queue: str, served: Iterable[bytes], bad: list[Entry]) -> list[bytes]:
        """What is served though it was acknowledged, and all its acknowledgements are intact."""
        extra = set(served) - self.live[queue]
        if not extra:
            return []
        number = self.numbers[queue]
        excused = set()
        for entry in self.entries:
            for (n, position), body in entry.messages.items():
                if n == number and body in extra and _is_named(bad, number, position):
                    excused.add(body)
        return sorted(extra - excused)


def _is_named(entries: list[Entry], number: int, position: int) -> bool:
    """Whether one of the entries acknowledges the message."""
    return any(
        queue == number and first <= position <= last
        for entry in entries
        for queue, first, last in entry.acks
    )


class Builder:
    """Drives a broker through what a sample needs."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.sample = Sample()
        self.files = MemoryFiles()
        self._number = 0
        self.start()

    def start(self) -> None:
        """A new life."""
        self.world = World(DIRECTORY, files=self.files, segment_size=SEGMENT, durability="fsync")
        self.peer: Peer = self.world.peer()

    def kill(self) -> None:
        """The end of a life, without a word."""
        self.files.kill()

    def declare(self) -> None:
        """Durable queues, bindings, and a queue that is deleted again."""
        for queue in (*QUEUES, "gone"):
            self.peer.call(methods.QueueDeclare(queue=queue, durable=True))
        for queue in QUEUES[:2]:
            self.peer.call(methods.QueueBind(queue=queue, exchange="amq.fanout"))
        self.peer.publish(b"gone", b"gone", properties=PERSISTENT)
        self.peer.call(methods.QueueDelete(queue="gone"))

    def body(self, queues: Iterable[str]) -> bytes:
        """A new body, noted as published to the queues."""
        self._number += 1
        body = b"%06d:" % self._number + bytes([self._number % 251]) * (
            self._number * 37 % self.size
        )
        for queue in queues:
            self.sample.order[queue][body] = self._number
            self.sample.live[queue].add(body)
        return body

    def publish(self, count: int) -> None:
        """To one queue, or to two at once, in turn."""
        for n in range(count):
            if n % 4 == 3:
                self.peer.publish(b"", self.body(QUEUES[:2]), "amq.fanout", PERSISTENT)
            else:
                queue = QUEUES[n % 4]
                self.peer.publish(queue.encode(), self.body([queue]), properties=PERSISTENT)

    def transaction(self, count: int) -> None:
        """Messages to all queues in one entry."""
        self.peer.call(methods.ChannelOpen(), channel=2)
        self.peer.call(methods.TxSelect(), channel=2)
        for n in range(count):
            queue = QUEUES[n % 3]
            self.peer.publish(queue.encode(), self.body([queue]), properties=PERSISTENT, channel=2)
        self.peer.call(methods.TxCommit(), channel=2)
        self.peer.call(methods.ChannelClose(), channel=2)

    def take(self, queue: str, count: int, keep_each: int) -> None:
        """Get messages; acknowledge all but one of each ``keep_each``, which are given back at the end of the life."""
        for n in range(count):
            self.peer.take()
            self.peer.send(methods.BasicGet(queue=queue))
            found = self.peer.messages()
            if not found:
                return
            answer, body = found[0]
            self.sample.delivered[queue].add(body)
            if n % keep_each:
                self.peer.send(methods.BasicAck(delivery_tag=answer.delivery_tag))
                self.sample.live[queue].discard(body)
        self.world.run_later()

    def snapshot(self) -> None:
        """Take one."""
        self.world.housekeeping.begin(self.world.snapshotter)
        self._work()

    def clean(self) -> None:
        """Move what is live at the beginning, trim."""
        self.world.housekeeping.begin(self.world.cleaner)
        self._work()
        self.world.journal.trim()
        self.world.settle()

    def _work(self) -> None:
        while self.world.housekeeping.step():
            self.world.loop.run()
        self.world.settle()

    def done(self) -> Sample:
        """The sample, as it is on the disk now."""
        sample = self.sample
        queues = self.world.broker.vhosts["/"].queues
        sample.numbers = {queue: queues[queue].queue_id for queue in QUEUES}
        sample.contents = {
            path: bytes(node.data) for path, node in sorted(self.files.names.items())
        }
        sample.entries = entries_of(sample.contents)
        return sample


@cache
def large_sample(*, is_stopped: bool = False) -> Sample:
    """Several segments, snapshots, moved messages, transactions, acknowledgements of all ages. Do not change it."""
    builder = Builder(size=500)
    builder.declare()
    builder.publish(80)
    builder.transaction(9)
    builder.take("a", 42, 21)
    builder.take("b", 42, 20)
    builder.take("c", 22, 11)
    builder.kill()
    builder.start()
    builder.clean()
    builder.publish(20)
    builder.snapshot()
    builder.transaction(6)
    builder.take("c", 3, 9)
    builder.publish(12)
    builder.snapshot()
    builder.publish(24)
    builder.take("b", 4, 3)
    builder.transaction(5)
    builder.publish(4)
    if is_stopped:
        builder.peer.close()
        sample = builder.done()
        builder.world.stop()
        return builder.done()
    sample = builder.done()
    builder.kill()
    return sample


@cache
def small_sample() -> Sample:
    """As little as has all files: for each bit of it. Do not change it."""
    builder = Builder(size=24)
    builder.declare()
    builder.publish(5)
    builder.transaction(3)
    builder.take("a", 1, 9)
    builder.snapshot()
    builder.publish(2)
    builder.take("b", 2, 2)
    sample = builder.done()
    builder.kill()
    return sample
