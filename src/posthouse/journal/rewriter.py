"""Writes the definitions anew while the broker works, so that their log does not grow for ever.

A log of changes holds every queue that ever was. When most of it is dead, every row is appended once more, behind the changes so far and a
slice at a time; what changes meanwhile stands behind its row, or is the row that is appended. Once all of it is durable, the segments
before it go. A start that comes between folds both, to the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from posthouse.journal.api import Journal

# Rows of one slice: about a millisecond.
SLICE = 128


class Rewriter:
    """Decides when, and goes through with it; a chore of the housekeeping. ``commit`` is the tick's.

    Attributes:
        rewritten: how often, since start.
    """

    def __init__(
        self, journal: Journal, *, commit: Callable[[], object], slice_rows: int = SLICE
    ) -> None:
        self._journal = journal
        self._commit = commit
        self._slice_rows = slice_rows
        self._slices: Iterator[None] | None = None
        self.rewritten = 0

    def is_due(self) -> bool:
        """Whether most of the log is dead; not while the disk is full."""
        journal = self._journal
        is_able = self._slices is None and journal.table.is_kept and not journal.is_full
        return is_able and journal.table.is_mostly_dead()

    def begin(self) -> None:
        """Start; `step` does the work."""
        self._slices = self._rewrite()

    def step(self) -> bool:
        """One slice; False when there is nothing (more) to do."""
        if self._slices is None:
            return False
        for _ in self._slices:
            return True
        self._slices = None
        return False

    def _rewrite(self) -> Iterator[None]:
        table = self._journal.table
        self._commit()
        start = self._journal.begin_rewrite()
        before, live = table.changes, table.live()
        for count, (kind, key) in enumerate(table.rows(), start=1):
            table.append_again(kind, key)
            if count % self._slice_rows == 0:
                self._commit()
                yield
        self._journal.end_rewrite(start)
        self._commit()
        table.changes += live - before
        self.rewritten += 1
