"""Brokers that tests start for themselves: Posthouse, and a RabbitMQ node from Debian's package.

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
from typing import IO, Any

import pytest

START_TIMEOUT_S = 30.0
RABBIT_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"


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
    ) -> None:
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
        command = [sys.executable, "-m", "posthouse.cli.main", "start"]
        command += ["--amqp-port", "0", "--ready-json", *self._arguments]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, **self._environment},
        )
        assert self.process.stdout is not None
        line = _first_line(self.process.stdout, START_TIMEOUT_S)
        if not line:
            raise RuntimeError(f"the broker did not start: {self.stderr()}")
        self.ready = json.loads(line)
        self.port = int(self.ready["amqp"]["port"])
        return self

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


class RabbitNode:
    """A RabbitMQ node of our own: free ports for AMQP, distribution and epmd, own name, own directories."""

    def __init__(self, settings: Sequence[str] = ()) -> None:
        """``settings`` are further lines of rabbitmq.conf."""
        self._settings = settings
        self._server = require(RABBIT_SERVER, "Debian: apt-get install rabbitmq-server")
        self._directory = tempfile.TemporaryDirectory(prefix="rabbit-test-")
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._environment: dict[str, str] = {}

    def start(self) -> RabbitNode:
        """Start the node and wait until it answers a protocol header."""
        base = pathlib.Path(self._directory.name)
        self.port = free_port()
        (base / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "disk_free_limit.absolute = 50MB\nlog.file.level = warning\n"
            + "".join(f"{line}\n" for line in self._settings)
        )
        (base / "plugins").write_text("[].\n")
        self._environment = {
            **os.environ,
            "HOME": str(base),
            "ERL_EPMD_PORT": str(free_port()),
            "RABBITMQ_NODENAME": "test@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_MNESIA_BASE": str(base / "mnesia"),
            "RABBITMQ_LOG_BASE": str(base / "log"),
            "RABBITMQ_CONFIG_FILE": str(base / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(base / "plugins"),
            "RABBITMQ_PID_FILE": str(base / "pid"),
            "RABBITMQ_CONF_ENV_FILE": str(base / "env"),
        }
        self._process = subprocess.Popen(
            [self._server],
            env=self._environment,
            cwd=base,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()
        return self

    def _wait(self) -> None:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError("the RabbitMQ node ended while starting")
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as sock:
                    sock.sendall(b"AMQP\0\0\x09\x01")
                    sock.settimeout(5)
                    if sock.recv(1):
                        return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("the RabbitMQ node does not answer")

    def url(self) -> str:
        """For clients that take one."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2f"

    def resident_bytes(self) -> int:
        """Resident memory of the node with all its processes."""
        assert self._process is not None
        total = 0
        for statm in pathlib.Path("/proc").glob("[0-9]*/statm"):
            try:
                if os.getpgid(int(statm.parent.name)) == self._process.pid:
                    total += int(statm.read_text().split()[1])
            except (OSError, ValueError):
                continue  # it ended meanwhile
        return total * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> None:
        """End the node and its epmd."""
        if self._process is not None:
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(self._process.pid, number)
                    self._process.wait(20)
                    break
                except ProcessLookupError:
                    break
                except subprocess.TimeoutExpired:
                    continue
            epmd = shutil.which("epmd")
            if epmd:
                subprocess.run(
                    [epmd, "-port", self._environment["ERL_EPMD_PORT"], "-kill"],
                    env=self._environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    check=False,
                )
        self._directory.cleanup()


@pytest.fixture(scope="session")
def rabbit_node() -> Iterator[RabbitNode]:
    """One RabbitMQ for the whole run; it takes seconds to start."""
    node = RabbitNode().start()
    yield node
    node.stop()


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
