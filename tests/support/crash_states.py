"""A crash at every I/O operation of a recorded load of the whole broker, in every state that it may leave (C5; P1 to P10).

`Explorer` opens each state with a fresh broker and compares what is there with what the clients of the load knew. Equal states
are opened once, and compared with what was known at each of their moments. The opening of some is recorded in its turn: a
crash during recovery, and during that crash's recovery.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from posthouse.testing.files import MemoryFiles
from posthouse.testing.medium import DROPPED, Medium, Tree
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.crash_facts import Facts, Found, Message, Seen
from tests.support.crash_load import Load
from tests.support.crash_world import eager_rewrites, small_world
from tests.support.inmemory import Peer, World
from tests.support.recorded_disk import Recorder, outcomes
from tests.torture.campaign import Campaign

PERSISTENT = BasicProperties(delivery_mode=2)
NEW = b"new after the crash"
# How many openings are recorded in their turn, of the load's states; of the states of each of these, one more.
OPENINGS = 12
# Outcomes of one moment of a recorded opening that are tried.
SAMPLE = 16
STEPS = 120


class _Errors(logging.Handler):
    """Keeps what the broker calls an error: after a power cut there is none."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@contextmanager
def heard() -> Iterator[list[str]]:
    """What the broker says of errors; nothing is printed."""
    handler = _Errors()
    logger = logging.getLogger("posthouse")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield handler.texts
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


class Observer:
    """Opens a state and says what is there; ``messages`` are those that were published, by number."""

    def __init__(self, messages: Mapping[int, Message], seed: int) -> None:
        self._messages = messages
        self._seed = seed

    def see(self, files: MemoryFiles, *, is_used: bool) -> Seen:
        """Open; if ``is_used``, publish, stop, and open what a power cut leaves then, too."""
        seen = Seen()
        with heard() as errors:
            try:
                world, peer = self._open(files, seen)
                if is_used:
                    self._use(world, peer, files, seen)
            except Exception as error:  # whatever it is, it must not be
                seen.problems.append(f"{type(error).__name__}: {error}")
            seen.problems += errors
        return seen

    def _open(self, files: MemoryFiles, seen: Seen) -> tuple[World, Peer]:
        world = small_world(files, self._seed)
        for name, report in world.journal.reports.items():
            if report.damaged:
                seen.problems.append(f"damage in {name}: {report.damaged}")
        vhost = world.broker.vhosts["/"]
        for exchange in vhost.exchanges.values():
            if exchange.name and not exchange.name.startswith("amq."):
                seen.definitions.add(("exchange", exchange.name))
            if exchange.name:
                for binding in exchange.bindings.values():
                    key = binding.key.decode()
                    seen.definitions.add(("binding", exchange.name, binding.destination, key))
        peer = world.peer()
        for name in vhost.queues:
            seen.definitions.add(("queue", name))
            seen.queues[name] = self._read(peer, name, seen)
        return world, peer

    def _read(self, peer: Peer, queue: str, seen: Seen) -> list[Found]:
        peer.take()
        peer.send(methods.BasicConsume(queue=queue, consumer_tag=queue))
        found = []
        for delivery, body in peer.messages():
            if body == NEW:
                continue
            number = int(body.partition(b":")[0])
            if body != self._messages[number].body:
                seen.problems.append(f"{queue}: message {number} has another body")
            found.append((number, bool(delivery.redelivered)))
        return found

    def _use(self, world: World, peer: Peer, files: MemoryFiles, seen: Seen) -> None:
        """It works, and keeps what it had."""
        publisher = world.peer()
        publisher.call(methods.ConfirmSelect())
        for queue in seen.queues:
            publisher.take()
            publisher.publish(queue.encode(), NEW, properties=PERSISTENT)
            assert isinstance(publisher.last(), methods.BasicAck), "no confirm"
            assert [body for _, body in peer.messages()] == [NEW], "no delivery"
        world.stop()
        again = Seen()
        copy = MemoryFiles.of(files.medium().survivor([DROPPED] * len(files.medium().pending)))
        _, peer = self._open(copy, again)
        seen.problems += again.problems
        for queue, found in seen.queues.items():
            kept = [(number, True) for number, _ in found]
            if again.queues.get(queue) != kept:
                seen.problems.append(f"{queue} was {found}, and after a stop {again.queues}")
        if again.definitions != seen.definitions:
            seen.problems.append("the definitions differ after a stop")


class Explorer:
    """Tries the states of one load.

    Args:
        used_every: each so many-th distinct state is worked with, not only read.

    Attributes:
        figures: operations, states, distinct ones, openings.
    """

    def __init__(self, load: Load, *, used_every: int = 1) -> None:
        self._facts: Facts = load.facts
        self._points = load.recorder.points
        self._seed = load.seed
        self._choice = random.Random(load.seed)
        self._observer = Observer(load.facts.messages, load.seed)
        self._used_every = used_every
        self._seen: dict[int, Seen] = {}
        self.figures: Counter[str] = Counter()

    def run(self) -> None:
        """Try everything.

        Raises:
            AssertionError: a state breaks a promise.
        """
        count = len(self._points)
        recorded = set(self._choice.sample(range(count), min(OPENINGS, count)))
        for moment, medium in enumerate(self._points):
            trees = self._distinct(medium)
            for tree in trees:
                self._try(moment, tree, f"after operation {moment}")
            if moment in recorded:
                self._try_opening(moment, self._choice.choice(trees), 1)
        self.figures["operations"] = count - 1

    def _distinct(self, medium: Medium) -> list[Tree]:
        found: dict[int, Tree] = {}
        for tree in outcomes(medium, self._choice):
            found.setdefault(_key(tree), tree)
        return list(found.values())

    def _try(self, moment: int, tree: Tree, where: str) -> None:
        key = _key(tree)
        seen = self._seen.get(key)
        if seen is None:
            is_used = len(self._seen) % self._used_every == 0
            seen = self._observer.see(MemoryFiles.of(tree), is_used=is_used)
            self._seen[key] = seen
            self.figures["states_distinct"] += 1
        self.figures["states"] += 1
        wrong = self._facts.violations(moment, seen)
        assert not wrong, f"seed {self._seed}, crash {where}:\n" + "\n".join(wrong[:20])

    def _try_opening(self, moment: int, tree: Tree, depth: int) -> None:
        """Crash at each operation of the opening of ``tree``: nothing was promised since."""
        files = MemoryFiles.of(tree)
        recorder = Recorder(files)
        with heard():
            small_world(files, self._seed)
        self.figures["openings_recorded"] += 1
        again = self._choice.randrange(len(recorder.points)) if depth == 1 else -1
        for n, medium in enumerate(recorder.points):
            trees = self._distinct(medium)
            for state in self._choice.sample(trees, min(SAMPLE, len(trees))):
                where = (
                    f"after operation {n} of an opening (depth {depth}) after operation {moment}"
                )
                self._try(moment, state, where)
            if n == again:
                self._try_opening(moment, self._choice.choice(trees), depth + 1)
        self.figures["operations_of_openings"] += len(recorder.points) - 1


def _key(tree: Tree) -> int:
    return hash((tree.directories, frozenset(tree.contents.items())))


def run(
    seed: int, *, steps: int = STEPS, used_every: int = 1, files: MemoryFiles | None = None
) -> Mapping[str, float]:
    """One load, on ``files`` if they are given, with all its crashes.

    Raises:
        AssertionError: a state breaks a promise.
    """
    with eager_rewrites(), heard() as errors:
        load = Load(seed, files)
        load.run(steps)
        assert not errors, errors
        explorer = Explorer(load, used_every=used_every)
        explorer.run()
    return {**explorer.figures, **load.figures, "messages": len(load.facts.messages)}


CAMPAIGN = Campaign(
    name="crash-states",
    what="a crash at every I/O operation of a load, unsynced writes kept, dropped or torn (C5; P1-P10)",
    units=800,
    run=run,
    batch=5,
)
