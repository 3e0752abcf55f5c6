"""A full disk (P13): nothing confirmed is lost, consumers go on, and publishers do when there is space again, without a restart."""

from __future__ import annotations

import os
import random

import pytest

from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.full_disk import fill_often
from tests.support.inmemory import Peer, World
from tests.support.nodes import lacks

PERSISTENT = BasicProperties(delivery_mode=2)
RESERVE = 4096
ROUNDS = int(os.environ.get("POSTHOUSE_FULL_DISK", "2"))


def confirmed_tags(peer: Peer) -> int:
    """The highest tag confirmed among what was received."""
    acks = [m.delivery_tag for m in peer.take() if isinstance(m, methods.BasicAck)]
    return max(acks, default=0)


@pytest.mark.parametrize("seed", range(8))
def test_commits_wait_for_space_and_lose_nothing(seed: int) -> None:
    choice = random.Random(seed)
    files = MemoryFiles()
    world = World("/data", files=files, durability="fsync", segment_size=8192, reserve_size=RESERVE)
    peer = world.peer()
    peer.call(methods.QueueDeclare(queue="q", durable=True))
    peer.call(methods.QueueDeclare(queue="other", durable=True))
    peer.publish(b"other", b"old", properties=PERSISTENT)
    peer.call(methods.ConfirmSelect())
    peer.take()
    files.capacity = files.used() + choice.randint(20_000, 40_000)
    sent: list[bytes] = []
    confirmed = 0
    while confirmed == len(sent) and len(sent) < 200:
        sent.append(b"%06d" % len(sent) + bytes(choice.randint(0, 1500)))
        peer.publish(b"q", sent[-1], properties=PERSISTENT)
        world.settle()
        confirmed = max(confirmed, confirmed_tags(peer))
    assert confirmed < len(sent)
    assert world.journal.is_full
    assert not world.journal.has_failed
    # What is confirmed survives a crash now; the rest may be there or not, in order and whole.
    crashed = files.crash(choice)
    crashed.capacity = 1 << 62
    survivor = World("/data", files=crashed, segment_size=8192)
    found = survivor.peer().drain("q")
    assert found == sent[: len(found)]
    assert len(found) >= confirmed
    # Space comes back.
    files.capacity += 1 << 20
    world.journal._committer.retry()
    world.settle()
    assert max(confirmed, confirmed_tags(peer)) == len(sent)
    world.journal.check_space()
    assert not world.journal.is_full
    assert peer.drain("q") == sent
    world.stop()


def test_acknowledgements_go_on_with_the_reserve() -> None:
    files = MemoryFiles()
    world = World("/data", files=files, segment_size=8192, reserve_size=RESERVE)
    peer = world.peer()
    peer.call(methods.QueueDeclare(queue="q", durable=True))
    for n in range(10):
        peer.publish(b"q", b"%d" % n, properties=PERSISTENT)
    files.capacity = files.used()
    for _ in range(10):
        peer.send(methods.BasicGet(queue="q"))
        answer, _ = peer.messages()[-1]
        peer.send(methods.BasicAck(delivery_tag=answer.delivery_tag))
        world.run_later()
    assert world.journal.is_full
    again = World("/data", files=files.kill(), segment_size=8192)
    assert again.peer().drain("q") == []


def test_a_sync_that_says_no_space_is_final() -> None:
    """The kernel may have dropped what it could not write: only a write may be tried again (P12)."""
    files = MemoryFiles()
    world = World("/data", files=files, durability="fsync")
    peer = world.peer()
    peer.call(methods.QueueDeclare(queue="q", durable=True))
    peer.call(methods.ConfirmSelect())
    peer.take()
    failures: list[OSError] = []
    world.journal.on_failed = failures.append
    files.fail_at(1, 28)  # the append passes, the sync fails
    peer.publish(b"q", b"x", properties=PERSISTENT)
    world.settle()
    assert [error.errno for error in failures] == [28]
    assert confirmed_tags(peer) == 0


@pytest.mark.slow
@pytest.mark.timeout(60 + 30 * ROUNDS)
def test_a_real_disk_fills_and_empties() -> None:
    if os.geteuid() != 0:
        lacks("root and mount: the tests above look at the same promise in memory")
    figures = fill_often(ROUNDS)
    assert figures["fills"] == ROUNDS
    assert figures["confirmed"] > 20 * ROUNDS
