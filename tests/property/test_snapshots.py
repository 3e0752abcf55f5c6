"""Snapshots against a naive model: whatever happens while one is taken, a restart finds every queue as it was.

The broker works over files in memory; it is killed, loses power, or stops in good order, with a snapshot in any state.
"""

from __future__ import annotations

import random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.inmemory import Peer, World

QUEUES = (b"a", b"b")
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

    @initialize()
    def begin(self) -> None:
        self.start()
        for queue in QUEUES:
            self.peer.call(methods.QueueDeclare(queue=queue.decode(), durable=True))

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
        self.peer: Peer = self.world.peer()
        self.peer.call(methods.ConfirmSelect())
        self.held = {}

    @rule(
        queue=st.sampled_from(QUEUES),
        count=st.integers(1, 30),
        is_persistent=st.booleans(),
        size=st.integers(0, 900),
    )
    def publish(self, queue: bytes, count: int, is_persistent: bool, size: int) -> None:
        for _ in range(count):
            self.number += 1
            name = b"%08d" % self.number
            self.peer.publish(
                queue, name + bytes(size), properties=PERSISTENT if is_persistent else None
            )
            self.queues[queue][name] = False
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
        held = {name for _, name in self.held.values()}
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

    @rule(data=st.data(), count=st.integers(1, 20), is_ack=st.booleans())
    def settle_some(self, data: st.DataObject, count: int, is_ack: bool) -> None:
        for _ in range(min(count, len(self.held))):
            tag = data.draw(st.sampled_from(sorted(self.held)))
            queue, name = self.held.pop(tag)
            method: Any = methods.BasicAck if is_ack else methods.BasicReject
            self.peer.send(method(delivery_tag=tag, **({} if is_ack else {"requeue": True})))
            if is_ack:
                del self.queues[queue][name]

    @rule(queue=st.sampled_from(QUEUES))
    def purge(self, queue: bytes) -> None:
        self.peer.call(methods.QueuePurge(queue=queue.decode()))
        held = {name for _, name in self.held.values()}
        self.queues[queue] = {n: d for n, d in self.queues[queue].items() if n in held}

    @rule()
    def begin_snapshot(self) -> None:
        if self.world.snapshotter._slices is None:
            self.world.snapshotter.begin()

    @rule(count=st.integers(1, 8))
    def step(self, count: int) -> None:
        while count and self.world.snapshotter.step():
            count -= 1
        self.world.settle()

    @rule()
    def whole_snapshot(self) -> None:
        self.begin_snapshot()
        while self.world.snapshotter.step():
            pass
        self.world.settle()

    @rule()
    def trim(self) -> None:
        self.world.journal.trim()

    @rule(data=st.data(), how=st.sampled_from(("kill", "power", "bad snapshot")))
    def crash(self, data: st.DataObject, how: str) -> None:
        # Acknowledgements are not answered; here they are on disk, so that the model is exact.
        self.world.loop.run_later()
        if how == "power":
            self.files = self.files.crash(random.Random(data.draw(st.integers(0, 1 << 20))))
        else:
            self.files = self.files.kill()
        if how == "bad snapshot":
            self.spoil(data)
        self.forget_transient()
        self.start()
        self.check_all(is_exact=False)

    def spoil(self, data: st.DataObject) -> None:
        """Flip an octet of the newest snapshot."""
        names = [name for name in self.files.list("/data/snapshots") if name.endswith(".snap")]
        if names:
            content = self.files.names[f"/data/snapshots/{names[-1]}"].data
            content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(
                st.integers(0, 7)
            )

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
