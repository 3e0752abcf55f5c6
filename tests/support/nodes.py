"""Brokers that tests start for themselves: Posthouse here, a RabbitMQ node from Debian's package in `tests.support.rabbit`.

Both listen on free ports of 127.0.0.1 and keep everything in a directory of their own. `require` skips with a reason where a component is
missing; with POSTHOUSE_REQUIRE_ALL=1 a skip is a failure (see tests/conftest.py).
"""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import IO, Any, NoReturn

import pytest

START_TIMEOUT_S = 30.0


def require(component: str, hint: str = "") -> str:
    """A command or an importable module; the test is skipped with the reason where it is missing.

    Returns the command's path, or the module's name. ``hint`` says how to get it.
    """
    found = component if os.access(component, os.X_OK) else shutil.which(component)
    if found is not None:
        return found
    if component in sys.modules or (
        component.isidentifier() and importlib.util.find_spec(component) is not None
    ):
        return component
    pytest.skip(f"{component} is not installed{f' ({hint})' if hint else ''}")


# Skips with this reason stay skips where everything is required: no package can be installed against them (see tests/conftest.py).
MACHINE_LACKS = "this machine does not have"


def lacks(what: str) -> NoReturn:
    """Skip because of something that the machine, and not an installation, would have to have: rights, devices, a kernel.

    Only for tests whose promise is also tested where it is missing; say in the test where.
    """
    pytest.skip(f"{MACHINE_LACKS} {what}")


def free_port() -> int:
    """A port that was free a moment ago, for programs that cannot choose one themselves."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class PosthouseNode:
    """A broker process. Its stderr goes to a file that `check` reads for tracebacks."""

    def __init__(
        self,
        data_dir: str | pathlib.Path | None = None,
        *,
        memory: bool = False,
        durability: str | None = None,
        options: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        """``wrapper`` is a command that replaces itself by the one behind it, like ``prlimit``."""
        self._wrapper = wrapper
        self._own: tempfile.TemporaryDirectory[str] | None = None
        if data_dir is None and not memory:
            self._own = tempfile.TemporaryDirectory(prefix="posthouse-test-")
            data_dir = pathlib.Path(self._own.name) / "data"
        self.data_dir = None if memory else pathlib.Path(str(data_dir))
        self._arguments = ["--memory"] if memory else ["--data-dir", str(data_dir)]
        if durability is not None:
            self._arguments += ["--durability", durability]
        self._arguments += options
        self._environment = environment or {}
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        self.process: subprocess.Popen[bytes] | None = None
        self.ready: dict[str, Any] = {}
        self.port = 0

    def start(self) -> PosthouseNode:
        """Start the process and wait for its ready line."""
        self.launch()
        if not self.wait_ready(START_TIMEOUT_S):
            raise RuntimeError(f"the broker did not start: {self.stderr()}")
        return self

    def launch(self) -> None:
        """Start the process; `wait_ready` comes next."""
        command = [*self._wrapper, sys.executable, "-m", "posthouse.cli.main", "start"]
        command += ["--amqp-port", "0", "--ready-json", *self._arguments]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, **self._environment},
        )

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait for the ready line; False if it did not come in time, and the process is to be killed."""
        assert self.process is not None
        assert self.process.stdout is not None
        line = _first_line(self.process.stdout, timeout_s)
        if not line:
            return False
        self.ready = json.loads(line)
        self.port = int(self.ready["amqp"]["port"])
        return True

    def freeze(self) -> None:
        """SIGSTOP, and wait until no thread runs any more: nothing is written or answered after this returns."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        wait_stopped([self.pid])

    @property
    def pid(self) -> int:
        """The process id."""
        assert self.process is not None
        return self.process.pid

    def url(self) -> str:
        """For clients that take one."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2f"

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def resident_bytes(self) -> int:
        """Resident memory."""
        text = pathlib.Path(f"/proc/{self.pid}/statm").read_text()
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def stderr(self) -> str:
        """What the process said on stderr so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode("utf-8", "replace")

    def check(self) -> None:
        """Fail if the process ended by itself or logged an exception."""
        assert self.is_alive(), f"the broker ended by itself: {self.stderr()[-4000:]}"
        assert "Traceback" not in self.stderr(), self.stderr()[-4000:]

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self._reap(10)

    def terminate(self, timeout_s: float = 20.0) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self._reap(timeout_s)

    def wait_end(self, timeout_s: float) -> int:
        """Wait until the process ends by itself; returns the exit code."""
        return self._reap(timeout_s)

    def _reap(self, timeout_s: float) -> int:
        assert self.process is not None
        code = self.process.wait(timeout_s)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def restart(self) -> PosthouseNode:
        """Start again on the same directory; the port is a new one."""
        return self.start()

    def stop(self) -> None:
        """End whatever runs and remove what belongs to the node."""
        if self.is_alive():
            try:
                self.terminate()
            except subprocess.TimeoutExpired:
                self.kill()
        self._stderr.close()
        if self._own is not None:
            self._own.cleanup()


def _first_line(stream: IO[bytes], timeout_s: float) -> bytes:
    """The first line of a pipe, or nothing when it ends or the time is up."""
    deadline = time.monotonic() + timeout_s
    data = b""
    while b"\n" not in data:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([stream], [], [], left)[0]:
            return b""
        piece = os.read(stream.fileno(), 4096)
        if not piece:
            return b""
        data += piece
    return data.split(b"\n", 1)[0]


def wait_stopped(processes: Sequence[int], timeout_s: float = 20.0) -> None:
    """Wait until every thread is stopped or gone; one in a system call that cannot be interrupted ends it first."""
    deadline = time.monotonic() + timeout_s
    for process in processes:
        for stat in pathlib.Path(f"/proc/{process}/task").glob("*/stat"):
            while time.monotonic() < deadline:
                try:
                    state = stat.read_text().rpartition(")")[2].split()[0]
                except OSError:
                    break
                if state in "TtZX":
                    break
                time.sleep(0.0005)
            else:
                raise RuntimeError(f"{stat} does not stop")


@pytest.fixture(scope="module")
def posthouse_node() -> Iterator[PosthouseNode]:
    """One broker for a module, on a directory of its own; checked for exceptions at the end."""
    node = PosthouseNode().start()
    try:
        yield node
        node.check()
        assert node.terminate() == 0
    finally:
        node.stop()
