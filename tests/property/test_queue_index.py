"""The queue index against a list that is kept sorted."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from posthouse.broker.index import QueueIndex
from posthouse.journal.block import Block

Entry = tuple[int, int, int, int]
WORD = st.integers(0, 2**32 - 1)


class Shelf:
    """Pages in a dictionary; refuses every third one, as a full disk would."""

    def __init__(self) -> None:
        self.kept: dict[int, bytes] = {}
        self.asked = 0

    def keep(self, data: memoryview) -> int:
        self.asked += 1
        if self.asked % 3 == 0:
            return -1
        self.kept[self.asked] = bytes(data)
        return self.asked

    def load(self, page: int, data: bytearray, size: int) -> bool:
        data[:size] = self.kept[page]
        return True

    def forget(self, page: int) -> None:
        del self.kept[page]

    def write(self, block: Block) -> int:
        raise NotImplementedError

    def read(self, block: Block, data: bytearray) -> int:
        raise NotImplementedError


class IndexMachine(RuleBasedStateMachine):
    """Push, pop, and give back in any order; also runs long enough to grow, wrap and shrink the ring."""

    pages: Shelf | None = None
    ring_max = 65536

    def __init__(self) -> None:
        super().__init__()
        self.index = QueueIndex(self.pages, self.ring_max)
        self.ready: list[tuple[int, Entry]] = []
        self.taken: list[tuple[int, Entry]] = []
        self.next = 0

    def push_one(self, entry: Entry) -> None:
        self.index.push(*entry)
        self.ready.append((self.next, entry))
        self.next += 1

    @rule(entry=st.tuples(WORD, WORD, WORD, WORD))
    def push(self, entry: Entry) -> None:
        self.push_one(entry)

    @rule(count=st.integers(1, 60), word=WORD)
    def push_many(self, count: int, word: int) -> None:
        for number in range(count):
            self.push_one((word, number, 48, number & 1))

    def pop_one(self) -> None:
        index = self.index
        if not self.ready:
            assert not index.pop()
            return
        assert index.pop()
        expected = self.ready.pop(0)
        got = (index.sequence, (index.block, index.offset, index.size, index.flags))
        assert got == expected
        self.taken.append(got)

    @rule(count=st.integers(1, 70))
    def pop(self, count: int) -> None:
        for _ in range(count):
            self.pop_one()

    def give_back_at(self, at: int) -> None:
        sequence, entry = self.taken.pop(at)
        self.index.give_back(sequence, *entry)
        self.ready.append((sequence, entry))
        self.ready.sort(key=lambda item: item[0])

    @rule(data=st.data(), count=st.integers(1, 20))
    def give_back(self, data: st.DataObject, count: int) -> None:
        for _ in range(min(count, len(self.taken))):
            self.give_back_at(data.draw(st.integers(0, len(self.taken) - 1)))

    @rule(forwards=st.booleans())
    def give_everything_back(self, forwards: bool) -> None:
        while self.taken:
            self.give_back_at(0 if forwards else -1)

    @rule()
    def settle_all(self) -> None:
        self.taken.clear()

    @invariant()
    def agrees(self) -> None:
        assert self.index.ready() == len(self.ready)
        assert self.index.bytes_ready == sum(entry[2] for _, entry in self.ready)
        assert self.index.entries() == [(s, *entry) for s, entry in self.ready]


IndexMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestQueueIndex = IndexMachine.TestCase


class DeepMachine(IndexMachine):
    """The same with rings of 32 entries, most of which are out of memory."""

    ring_max = 32

    def __init__(self) -> None:
        self.pages = Shelf()
        super().__init__()

    @invariant()
    def agrees(self) -> None:
        assert self.index.ready() == len(self.ready)
        if self.next % 5 == 0:  # looking brings everything back into memory
            assert self.index.entries() == [(s, *entry) for s, entry in self.ready]


DeepMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestDeepQueueIndex = DeepMachine.TestCase


def test_a_deep_queue_leaves_memory_and_comes_back_in_order() -> None:
    shelf = Shelf()
    index = QueueIndex(shelf, 32)
    for number in range(1000):
        index.push(1, number, 8, 0)
    assert len(shelf.kept) > 10
    for number in range(1000):
        assert index.pop()
        assert (index.sequence, index.offset) == (number, number)
    assert not index.pop()
    assert shelf.kept == {}


def test_a_page_that_cannot_be_read_loses_its_entries_and_no_others() -> None:
    shelf = Shelf()
    index = QueueIndex(shelf, 32)
    for number in range(500):
        index.push(1, number, 8, 0)
    shelf.load = lambda page, data, size: False  # type: ignore[method-assign]
    found = []
    while index.pop():
        found.append(index.sequence)
    assert index.ready() == 0
    assert index.entries_lost == 500 - len(found) > 0
    assert found == sorted(found)
    index.push(2, 9, 8, 1)
    assert index.pop()
    assert index.sequence == 500


def test_a_large_ring_grows_and_shrinks() -> None:
    index = QueueIndex()
    for number in range(70_000):
        index.push(1, number, 8, 0)
    for number in range(70_000):
        assert index.pop()
        assert index.offset == number
    assert not index.pop()
    index.push(2, 7, 8, 1)
    assert index.entries() == [(70_000, 2, 7, 8, 1)]
