"""A journal that keeps nothing: for ``--memory`` and for tests of what is above it.

Commits are done at once, but reported through the loop like real ones, so that callers see the same order of events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from posthouse.journal.api import Snapshot, SnapshotWriter
from posthouse.journal.block import BlockTable, LogBuffer
from posthouse.journal.recovered import Recovered, RecoveryReport
from posthouse.journal.table import Table


def _ignore(_: object) -> None:
    """The default callback: nobody listens yet."""


class MemoryJournal:
    """See `posthouse.journal.api.Journal`. ``post`` runs a callback on the loop thread, soon."""

    def __init__(self, blocks: BlockTable, post: Callable[[Callable[[], object]], object]) -> None:
        self.blocks = blocks
        self.table = Table(None)
        self.shard: LogBuffer | None = None
        self.snapshot: Snapshot | None = None
        self.shard_bounds = (0, 0)
        self.segment_size = 0
        self.next_commit = 1
        self.on_committed: Callable[[int], object] = _ignore
        self.on_failed: Callable[[OSError], object] = _ignore
        self.on_full: Callable[[], object] = lambda: None
        self.is_full = False
        self.has_failed = False
        self._post = post

    def recover(self) -> Iterator[Recovered]:
        """Nothing was kept."""
        return iter(())

    @property
    def durability(self) -> str:
        """Nothing survives."""
        return "none"

    @property
    def reports(self) -> dict[str, RecoveryReport]:
        """Nothing was opened."""
        return {}

    @property
    def is_busy(self) -> bool:
        """Never: commits are done at once."""
        return False

    @property
    def unsynced_bytes(self) -> int:
        """None: commits are done at once."""
        return 0

    def commit(self) -> int:
        """See `posthouse.journal.api.Journal.commit`."""
        number = self.next_commit
        self.next_commit += 1
        self._post(lambda: self.on_committed(number))
        return number

    def begin_snapshot(self, *, is_final: bool = False) -> SnapshotWriter:
        """There is no log, so nobody asks."""
        raise AssertionError("a journal in memory has no snapshots")

    def end_snapshot(self, writer: SnapshotWriter) -> None:
        """See `begin_snapshot`."""

    def begin_rewrite(self) -> int:
        """There is no log, so nobody asks."""
        raise AssertionError("a journal in memory has nothing to rewrite")

    def end_rewrite(self, start: int) -> None:
        """See `begin_rewrite`."""

    def mark(self) -> bool:
        """There is no log."""
        return False

    def check_space(self) -> None:
        """There is no disk."""

    def trim(self) -> None:
        """Nothing is kept."""

    def stop(self) -> None:
        """Nothing to close."""
