"""Group commit: one thread that writes and syncs whatever has come in meanwhile.

There is no timer. While one sync runs the next commits gather; then all of them are written and synced together and
the highest number is reported. The first failure is final: what the kernel could not write it may have forgotten, so a
later success would prove nothing (PostgreSQL's fsync lesson of 2018).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from posthouse.journal.block import Block
from posthouse.journal.local.log import LocalLog

Ranges = Sequence[tuple[Block, int, int]]


@dataclass(frozen=True, slots=True)
class Commit:
    """One numbered batch: what to append to which log, in order; then trims; then jobs, which raise nothing."""

    number: int
    parts: Sequence[tuple[LocalLog, Ranges]]
    trims: Sequence[tuple[LocalLog, int]] = ()
    jobs: Sequence[Callable[[], object]] = ()


def carry_out(commits: Sequence[Commit]) -> None:
    """Write and sync ``commits`` as one, log by log in the order in which they appear first; then trim.

    Raises:
        OSError: something failed; nothing of these commits may be called durable.
    """
    gathered: dict[int, tuple[LocalLog, list[tuple[Block, int, int]]]] = {}
    for commit in commits:
        for log, ranges in commit.parts:
            gathered.setdefault(log.order, (log, []))[1].extend(ranges)
    for order in sorted(gathered):
        log, ranges = gathered[order]
        log.write(ranges)
        log.sync()
    for commit in commits:
        for log, position in commit.trims:
            log.trim(position)
        for job in commit.jobs:
            job()


class ThreadCommitter:
    """Carries commits out on a thread of its own.

    ``post`` runs a callback on the loop thread. Callbacks: ``on_done(number)`` with the highest finished
    number, ``on_failed(error)`` once.
    """

    def __init__(
        self,
        post: Callable[[Callable[[], object]], object],
        on_done: Callable[[int], object],
        on_failed: Callable[[OSError], object],
    ) -> None:
        self._post = post
        self._on_done = on_done
        self._on_failed = on_failed
        self._queue: queue.SimpleQueue[Commit | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="posthouse-commit", daemon=True)
        self._thread.start()

    def submit(self, commit: Commit) -> None:
        """Queue a commit."""
        self._queue.put(commit)

    def stop(self) -> None:
        """Carry out what is queued, then end. Blocking."""
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
                carry_out(commits)
            except OSError as error:
                failed = True
                self._report_failure(error)
                continue
            number = max(commit.number for commit in commits)
            if number:
                self._report(number)

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
    ) -> None:
        self._post = post
        self._on_done = on_done
        self._on_failed = on_failed
        self._failed = False

    def submit(self, commit: Commit) -> None:
        """Carry a commit out now."""
        if self._failed:
            return
        try:
            carry_out([commit])
        except OSError as error:
            self._failed = True
            failure = error
            self._post(lambda: self._on_failed(failure))
            return
        if commit.number:
            self._post(lambda: self._on_done(commit.number))

    def stop(self) -> None:
        """Nothing is queued."""
