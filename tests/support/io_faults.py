"""Each I/O call of a load over the whole broker fails once (C7; P12, P13).

Whatever fails: nothing is confirmed that is not there after a power cut or a kill, the process ends with 74 or does not start, or it goes
on; it does not hang; and the next start is clean.
"""

from __future__ import annotations

import errno
import itertools
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from posthouse.core.errors import StorageError
from posthouse.testing.files import MemoryFiles
from posthouse.testing.medium import Tree
from tests.support.crash_load import Ended, Load
from tests.support.crash_states import Observer, heard
from tests.support.crash_world import eager_rewrites
from tests.support.recorded_disk import outcomes
from tests.torture.campaign import Campaign

STEPS = 40
EX_IOERR = 74
NUMBERS = (errno.EIO, errno.ENOSPC, errno.EMFILE)
# What costs nothing but itself when it fails.
EXPENDABLE = ("/data/snapshots", "/data/pages", "/data/reserve")
LOGS = ("/data/shard", "/data/definitions")
# States after the fault that are opened; the first is what a kill leaves.
IMAGES = 8
# Moments since a fault that the broker lived through.
MOMENTS = 10

FINISHED, STOPPED, REFUSED = "finished", "stopped", "refused"


@dataclass
class Call:
    """A call that failed."""

    name: str = ""
    path: str = ""

    def allowed(self, number: int) -> set[str]:
        """How the load may end; an opening may always be refused."""
        if self.path.startswith(EXPENDABLE) or self.name in ("read_at", "size"):
            return {FINISHED, REFUSED}
        if self.name == "append" and self.path.startswith(LOGS):
            return {FINISHED if number == errno.ENOSPC else STOPPED, REFUSED}
        if self.name == "datasync" and self.path.startswith(LOGS):
            return {STOPPED, REFUSED}
        return {FINISHED, STOPPED, REFUSED}


class Fault:
    """One run of a load in which the ``call``-th call fails with ``number``.

    Attributes:
        end: how it ended.
    """

    def __init__(self, seed: int, call: int, number: int, *, calls_max: int = 1 << 60) -> None:
        self._seed = seed
        self._number = number
        self._at = call
        self._calls_max = calls_max
        self.failed = Call()
        self._failed_at = 0
        self.files = MemoryFiles()
        self.files.on_call = self._on_call
        self.load = Load(seed, self.files)
        self.end = FINISHED

    def _on_call(self, name: str, path: str) -> None:
        if self.files.calls == self._at:
            self.failed = Call(name, path)
            self._failed_at = self.load.recorder.moment
        assert self.files.calls < self._calls_max, "it does not come to an end"

    def run(self, steps: int) -> None:
        """Do it.

        Raises:
            AssertionError: a promise is broken.
        """
        self.files.fail_at(self._at, self._number)
        with heard():
            try:
                self.load.run(steps)
            except StorageError:
                self.end = REFUSED
            except (Ended, AssertionError):
                # A connection that is closed under a client's hands is no news once the journal failed.
                if not self.load.world.journal.has_failed and not self.load.exit_code:
                    raise
                self.end = STOPPED
                self.load.end_after_failure()
        if self.end == STOPPED:
            assert self.load.is_stopped, "it does not stop"
            assert self.load.exit_code == EX_IOERR, self.load.exit_code
        self._look_at_images()
        allowed = self.failed.allowed(self._number)
        assert not self.failed.name or self.end in allowed, f"{self.end} instead of {allowed}"

    def _look_at_images(self) -> None:
        """What was confirmed is there, after a kill and after power cuts: now, and at moments since the fault if it went on."""
        recorder, choice = self.load.recorder, random.Random(self._at)
        for n, tree in enumerate(itertools.islice(outcomes(recorder.points[-1], choice), IMAGES)):
            self._look_at(recorder.moment, tree, is_used=n == 0)
        if self.end == FINISHED and self.failed.name:
            for _ in range(MOMENTS):
                moment = choice.randint(self._failed_at, recorder.moment)
                self._look_at(moment, recorder.points[moment].crash(choice))

    def _look_at(self, moment: int, tree: Tree, *, is_used: bool = False) -> None:
        facts = self.load.facts
        observer = Observer(facts.messages, self._seed)
        seen = observer.see(MemoryFiles.of(tree), is_used=is_used)
        wrong = facts.violations(moment, seen)
        assert not wrong, f"after operation {moment}: " + "\n".join(wrong[:20])


def count_calls(seed: int, steps: int) -> int:
    """How many calls the load makes when none fails."""
    fault = Fault(seed, -1, errno.EIO)
    fault.run(steps)
    return fault.files.calls


def try_all(
    seed: int, steps: int, numbers: Iterable[int], *, first: int = 0, stride: int = 1
) -> Mapping[str, float]:
    """Have each call fail once with each number, or each ``stride``-th from ``first`` on.

    Raises:
        AssertionError: a promise is broken; it says at which call.
    """
    figures: Counter[str] = Counter()
    with eager_rewrites():
        total = count_calls(seed, steps)
        for number in numbers:
            for call in range(first, total, stride):
                fault = Fault(seed, call, number, calls_max=4 * total + 1000)
                try:
                    fault.run(steps)
                except Exception as error:
                    failed = fault.failed
                    raise AssertionError(
                        f"seed {seed}, call {call} ({failed.name} {failed.path}) fails with "
                        f"{errno.errorcode[number]}: {error}"
                    ) from error
                figures["points"] += 1
                figures[fault.end] += 1
    figures["calls"] = total
    return figures


def run(seed: int) -> Mapping[str, float]:
    """All calls of one load."""
    return try_all(seed, STEPS, NUMBERS)


CAMPAIGN = Campaign(
    name="io-faults",
    what="each I/O call of a load fails once with EIO, ENOSPC and EMFILE (C7; P12, P13)",
    units=40,
    run=run,
)
