"""One worker process as its owner sees it: what it says, how it ends, and that nothing of it is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from tests.torture.campaign import Campaign
from tests.torture.record import ROOT, Outcome

SAID_OCTETS_MAX = 8192
# A RabbitMQ node that is to be stopped takes a while; it is not in the worker's process group.
STOP_S = 25.0
LAST_WORDS_S = 2.0


class Worker:
    """A process that does a batch of seeds, in a process group and a temporary directory of its own.

    The owner calls `receive` when `fileno` is readable and `expire` when `deadline` is past, until `is_over`; then `outcomes` has one for
    each seed that was begun, and `left` the seeds that were not.
    """

    def __init__(
        self, campaign: Campaign, where: str, seeds: Sequence[int], directory: pathlib.Path
    ) -> None:
        """Start it. ``directory`` is where its temporary files go."""
        directory.mkdir(parents=True, exist_ok=True)
        self._campaign = campaign
        self.left = list(seeds)
        self.outcomes: list[Outcome] = []
        self.is_over = False
        self._begun: int | None = None
        self._begun_at = time.monotonic()
        self._has_expired = False
        self._has_begun = False
        self._is_stopped = False
        self._in = b""
        self._directory = tempfile.mkdtemp(prefix="unit-", dir=directory)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed at the end)
        self._pipe, end = os.pipe()
        command = [sys.executable, "-m", "tests.torture.worker", where, str(end)]
        self._process = subprocess.Popen(
            [*command, *map(str, seeds)],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": self._directory},
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            pass_fds=[end],
            start_new_session=True,
        )
        os.close(end)

    def fileno(self) -> int:
        """The pipe, for a selector."""
        return self._pipe

    @property
    def deadline(self) -> float:
        """When the unit at hand has failed, on the monotonic clock."""
        return self._begun_at + self._campaign.timeout_s

    def receive(self) -> None:
        """Take what it said; at the end of the pipe also how it ended."""
        data = os.read(self._pipe, 1 << 16)
        *lines, self._in = (self._in + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        if not data:
            self._end()

    def _take(self, said: dict[str, object]) -> None:
        self._begun_at = time.monotonic()
        if "begun" in said:
            self._has_begun = True
            self._begun = self.left.pop(0)
            assert self._begun == said["begun"]
        else:
            self._begun = None
            self.outcomes.append(Outcome(**said))  # type: ignore[arg-type]

    def expire(self) -> None:
        """The time is up: it says where it stands, and ends."""
        self._has_expired = True
        self._wind_up()

    def stop(self) -> None:
        """End it; the unit at hand has no outcome."""
        self._begun = None
        self._is_stopped = True
        self._wind_up()

    def _wind_up(self) -> None:
        """Let it stop what it has started, if it can do that soon."""
        for number, patience_s in ((signal.SIGTERM, STOP_S), (signal.SIGABRT, LAST_WORDS_S)):
            # Neither this nor the waiting takes the status, as `Popen.send_signal` may: the group keeps its number until it is ended.
            os.kill(self._process.pid, number)
            deadline = time.monotonic() + patience_s
            options = os.WEXITED | os.WNOWAIT | os.WNOHANG
            while not (is_over := os.waitid(os.P_PID, self._process.pid, options)):
                if time.monotonic() > deadline:
                    break
                time.sleep(0.02)
            if is_over:
                break
        self._end()

    def _end(self) -> None:
        if not self._has_expired and not self._is_stopped:
            # The pipe's end was closed: it is about to end by itself. Its group is ended while its number is still its own.
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        status = self._process.wait()
        os.close(self._pipe)
        self._said.seek(0)
        said = self._said.read()[-SAID_OCTETS_MAX:].decode("utf-8", "replace")
        self._said.close()
        clear(pathlib.Path(self._directory))
        self.is_over = True
        if self._begun is not None:
            seconds = round(time.monotonic() - self._begun_at, 3)
            error = f"{self._ending(status)}\n{said}"
            self.outcomes.append(Outcome(self._begun, seconds, {}, error))
        elif not self._has_begun and not self._is_stopped:
            raise CannotBegin(f"{self._campaign.name}: {self._ending(status)}\n{said}")

    def _ending(self, status: int) -> str:
        if self._has_expired:
            return f"not done after {self._campaign.timeout_s:g} s"
        if status < 0:
            return f"the process was ended by {signal.Signals(-status).name}"
        return f"the process ended with status {status}"


class CannotBegin(Exception):
    """A worker ended before it began its first unit: the next one would, too."""


def clear(directory: pathlib.Path) -> None:
    """Remove a directory, also if a unit that was ended left a file system mounted in it."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/self/mounts").read_text("utf-8").splitlines():
            mounted = line.split(" ")[1]
            if mounted.startswith(f"{directory}/"):
                subprocess.run(["umount", "-l", mounted], check=False, capture_output=True)
    shutil.rmtree(directory, ignore_errors=True)


def own_scratch(state: pathlib.Path) -> pathlib.Path:
    """Where this process puts temporary files; what ended ones left is removed, what others use meanwhile is not."""
    scratch = state / "tmp"
    for left in scratch.glob("*"):
        if not left.name.isdigit() or not pathlib.Path("/proc", left.name).exists():
            clear(left)
    return scratch / str(os.getpid())
