"""The worker processes of a run, as the coordinator sees them."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Final

from posthouse.cli.perf import worker
from posthouse.cli.perf.plan import Plan

ANSWER_MAX_S: Final = 30.0
STOP_MAX_S: Final = 0.5  # a worker that was told to finish has ended long before
GRACE_S: Final = (
    3.0  # workers outlive the deadline by this, so that they can tell what they counted
)


@dataclass(frozen=True)
class Snapshot:
    """The counters at one moment."""

    at: float  # time.monotonic
    published: int
    received: int
    confirmed: int
    errors: int


OnProgress = Callable[[str, Snapshot], None]


def _context() -> ForkContext | SpawnContext:
    """Forking starts a worker in a millisecond; where there is none, a fresh interpreter it is."""
    if "fork" in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("fork")
    return multiprocessing.get_context("spawn")


class Crew:
    """The worker processes of a run. Owned by the coordinator, which calls `close` in every case."""

    def __init__(self, plan: Plan, deadline: float) -> None:
        context = _context()
        self._plan = plan
        self._deadline = deadline
        self._counters = context.RawArray("Q", worker.COUNTERS * plan.processes)
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        self.error = ""
        for index in range(plan.processes):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=worker.main,
                args=(plan, index, deadline + GRACE_S, theirs, self._counters),
                name=f"perf-{index}",
                daemon=True,
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def order(self, command: str) -> list[object]:
        """Give all workers a command and collect their answers; a worker that is gone is an error
        of the run.
        """
        answers: list[object] = []
        try:
            for pipe in self._pipes:
                pipe.send(command)
            for pipe in self._pipes:
                patience = max(0.1, min(ANSWER_MAX_S, self._deadline + 1 - time.monotonic()))
                if not pipe.poll(patience):
                    raise EOFError
                answers.append(pipe.recv())
        except (EOFError, OSError):
            self.error = self.error or f"a worker did not answer to {command!r}"
        return answers

    def snapshot(self) -> Snapshot:
        """The sum of the workers' counters; they are at most a few milliseconds old."""
        at = time.monotonic()
        c = self._counters[:]
        step = worker.COUNTERS
        errors = sum(c[worker.ERRORS :: step]) + bool(self.error)
        if not all(process.is_alive() for process in self._processes):
            self.error = self.error or "a worker died"
            errors += 1
        return Snapshot(
            at,
            sum(c[worker.PUBLISHED :: step]),
            sum(c[worker.RECEIVED :: step]),
            sum(c[worker.CONFIRMED :: step]),
            errors,
        )

    def close(self) -> None:
        """End the workers; those that do not end by themselves are killed."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(STOP_MAX_S)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()
