"""Group commit: one thread that writes and syncs whatever has come in meanwhile.

There is no timer. While one sync runs the next commits gather; then all of them are written and synced together and
the highest number is reported. The first failure is final: what the kernel could not write it may have forgotten, so a
later success would prove nothing (PostgreSQL's fsync lesson of 2018).
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from posthouse.journal.block import Block
from posthouse.journal.local.log import LocalLog
from posthouse.journal.local.reserve import NoSpace

log = logging.getLogger(__name__)

# A full disk is tried again so often.
RETRY_S = 0.5

Ranges = Sequence[tuple[Block, int, int]]


@dataclass(frozen=True, slots=True)
class Commit:
    """One numbered batch: what to append to which log, in order; then trims; then jobs, which raise nothing."""

    number: int
    parts: Sequence[tuple[LocalLog, Ranges]]
    trims: Sequence[tuple[LocalLog, int]] = ()
    jobs: Sequence[Callable[[], object]] = ()


class Work:
    """Several commits carried out as one, log by log in the order of the logs; may be continued after a full disk."""

    def __init__(self, commits: Sequence[Commit]) -> None:
        self._commits = commits
        gathered: dict[int, tuple[LocalLog, list[tuple[Block, int, int]]]] = {}
        for commit in commits:
            for part, ranges in commit.parts:
                gathered.setdefault(part.order, (part, []))[1].extend(ranges)
        self._parts = [gathered[order] for order in sorted(gathered)]

    def write(self) -> None:
        """Write and sync.

        Raises:
            NoSpace: call it again when there is space.
            OSError: nothing of these commits may be called durable.
        """
        for _ in self.write_steps():
            pass

    def write_steps(self) -> Iterator[None]:
        """The same; yields where the thread that carries it out may be interrupted for long."""
        for log, ranges in self._parts:
            log.write(ranges)
            yield
            log.sync()
            yield

    def finish(self) -> None:
        """What comes behind: trims and jobs.

        Raises:
            OSError: something failed.
        """
        for _ in self.finish_steps():
            pass

    def finish_steps(self) -> Iterator[None]:
        """The same, step by step."""
        for commit in self._commits:
            for part, position in commit.trims:
                part.trim(position)
                yield
            for job in commit.jobs:
                job()
                yield


def carry_out(commits: Sequence[Commit]) -> None:
    """Write and sync ``commits``; then trim.

    Raises:
        OSError: something failed; nothing of these commits may be called durable.
    """
    work = Work(commits)
    work.write()
    work.finish()


class ThreadCommitter:
    """Carries commits out on a thread of its own.

    ``post`` runs a callback on the loop thread. Callbacks: ``on_done(number)`` with the highest finished
    number, ``on_failed(error)`` once. ``on_full()`` is called on this thread when the disk is full; True if space was made. Otherwise it is
    tried again after a while: publishers are blocked meanwhile, confirms come later, nothing is given up.
    """

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
        self._stopping = threading.Event()
        self._queue: queue.SimpleQueue[Commit | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="posthouse-commit", daemon=True)
        self._thread.start()

    def submit(self, commit: Commit) -> None:
        """Queue a commit."""
        self._queue.put(commit)

    def stop(self) -> None:
        """Carry out what is queued, then end. Blocking."""
        self._stopping.set()
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        failed = False
        ended = False
        while not ended:
            commits: list[Commit] = []
            item = self._queue.get()
            while item is not None:
                commits.append(item)
                if self._queue.empty():
                    break
                item = self._queue.get()
            ended = item is None
            if failed or not commits:
                continue
            try:
                work = Work(commits)
                self._write(work)
                work.finish()
            except OSError as error:
                failed = True
                self._report_failure(error)
            except Exception as error:
                # No memory, say. A thread that is gone would leave everybody waiting.
                log.exception("internal error while writing the log")
                failed = True
                number = errno.ENOMEM if isinstance(error, MemoryError) else errno.EIO
                self._report_failure(OSError(number, f"{type(error).__name__} {error}".strip()))
            else:
                number = max(commit.number for commit in commits)
                if number:
                    self._report(number)

    def _write(self, work: Work) -> None:
        """Write, waiting for space as long as the disk is full.

        Raises:
            OSError: something that is final, a disk that is still full at the stop among it.
        """
        while True:
            try:
                work.write()
                return
            except NoSpace:
                if self._on_full():
                    continue
                if self._stopping.wait(RETRY_S):
                    raise

    def _report(self, number: int) -> None:
        self._post(lambda: self._on_done(number))

    def _report_failure(self, error: OSError) -> None:
        self._post(lambda: self._on_failed(error))


class InlineCommitter:
    """The same, carried out within `submit`: for tools and deterministic tests."""

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
        self._waiting: list[tuple[Work, int]] = []
        self._failed = False

    def submit(self, commit: Commit) -> None:
        """Carry a commit out now, unless the disk is full."""
        self._waiting.append((Work([commit]), commit.number))
        self.retry()

    def retry(self) -> None:
        """Carry out what waits."""
        while self._waiting and not self._failed:
            work, number = self._waiting[0]
            try:
                work.write()
                work.finish()
            except NoSpace:
                if self._on_full():
                    continue
                return
            except OSError as error:
                self._failed = True
                self._report_failure(error)
                return
            self._waiting.pop(0)
            if number:
                self._report(number)

    def _report(self, number: int) -> None:
        self._post(lambda: self._on_done(number))

    def _report_failure(self, error: OSError) -> None:
        self._post(lambda: self._on_failed(error))

    def stop(self) -> None:
        """What still waits for space is given up."""
        self.retry()
        if self._waiting and not self._failed:
            self._failed = True
            self._report_failure(NoSpace(errno.ENOSPC, os.strerror(errno.ENOSPC)))
