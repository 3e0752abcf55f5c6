"""Runs the missing units of campaigns in worker processes and keeps their outcomes."""

from __future__ import annotations

import dataclasses
import pathlib
import select
import time
from dataclasses import dataclass, field

from tests.torture.campaign import Campaign, add_up
from tests.torture.process import Worker
from tests.torture.progress import Progress
from tests.torture.record import Outcome, Record, revision

WAIT_S = 1.0


@dataclass
class Summary:
    """A campaign's line in the table: of the seeds that were asked for, whenever they were done."""

    name: str
    asked: int
    done: int = 0
    seconds: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    failures: list[Outcome] = field(default_factory=list)
    skipped: list[Outcome] = field(default_factory=list)
    revisions: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Everything was done that can be done here, and no promise was broken."""
        return self.done + len(self.skipped) == self.asked and not self.failures


def summary_of(campaign: Campaign, record: Record, units: int) -> Summary:
    """Add up the outcomes of seeds below ``units``."""
    summary = Summary(campaign.name, units)
    for seed, outcome in sorted(record.outcomes.items()):
        if seed >= units:
            continue
        summary.done += 1
        summary.seconds += outcome.seconds
        if outcome.revision not in summary.revisions:
            summary.revisions.append(outcome.revision)
        if outcome.error:
            summary.failures.append(outcome)
        else:
            add_up(summary.figures, outcome.figures)
    return summary


class Runner:
    """The units of one campaign, several at a time.

    Units that failed before are not done again: they stay failures until their seed is replayed or the record is forgotten.
    """

    def __init__(
        self, campaign: Campaign, where: str, record: Record, *, jobs: int, scratch: pathlib.Path
    ) -> None:
        """``scratch`` is the directory for temporary files of units."""
        self._campaign = campaign
        self._where = where
        self._record = record
        self._jobs = 1 if campaign.is_alone else jobs
        self._scratch = scratch
        self._revision = revision()
        self._workers: list[Worker] = []
        self._skipped: list[Outcome] = []

    def run(self, units: int, progress: Progress) -> Summary:
        """Do what is missing of the first ``units`` seeds.

        Raises:
            CannotBegin: no unit can be done at all.
            KeyboardInterrupt: with all workers ended; outcomes so far are kept.
        """
        seeds = self._record.missing(units)
        progress.begin(self._campaign.name, units, units - len(seeds))
        try:
            while seeds or self._workers:
                while seeds and len(self._workers) < self._jobs:
                    size = self._batch_size(len(seeds))
                    batch, seeds = seeds[:size], seeds[size:]
                    self._workers.append(Worker(self._campaign, self._where, batch, self._scratch))
                seeds = self._wait(progress) + seeds
        finally:
            for worker in self._workers:
                if not worker.is_over:
                    worker.stop()
            self._workers = []
        summary = summary_of(self._campaign, self._record, units)
        summary.skipped = self._skipped
        return summary

    def _batch_size(self, left: int) -> int:
        """Less than a whole batch where others would have nothing to do."""
        return max(1, min(self._campaign.batch, -(-left // self._jobs)))

    def _wait(self, progress: Progress) -> list[int]:
        """Wait for news; returns seeds whose worker ended before it began them."""
        back: list[int] = []
        ready, _, _ = select.select(self._workers, [], [], WAIT_S)
        for worker in ready:
            worker.receive()
        now = time.monotonic()
        for worker in self._workers:
            if not worker.is_over and now > worker.deadline:
                worker.expire()
            self._keep(worker, progress)
            if worker.is_over:
                back += worker.left
        self._workers = [worker for worker in self._workers if not worker.is_over]
        progress.show()
        return back

    def _keep(self, worker: Worker, progress: Progress) -> None:
        for outcome in worker.outcomes:
            if outcome.skipped:
                self._skipped.append(outcome)  # not kept: the next run may be able to
            else:
                self._record.add(dataclasses.replace(outcome, revision=self._revision))
            progress.done(outcome)
        worker.outcomes.clear()
