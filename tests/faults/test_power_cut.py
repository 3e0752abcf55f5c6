"""Power cuts (P9): what was confirmed is there when the machine comes back, on nodes that are seconds old, too.

The real one is in `tests.support.powercut`: an ext4 image mounted by loop, copied at a random moment. It needs a machine that mounts
images; where that is missing the same promises are tested over the file layer in memory, which is here as well and always runs.
`python -m tests.torture powercut` does fifty cuts.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest

from posthouse.core.errors import StorageError
from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.inmemory import Peer, World
from tests.support.loopdisk import LoopDisk, require_loop_disk
from tests.support.powercut import reports_of

PERSISTENT = BasicProperties(delivery_mode=2)
QUEUES = ("a", "b", "c")


@pytest.fixture(scope="module")
def loop_disk() -> None:
    """Where this skips, `test_power_cut_in_memory` tests the same promises."""
    require_loop_disk()


@pytest.mark.slow
@pytest.mark.usefixtures("loop_disk")
def test_a_cut_takes_what_was_not_synced_and_nothing_else() -> None:
    """The disk itself: otherwise the tests below would prove nothing."""
    with LoopDisk() as disk:
        synced, unsynced = disk.mount_point / "synced", disk.mount_point / "unsynced"
        with synced.open("wb") as file:
            file.write(b"kept" * 1000)
            os.fsync(file.fileno())
        unsynced.write_bytes(b"gone" * 1000)
        disk.replace(disk.cut())
        assert synced.read_bytes() == b"kept" * 1000
        assert not unsynced.exists() or unsynced.read_bytes() == b""


@pytest.mark.slow
@pytest.mark.usefixtures("loop_disk")
@pytest.mark.parametrize(("kind", "seed"), [("continuing", 100), ("young", 101)])
def test_power_cuts_take_nothing_that_was_confirmed(kind: str, seed: int) -> None:
    reports = reports_of(seed, 3)
    for report in reports:
        print(json.dumps(report))
        assert report["clean"], report
    if kind == "continuing":
        # There was something to lose.
        assert reports[0]["confirmed"] > 1000
        assert reports[0]["committed_in_tx"] > 20
        assert reports[0]["moved"] > 20
        assert reports[0]["defined"] > 10


@pytest.mark.slow
@pytest.mark.usefixtures("loop_disk")
def test_the_power_cut_sees_confirms_before_the_sync() -> None:
    """The control: with ``durability = os`` a confirm says only that the kernel has it."""
    found: list[dict[str, Any]] = []
    for seed in (102, 104, 106):
        found += reports_of(seed, 1, durability="os")
        if found[-1]["lost"]:
            return
    pytest.fail(f"no cut lost anything: {found}")


# ---- in memory


class Load:
    """Publishes with confirms to three queues and takes from them, until the disk fails at a call given by ``choice``."""

    def __init__(self, files: MemoryFiles, durability: str, choice: random.Random) -> None:
        self.sent: dict[str, list[bytes]] = {queue: [] for queue in QUEUES}
        self.confirmed: set[bytes] = set()
        self.acked: set[bytes] = set()
        self.declared: list[str] = []
        world = World("/data", files=files, durability=durability, segment_size=8192)
        peer = world.peer()
        peer.call(methods.ConfirmSelect())
        files.fail_at(choice.randrange(400))
        tags: dict[int, bytes] = {}
        for n in range(300):
            queue = choice.choice(QUEUES)
            if queue not in self.declared:
                peer.take()
                peer.send(methods.QueueDeclare(queue=queue, durable=True))
                if not any(isinstance(m, methods.QueueDeclareOk) for m in peer.take()):
                    return
                self.declared.append(queue)
            body = f"{queue} {n} ".encode() + bytes([n % 251]) * choice.randrange(1500)
            self.sent[queue].append(body)
            tags[len(tags) + 1] = body
            peer.publish(queue.encode(), body, properties=PERSISTENT)
            # After a failure everybody is closed at once; what was confirmed before it counts.
            if choice.random() < 0.3 and not world.journal.has_failed:
                self.take(peer, queue, tags)
            self.note(peer, tags)
            if choice.random() < 0.05:
                world.housekeeping.check()
                while world.housekeeping.step():
                    world.loop.run()
                world.journal.trim()
            if world.journal.has_failed:
                return

    def note(self, peer: Peer, tags: dict[int, bytes]) -> None:
        """Confirms come in order, so one means all before it."""
        for item in peer.take():
            if isinstance(item, methods.BasicAck):
                self.confirmed.update(tags[tag] for tag in range(1, item.delivery_tag + 1))

    def take(self, peer: Peer, queue: str, tags: dict[int, bytes]) -> None:
        self.note(peer, tags)
        peer.send(methods.BasicGet(queue=queue))
        received = list(peer.received)
        for got, body in peer.messages():
            if isinstance(got, methods.BasicGetOk):
                self.acked.add(body)
                peer.send(methods.BasicAck(delivery_tag=got.delivery_tag))
        peer.received[:0] = [item for item in received if isinstance(item[1], methods.BasicAck)]


def lost_in_memory(seed: int, durability: str) -> int:
    """Cut the power at some I/O call; how many confirmed messages are lost. Order and bodies are right in any case."""
    choice = random.Random(seed)
    files = MemoryFiles()
    load = Load(files, durability, choice)
    try:
        world = World("/data", files=files.crash(choice), segment_size=8192)
    except StorageError:
        # Nothing is left of the definitions: all is lost until somebody brings them back.
        assert durability == "os"
        return len(load.confirmed - load.acked)
    peer = world.peer()
    lost = 0
    for queue in load.declared:
        if queue not in [key[1] for key, _ in world.journal.table.items("queue")]:
            assert durability == "os", f"{queue} was declared"
            lost += len(load.confirmed.intersection(load.sent[queue]))
            continue
        found = peer.drain(queue)
        expected = iter(load.sent[queue])
        assert all(body in expected for body in found), f"{queue}: order, or a wrong body"
        wanted = load.confirmed.intersection(load.sent[queue]) - load.acked
        lost += len(wanted.difference(found))
    return lost


@pytest.mark.slow
def test_power_cut_in_memory() -> None:
    for seed in range(60):
        assert lost_in_memory(seed, "fsync") == 0, f"seed {seed}"


@pytest.mark.slow
def test_power_cut_in_memory_sees_confirms_before_the_sync() -> None:
    assert sum(lost_in_memory(seed, "os") > 0 for seed in range(10)) > 5
