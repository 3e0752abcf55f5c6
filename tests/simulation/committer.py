"""The committer's thread as events of the loop: it writes, syncs and reports in steps between which everything else goes on."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from posthouse.journal.local.committer import RETRY_S, Commit, Work
from posthouse.journal.local.reserve import NoSpace
from tests.simulation.loop import SimulatedLoop

Post = Callable[[Callable[[], object]], object]


class SimulatedCommitter:
    """The contract of `posthouse.journal.local.committer.ThreadCommitter`; every step takes a random time around ``step_s``."""

    def __init__(
        self,
        loop: SimulatedLoop,
        choice: random.Random,
        step_s: float,
        post: Post,
        on_done: Callable[[int], object],
        on_failed: Callable[[OSError], object],
        on_full: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._choice = choice
        self._step_s = step_s
        self._post = post
        self._on_done = on_done
        self._on_failed = on_failed
        self._on_full = on_full
        self._waiting: list[Commit] = []
        self._steps: Iterator[float] | None = None
        self._is_stopping = False
        self._has_failed = False

    def submit(self, commit: Commit) -> None:
        """Queue a commit."""
        self._waiting.append(commit)
        if self._steps is None:
            self._steps = self._run()
            self._loop.call_later(self._delay(), self._step)

    def stop(self) -> None:
        """Carry out what is queued, then end: at once, as the caller waits for it."""
        self._is_stopping = True
        if self._steps is None:
            self._steps = self._run()
        for _ in self._steps:
            pass
        self._steps = None

    def _delay(self) -> float:
        return self._choice.expovariate(1.0) * self._step_s if self._step_s else 0.0

    def _step(self) -> None:
        if self._steps is None or self._is_stopping:
            return
        pause = next(self._steps, -1.0)
        if pause < 0:
            self._steps = None
        else:
            self._loop.call_later(pause, self._step)

    def _run(self) -> Iterator[float]:
        while self._waiting:
            commits, self._waiting = self._waiting, []
            if self._has_failed:
                continue
            try:
                work = Work(commits)
                yield from self._write(work)
                for _ in work.finish_steps():
                    yield self._delay()
            except OSError as error:
                self._has_failed = True
                self._loop.note(f"the log fails: {error}")
                self._report_failure(error)
                continue
            number = max(commit.number for commit in commits)
            if number:
                self._loop.note(f"commit {number} is done")
                self._report(number)

    def _write(self, work: Work) -> Iterator[float]:
        while True:
            try:
                for _ in work.write_steps():
                    yield self._delay()
                return
            except NoSpace:
                self._loop.note("the disk is full")
                if self._on_full():
                    continue
                if self._is_stopping:
                    raise
                yield RETRY_S

    def _report(self, number: int) -> None:
        self._post(lambda: self._on_done(number))

    def _report_failure(self, error: OSError) -> None:
        self._post(lambda: self._on_failed(error))
