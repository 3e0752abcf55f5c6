"""A journal that keeps nothing: for ``--memory`` and for tests of what is above it.

Commits are done at once, but reported through the loop like real ones, so that callers see the same order of events.
"""

from __future__ import annotations

from collections.abc import Callable

from posthouse.journal.block import BlockTable, LogBuffer
from posthouse.journal.local.log import Recovered, RecoveryReport
from posthouse.journal.table import Table


def _ignore(_: object) -> None:
    """The default callback: nobody listens yet."""


class MemoryJournal:
    """See `posthouse.journal.api.Journal`. ``post`` runs a callback on the loop thread, soon."""

    def __init__(self, blocks: BlockTable, post: Callable[[Callable[[], object]], object]) -> None:
        self.blocks = blocks
        self.table = Table(None)
        self.shard: LogBuffer | None = None
        self.recovered: list[Recovered] = []
        self.next_commit = 1
        self.on_committed: Callable[[int], object] = _ignore
        self.on_failed: Callable[[OSError], object] = _ignore
        self._post = post

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

    def commit(self) -> int:
        """See `posthouse.journal.api.Journal.commit`."""
        number = self.next_commit
        self.next_commit += 1
        self._post(lambda: self.on_committed(number))
        return number

    def trim(self) -> None:
        """Nothing is kept."""

    def stop(self) -> None:
        """Nothing to close."""
