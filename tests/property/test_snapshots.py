"""Snapshots against a naive model: whatever happens while one is taken, a restart finds every queue as it was.

The broker works over files in memory; it is killed, loses power, or stops in good order, with a snapshot in any state.
"""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.inmemory import Peer, World

QUEUES = (b"a", b"b")
BOTH = b""
# 8, 17 and 53 once failed: blocks of a snapshot that overlapped; a snapshot that could not be read at one start could at the next.
SEEDS = (*range(20), 53)
CRASHES = ("kill", "power", "bad snapshot")
PERSISTENT = BasicProperties(delivery_mode=2)


class SnapshotMachine(RuleBasedStateMachine):
    """The model: per queue its messages in order, each with whether it was delivered; ``held`` by delivery tag."""

    def __init__(self) -> None:
        super().__init__()
        self.files = MemoryFiles()
        self.number = 0
        self.queues: dict[bytes, dict[bytes, bool]] = {queue: {} for queue in QUEUES}
        self.transient: set[bytes] = set()
        self.held: dict[int, tuple[bytes, bytes]] = {}
        self.is_exact = False
        self.moved = 0

    @initialize()
    def begin(self) -> None:
        self.start()
        for queue in QUEUES:
            name = queue.decode()
            self.peer.call(methods.QueueDeclare(queue=name, durable=True))
            self.peer.call(methods.QueueBind(queue=name, exchange="amq.fanout"))

    def start(self) -> None:
        self.world = World(
            "/data",
            files=self.files,
            durability="fsync",
            segment_size=4096,
            memory_max=1,
            ring_max=16,
            slice_entries=5,
        )
        # Whatever was trimmed since a snapshot was settled or moved, and the log says so.
        assert self.world.lost == 0
        self.peer: Peer = self.world.peer()
        self.peer.call(methods.ConfirmSelect())
        self.held = {}

    @rule(
        queue=st.sampled_from((*QUEUES, BOTH)),
        count=st.integers(1, 30),
        is_persistent=st.booleans(),
        size=st.integers(0, 900),
    )
    def publish(self, queue: bytes, count: int, is_persistent: bool, size: int) -> None:
        exchange = "amq.fanout" if queue == BOTH else ""
        properties = PERSISTENT if is_persistent else None
        for _ in range(count):
            self.number += 1
            name = b"%08d" % self.number
            self.peer.publish(queue, name + bytes(size), exchange, properties)
            for target in QUEUES if queue == BOTH else (queue,):
                self.queues[target][name] = False
            if not is_persistent:
                self.transient.add(name)

    @rule(queue=st.sampled_from(QUEUES), count=st.integers(1, 20))
    def get(self, queue: bytes, count: int) -> None:
        for _ in range(count):
            self.get_one(queue)

    def get_one(self, queue: bytes) -> bool:
        self.peer.take()
        self.peer.send(methods.BasicGet(queue=queue.decode()))
        found = self.peer.messages()
        held = {name for holder, name in self.held.values() if holder == queue}
        waiting = [name for name in self.queues[queue] if name not in held]
        if not found:
            assert not waiting
            return False
        answer, body = found[0]
        assert body[:8] == waiting[0]
        was_delivered = self.queues[queue][waiting[0]]
        assert answer.redelivered == was_delivered or (answer.redelivered and not self.is_exact)
        self.queues[queue][waiting[0]] = True
        self.held[answer.delivery_tag] = (queue, waiting[0])
        return True

    @rule(pick=st.integers(0, 1000), count=st.integers(1, 20), is_ack=st.booleans())
    def settle_some(self, pick: int, count: int, is_ack: bool) -> None:
        for _ in range(min(count, len(self.held))):
            tag = sorted(self.held)[pick % len(self.held)]
            queue, name = self.held.pop(tag)
            if is_ack:
                self.peer.send(methods.BasicAck(delivery_tag=tag))
                del self.queues[queue][name]
            else:
                self.peer.send(methods.BasicReject(delivery_tag=tag, requeue=True))

    @rule(queue=st.sampled_from(QUEUES))
    def purge(self, queue: bytes) -> None:
        self.peer.call(methods.QueuePurge(queue=queue.decode()))
        held = {name for holder, name in self.held.values() if holder == queue}
        self.queues[queue] = {n: d for n, d in self.queues[queue].items() if n in held}

    @rule(is_snapshot=st.booleans())
    def begin_chore(self, is_snapshot: bool) -> None:
        if self.world.housekeeping.is_idle:
            chore = self.world.snapshotter if is_snapshot else self.world.cleaner
            self.world.housekeeping.begin(chore)

    @rule(count=st.integers(1, 8))
    def step(self, count: int) -> None:
        while count and self.world.housekeeping.step():
            self.world.settle()
            count -= 1
        self.world.settle()

    @rule(is_snapshot=st.booleans())
    def whole_chore(self, is_snapshot: bool) -> None:
        """From beginning to end; segments that became free go."""
        self.begin_chore(is_snapshot)
        while self.world.housekeeping.step():
            self.world.settle()
        self.world.settle()
        self.moved += self.world.cleaner.octets_moved
        self.world.journal.trim()

    @rule()
    def trim(self) -> None:
        self.world.journal.trim()

    @rule(seed=st.integers(0, 1 << 20), how=st.sampled_from(CRASHES))
    def crash(self, seed: int, how: str) -> None:
        # Acknowledgements are not answered; here they are on disk, so that the model is exact.
        self.world.run_later()
        choice = random.Random(seed)
        self.files = self.files.crash(choice) if how == "power" else self.files.kill()
        if how == "bad snapshot":
            self.spoil(choice)
        self.forget_transient()
        self.start()
        self.check_all(is_exact=False)

    def spoil(self, choice: random.Random) -> None:
        """Flip a bit of the newest snapshot."""
        names = [name for name in self.files.list("/data/snapshots") if name.endswith(".snap")]
        if names:
            content = self.files.names[f"/data/snapshots/{names[-1]}"].data
            content[choice.randrange(len(content))] ^= 1 << choice.randrange(8)

    @rule()
    def stop(self) -> None:
        self.peer.close()
        self.world.stop()
        self.forget_transient()
        self.start()
        assert self.world.journal.snapshot.is_final
        self.check_all(is_exact=True)

    def forget_transient(self) -> None:
        for queue in QUEUES:
            self.queues[queue] = {
                n: d for n, d in self.queues[queue].items() if n not in self.transient
            }

    def check_all(self, *, is_exact: bool) -> None:
        """Every queue has what the model has, in order; flags are exact after an orderly stop."""
        self.is_exact = is_exact
        for queue in QUEUES:
            while self.get_one(queue):
                pass
        self.is_exact = False
        self.peer.send(methods.BasicNack(delivery_tag=0, multiple=True, requeue=True))
        self.held = {}

    @invariant()
    def nobody_complains(self) -> None:
        if hasattr(self, "world"):
            assert not self.world.journal.has_failed
            assert self.world.dispatcher.damaged_records == 0
            assert not self.peer.is_closed


SnapshotMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestSnapshots = SnapshotMachine.TestCase


def drive(seed: int, steps: int = 300) -> SnapshotMachine:
    """A long run with few old messages under many short-lived ones: the cleaner has work."""
    choice = random.Random(seed)
    machine = SnapshotMachine()
    machine.begin()
    for _ in range(steps):
        # The first queue is slow: its messages are old when the other's are long gone.
        queue = choice.choices(QUEUES, (1, 6))[0]
        action = choice.choices(range(9), (20, 20, 20, 3, 3, 12, 12, 4, 2))[0]
        if action == 0:
            queue = BOTH if choice.random() < 0.3 else queue
            machine.publish(
                queue, choice.randint(1, 12), choice.random() < 0.9, choice.randint(0, 900)
            )
        elif action == 1:
            machine.get(queue, choice.randint(1, 20))
        elif action == 2:
            machine.settle_some(
                choice.randint(0, 1000), choice.randint(1, 12), choice.random() < 0.9
            )
        elif action == 3:
            if choice.random() < 0.3:
                machine.purge(queue)
        elif action == 4:
            machine.begin_chore(choice.random() < 0.5)
        elif action == 5:
            machine.step(choice.randint(1, 8))
        elif action == 6:
            machine.whole_chore(choice.random() < 0.4)
        elif action == 7:
            machine.crash(choice.randint(0, 1 << 20), choice.choice(CRASHES))
        else:
            machine.stop()
        machine.nobody_complains()
    return machine


def test_old_messages_are_moved_and_nothing_is_lost() -> None:
    moved = 0
    for seed in SEEDS:
        try:
            moved += drive(seed).moved > 0
        except BaseException:
            print(f"seed {seed}")
            raise
    assert moved > len(SEEDS) // 2, "the cleaner had nothing to do"
