"""Trimming against a naive list: no segment with a live message goes, and dead ones do, whenever the power is cut."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from posthouse.journal.block import Block
from posthouse.testing.files import MemoryFiles
from tests.support.journals import SEGMENT, Store, bodies_of

# Two messages to a segment.
SIZE = SEGMENT * 2 // 5
# As `posthouse.journal.block` has it; the compiled module keeps it to itself.
BLOCK_SIZE = 1 << 20


class TrimMachine(RuleBasedStateMachine):
    """Messages come and are settled in any order, trims and commits fall anywhere in between.

    The model: ``live`` is what the broker still holds, each with its block; of those the reported ones must be found after a crash.
    """

    def __init__(self) -> None:
        super().__init__()
        self.files = MemoryFiles()
        self.number = 0

    @initialize()
    def begin(self) -> None:
        self.start()

    def start(self) -> None:
        self.store = Store(self.files).open()
        # As the broker does at replay: one hold per message; the piece's own is given back.
        self.live: dict[bytes, Block] = {}
        for piece in self.store.recovered:
            for body in bodies_of(piece):
                if body[:16] in self.live:
                    self.settle(body[:16])  # the newer copy counts
                self.hold(body[:16], piece.block)
            self.store.blocks.unpin(piece.block)
        self.pending: list[tuple[int, list[bytes]]] = []
        self.fresh: list[bytes] = []
        self.kept = set(self.live)

    def hold(self, name: bytes, block: Block) -> None:
        block.refs += 1
        self.live[name] = block

    def store_one(self, name: bytes) -> None:
        """Append a message in a block of its own: blocks are what keeps segments."""
        shard = self.store.journal.shard
        assert shard is not None
        shard.ensure(BLOCK_SIZE)
        self.store.append(name + bytes(SIZE))
        block = shard.current
        assert block is not None
        self.hold(name, block)

    def settle(self, name: bytes) -> None:
        self.store.blocks.release(self.live.pop(name))

    @rule(count=st.integers(1, 4), is_reported=st.booleans())
    def append(self, count: int, is_reported: bool) -> None:
        for _ in range(count):
            self.number += 1
            name = b"%016d" % self.number
            self.store_one(name)
            self.fresh.append(name)
        if is_reported:
            self.commit()
            self.sync()

    @rule(data=st.data(), count=st.integers(1, 6))
    def settle_some(self, data: st.DataObject, count: int) -> None:
        for _ in range(min(count, len(self.live))):
            self.settle(data.draw(st.sampled_from(sorted(self.live))))

    @rule(count=st.integers(1, 6))
    def settle_the_oldest(self, count: int) -> None:
        for name in sorted(self.live)[:count]:
            self.settle(name)

    @rule(trims=st.booleans(), syncs=st.booleans())
    def replace_the_oldest(self, trims: bool, syncs: bool) -> None:
        """Dead-letter: a copy of its name is appended, then the old one is let go; one of the two must always be there."""
        if not self.live:
            return
        name = min(self.live)
        old = self.live.pop(name)
        self.store_one(name)
        self.store.blocks.release(old)
        if trims:
            self.trim()
        if syncs:
            self.sync()

    @rule()
    def commit(self) -> None:
        self.pending.append((self.store.journal.commit(), self.fresh))
        self.fresh = []

    @rule()
    def write(self) -> None:
        self.store.step.write()

    @rule()
    def sync(self) -> None:
        self.store.step.stop()
        while self.pending and self.pending[0][0] <= self.store.done:
            self.kept |= set(self.pending.pop(0)[1])
        after = Store(self.files.crash(random.Random(self.number))).open()
        found = {body[:16] for piece in after.recovered for body in bodies_of(piece)}
        assert self.kept & set(self.live) <= found

    @rule()
    def trim(self) -> None:
        self.store.journal.trim()

    @rule(seed=st.integers(0, 2**32))
    def power_cut(self, seed: int) -> None:
        expected = self.kept & set(self.live)
        self.files = self.files.crash(random.Random(seed))
        self.start()
        assert expected <= set(self.live)
        # Dead ones that come back are settled again by the replay of acknowledgements; here by the model.
        for name in sorted(set(self.live) - expected):
            self.settle(name)

    @rule()
    def trim_at_rest(self) -> None:
        """With nothing under way, what is left begins with the segment of the oldest held block."""
        self.commit()
        self.sync()
        self.trim()
        self.sync()
        shard = self.store.journal.shard
        assert shard is not None
        bases = [int(name[:20]) for name in self.files.list("/data/shard")]
        oldest = shard.oldest_live()
        assert bases[0] <= oldest
        assert len(bases) == 1 or bases[1] > oldest

    @invariant()
    def live_and_reported_is_on_disk(self) -> None:
        """Not the file system after a crash, but as it stands: cheap enough for every step."""
        names = self.files.list("/data/shard")
        shard = self.store.journal.shard
        assert shard is not None
        first = int(names[0][:20])
        for name in self.kept & set(self.live):
            assert self.live[name].base >= first


TrimMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestTrim = TrimMachine.TestCase


def test_the_machine_trims() -> None:
    """With the sizes above, settled messages let whole segments go."""
    machine = TrimMachine()
    machine.begin()
    machine.append(9, True)
    before = machine.files.list("/data/shard")
    machine.settle_the_oldest(7)
    machine.trim_at_rest()
    after = machine.files.list("/data/shard")
    assert len(before) >= 5
    assert after == before[-len(after) :]
    assert len(after) <= 2
