"""The world of the crash and fault tests: everything is small, so that all edges are met; a committer that gathers as the real one does."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from posthouse.journal import table
from posthouse.journal.files import Files
from posthouse.journal.local.committer import Commit, InlineCommitter, Work
from posthouse.journal.local.reserve import NoSpace
from tests.support.inmemory import World


class GatheringCommitter:
    """Carries out together what came in since the last time, as the thread does, when it is told to."""

    def __init__(
        self,
        post: Callable[[Callable[[], object]], object],
        on_done: Callable[[int], object],
        on_failed: Callable[[OSError], object],
        on_full: Callable[[], bool],
    ) -> None:
        self._post = post
        self._on_done = on_done
        self._on_failed = on_failed
        self._on_full = on_full
        self._waiting: list[Commit] = []
        # What waits for space on a full disk, with its number.
        self._work: tuple[Work, int] | None = None
        self.has_failed = False

    def submit(self, commit: Commit) -> None:
        self._waiting.append(commit)

    def retry(self) -> None:
        """Write and sync what waits, and report it."""
        while not self.has_failed and (self._work or self._waiting):
            if self._work is None:
                commits, self._waiting = self._waiting, []
                self._work = Work(commits), max(commit.number for commit in commits)
            try:
                self._work[0].write()
                self._work[0].finish()
            except NoSpace:
                if not self._on_full():
                    return
            except OSError as error:
                self._fail(error)
            else:
                self._report(self._work[1])
                self._work = None

    def _report(self, number: int) -> None:
        if number:
            self._post(lambda: self._on_done(number))

    def _fail(self, error: OSError) -> None:
        self.has_failed = True
        self._post(lambda: self._on_failed(error))

    def stop(self) -> None:
        self.retry()
        if self._work and not self.has_failed:
            self._fail(NoSpace(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def shape(seed: int) -> dict[str, Any]:
    """How the world of this seed is built: what it was written with must not matter to the next one."""
    choice = random.Random(seed)
    return {
        "durability": "fsync",
        "segment_size": choice.choice((4096, 8192)),
        "memory_max": choice.choice((0, 1, 8192)),
        "ring_max": choice.choice((16, 65536)),
        "slice_entries": choice.choice((5, 65536)),
        "snapshot_bytes": choice.choice((4096, 16384)),
        "block_size": choice.choice((1024, 4096, 0)),
        "reserve_size": 16384,
    }


def small_world(files: Files, seed: int, make_committer: Any = InlineCommitter) -> World:
    """A broker whose definitions are rewritten often."""
    return World("/data", files=files, make_committer=make_committer, **shape(seed))


@contextmanager
def eager_rewrites() -> Iterator[None]:
    """The definitions log is rewritten when it has a few dead changes, not a thousand."""
    with patch.object(table, "DEAD_MIN", 12):
        yield
