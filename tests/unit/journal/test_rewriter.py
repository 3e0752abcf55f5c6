"""Definitions that are written anew while they change: whenever a crash comes, they are what was committed."""

from __future__ import annotations

import random

import pytest

from posthouse.journal.rewriter import Rewriter
from posthouse.journal.table import DEAD_MIN, Table
from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from tests.support.inmemory import World
from tests.support.journals import Store

LIVE = 40
OCTETS_A_CHANGE = 250
DIRECTORY = "/data/definitions"


def rows(table: Table) -> dict[tuple[str, ...], int]:
    return {key: value["n"] for key, value in table.items("row")}


def octets(files: MemoryFiles) -> int:
    return sum(len(files.read(f"{DIRECTORY}/{name}")) for name in files.list(DIRECTORY))


def mostly_dead() -> tuple[MemoryFiles, Store]:
    """A store with some rows, and the many changes of one row behind them."""
    files = MemoryFiles()
    store = Store(files).open()
    for number in range(LIVE):
        store.journal.table.put("row", (f"r{number}",), {"n": number})
    for number in range(DEAD_MIN + 1):
        store.journal.table.put("row", ("r0",), {"n": number})
    store.journal.commit()
    store.step.stop()
    return files, store


@pytest.mark.parametrize("seed", range(5))
def test_a_crash_at_any_time_leaves_what_was_committed(seed: int) -> None:
    choice = random.Random(seed)
    files, store = mostly_dead()
    table = store.journal.table
    rewriter = Rewriter(store.journal, commit=store.journal.commit, slice_rows=7)
    assert rewriter.is_due()
    before = octets(files)
    rewriter.begin()
    assert not rewriter.is_due()
    goes_on = True
    tried = 0
    while goes_on:
        durable = rows(table)
        goes_on = rewriter.step()
        for _ in range(3):
            number = choice.randrange(LIVE + 10)
            if choice.random() < 0.5:
                table.remove("row", (f"r{number}",))
            else:
                table.put("row", (f"r{number}",), {"n": choice.randrange(1000)})
        store.journal.commit()
        for do in (store.step.write, store.step.sync):
            do()
            for crash in range(4):
                copy = files.crash(random.Random(crash))
                found = rows(Store(copy).open().journal.table)
                assert found == rows(table) or do == store.step.write
                if do == store.step.write:
                    # Some of what was written and not synced may be there: each row is as before or as now.
                    now = rows(table)
                    for key in {*found, *durable, *now}:
                        assert found.get(key) in (durable.get(key), now.get(key))
                tried += 1
    assert tried > 40
    assert rewriter.rewritten == 1
    assert octets(files) < before / 5
    assert table.live() <= table.changes < table.live() + 3 * tried
    assert not rewriter.is_due()


def test_nothing_is_due_while_the_disk_is_full_or_nothing_is_kept() -> None:
    _, store = mostly_dead()
    rewriter = Rewriter(store.journal, commit=store.journal.commit)
    store.journal.is_full = True
    assert not rewriter.is_due()
    store.journal.is_full = False
    assert rewriter.is_due()
    world = World()
    for number in range(2 * DEAD_MIN):
        world.journal.table.put("row", ("r",), {"n": number})
    assert not Rewriter(world.journal, commit=world.tick.commit).is_due()


def test_a_node_that_makes_and_deletes_queues_keeps_its_definitions_short() -> None:
    files = MemoryFiles()
    world = World("/data", files=files, durability="fsync")
    world.node.listen()
    peer = world.peer()
    peer.call(methods.QueueDeclare(queue="stays", durable=True))
    most = 0
    for number in range(3 * DEAD_MIN):
        peer.call(methods.QueueDeclare(queue=f"q{number}", durable=True))
        peer.call(methods.QueueDelete(queue=f"q{number}"))
        if number % 100 == 0:
            world.loop.advance(1.5)
            most = max(most, octets(files))
    # 6,000 changes in all; at most those that make it due, and those of a second and a half.
    assert most < 2 * DEAD_MIN * OCTETS_A_CHANGE
    world.loop.advance(5.0)
    again = World("/data", files=files.kill())
    assert list(again.broker.vhosts["/"].queues) == ["stays"]
