"""Blocks that leave memory, through a real journal over the memory disk."""

from __future__ import annotations

import errno

import pytest

from posthouse.journal.block import BlockTable, LogBuffer
from posthouse.journal.local.committer import InlineCommitter
from posthouse.journal.local.journal import LocalJournal
from posthouse.testing.files import MemoryFiles

BODY = 60_000
RECORD = 24 + 6


class Store:
    """A journal whose blocks may take a megabyte and a half of memory."""

    def __init__(self, memory_max: int = 3 << 19) -> None:
        self.files = MemoryFiles()
        self.blocks = BlockTable(memory_max)
        self.journal = LocalJournal(
            self.files, "d", self.blocks, lambda call: call(), InlineCommitter
        )
        self.journal.open("test")
        list(self.journal.recover())
        assert self.journal.shard is not None
        self.shard = self.journal.shard
        self.transient = LogBuffer(self.blocks, False)

    def put(self, log: LogBuffer, number: int) -> tuple[int, int]:
        """Append a message; returns its block and offset, with a reference held."""
        offset = log.append_message(1, b"\0\1q", b"\0\0", bytes([number & 255]) * BODY, b"")
        block = log.current
        assert block is not None
        block.refs += 1
        return block.id, offset

    def body(self, place: tuple[int, int]) -> bytes:
        block = self.blocks.blocks[place[0]]
        if not block.is_whole:
            assert self.blocks.bring(block, place[1])
        start = place[1] + 24 + 3 + 2
        return bytes(block.data[start : start + BODY])

    def out(self) -> int:
        return sum(b.is_out for b in self.blocks.blocks if b is not None)


@pytest.fixture
def store() -> Store:
    return Store()


def fill(store: Store, log: LogBuffer, count: int) -> list[tuple[int, int]]:
    places = []
    for number in range(count):
        places.append(store.put(log, number))
        if number % 5 == 0:
            store.journal.commit()
    store.journal.commit()
    return places


@pytest.mark.parametrize("durable", [True, False])
def test_a_deep_backlog_leaves_memory_and_is_read_back_whole(store: Store, durable: bool) -> None:
    places = fill(store, store.shard if durable else store.transient, 400)
    assert store.out() > 8
    assert store.blocks.bytes_live < 12 << 20
    assert (not store.files.list("d/pages")) == durable
    for number, place in enumerate(places):
        assert store.body(place) == bytes([number & 255]) * BODY
        store.blocks.release(store.blocks.blocks[place[0]])
    assert store.files.list("d/pages") == []
    assert store.blocks.bytes_live <= 3 << 20  # the blocks that the three logs append to


def test_pinned_blocks_stay(store: Store) -> None:
    place = store.put(store.transient, 7)
    block = store.blocks.blocks[place[0]]
    store.blocks.pin(block)
    fill(store, store.transient, 400)
    assert not block.is_out
    store.blocks.unpin(block)
    fill(store, store.transient, 40)
    assert store.body(place) == bytes([7]) * BODY


def test_a_full_disk_keeps_messages_in_memory(store: Store) -> None:
    store.files.fail_at(0, errno.ENOSPC)
    places = fill(store, store.transient, 200)
    for number, place in enumerate(places):
        assert store.body(place) == bytes([number & 255]) * BODY


def test_damage_costs_the_messages_of_one_entry(store: Store) -> None:
    places = fill(store, store.shard, 400)
    damaged = next(b for b in store.blocks.blocks if b is not None and b.is_out and b.is_durable)
    path = next(p for p in store.files.names if "shard" in p and p.endswith(".seg"))
    store.files.names[path].data[damaged.base + 2000] ^= 1
    readable = [store.blocks.bring(store.blocks.blocks[b], at) for b, at in places]
    # an entry here has at most five messages
    assert 1 <= readable.count(False) <= 5
    for number, (place, is_good) in enumerate(zip(places, readable, strict=True)):
        if is_good:
            assert store.body(place) == bytes([number & 255]) * BODY
    assert store.journal.reports["shard"].damaged
    assert any(p.endswith(".damaged") for p in store.files.names)


def test_a_new_start_empties_the_pages(store: Store) -> None:
    fill(store, store.transient, 400)
    assert store.files.list("d/pages")
    store.journal.stop()
    again = LocalJournal(store.files, "d", BlockTable(), lambda call: call(), InlineCommitter)
    again.open("again")
    assert store.files.list("d/pages") == []
