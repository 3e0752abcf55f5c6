"""Whatever happens to a machine, the log has what it reported: random histories with power cuts against a naive list."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from posthouse.testing.files import MemoryFiles
from tests.support.journals import SEGMENT, Store

KEYS = st.sampled_from(["a", "b", "c"])


def is_subsequence(part: list[bytes], whole: list[bytes]) -> bool:
    rest = iter(whole)
    return all(item in rest for item in part)


class LogMachine(RuleBasedStateMachine):
    """Messages and definitions are appended, committed, written, synced; then the power goes, or the process ends in order.

    The model: ``kept`` is what must be there, ``open`` what may be there, both in order. A row of the table must have its newest
    reported value, or one of those given to it since.
    """

    def __init__(self) -> None:
        super().__init__()
        self.files = MemoryFiles()
        self.number = 0

    @initialize()
    def begin(self) -> None:
        self.kept: list[bytes] = []
        self.rows: dict[str, Any] = {}
        self.start()

    def start(self) -> None:
        self.store = Store(self.files).open()
        # (commit number, bodies, changes) of what was handed over; number 0 is not yet.
        self.open: list[tuple[int, list[bytes], list[tuple[str, Any]]]] = []
        self.bodies: list[bytes] = []
        self.changes: list[tuple[str, Any]] = []

    def fold(self) -> None:
        """Take into the model what was reported as committed."""
        while self.open and self.open[0][0] <= self.store.done:
            _, bodies, changes = self.open.pop(0)
            self.kept += bodies
            self.rows.update(changes)

    @rule(sizes=st.lists(st.integers(0, 700), min_size=1, max_size=5))
    def append(self, sizes: list[int]) -> None:
        for size in sizes:
            self.number += 1
            body = b"%d:" % self.number + bytes([self.number % 251]) * size
            self.store.append(body)
            self.bodies.append(body)

    @rule(key=KEYS, remove=st.booleans())
    def define(self, key: str, remove: bool) -> None:
        table = self.store.journal.table
        self.number += 1
        if remove:
            if table.get("row", (key,)) is None:
                return
            table.remove("row", (key,))
            self.changes.append((key, None))
        else:
            table.put("row", (key,), {"n": self.number})
            self.changes.append((key, {"n": self.number}))

    @rule()
    def commit(self) -> None:
        number = self.store.journal.commit()
        self.open.append((number, self.bodies, self.changes))
        self.bodies, self.changes = [], []

    @rule()
    def write(self) -> None:
        self.store.step.write()

    @rule()
    def sync(self) -> None:
        self.store.step.write()
        self.store.step.sync()
        self.fold()

    @rule(seed=st.integers(0, 2**32))
    def power_cut(self, seed: int) -> None:
        self.fold()
        survivor = self.files.crash(random.Random(seed))
        maybe = [body for _, bodies, _ in self.open for body in bodies]
        changes = [change for _, _, changes in self.open for change in changes]
        self.files = survivor
        epoch = self.store.journal.shard.epoch  # type: ignore[union-attr]
        self.start()
        assert self.store.journal.shard.epoch > epoch or not self.kept  # type: ignore[union-attr]
        found = self.store.bodies()
        assert found[: len(self.kept)] == self.kept
        assert is_subsequence(found[len(self.kept) :], maybe)
        for key in ("a", "b", "c"):
            got = self.store.journal.table.get("row", (key,))
            allowed = [self.rows.get(key), *(value for changed, value in changes if changed == key)]
            assert got in allowed
            self.rows[key] = got
        # What is there now was read from the medium: it must stay.
        self.kept = found
        self.opens_the_same_again()

    def opens_the_same_again(self) -> None:
        again = self.files.crash(random.Random(0))
        store = Store(again).open()
        assert store.bodies() == self.kept
        for key, value in self.rows.items():
            assert store.journal.table.get("row", (key,)) == value

    @rule()
    def stop_and_start(self) -> None:
        self.commit()
        self.store.journal.stop()
        self.store.done = self.store.journal.next_commit
        self.fold()
        self.start()
        assert self.store.bodies() == self.kept
        assert self.store.journal.reports["shard"].is_clean


LogMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestLogRecovery = LogMachine.TestCase


def test_the_machine_rolls_segments() -> None:
    """The sizes above are enough to pass several segments."""
    store = Store(MemoryFiles()).open()
    for _ in range(30):
        store.append(bytes(700))
        store.journal.commit()
        store.step.write()
        store.step.sync()
    names = store.files.list("/data/shard")
    assert len(names) > 30 * 700 // SEGMENT
