"""A RabbitMQ node from Debian's package, on free ports of 127.0.0.1 and with everything in a directory of its own."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.support.nodes import free_port, require, wait_stopped

RABBIT_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"


class RabbitNode:
    """A RabbitMQ node of our own: free ports for AMQP, distribution and epmd, own name, own directories."""

    def __init__(self, settings: Sequence[str] = (), data_dir: pathlib.Path | None = None) -> None:
        """``settings`` are further lines of rabbitmq.conf; ``data_dir`` is for what must survive, one that goes if not given."""
        self._settings = settings
        self._server = require(RABBIT_SERVER, "Debian: apt-get install rabbitmq-server")
        self._directory = tempfile.TemporaryDirectory(prefix="rabbit-test-")
        self.data_dir = data_dir or pathlib.Path(self._directory.name) / "mnesia"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._environment: dict[str, str] = {}

    def start(self) -> RabbitNode:
        """Start the node and wait until it answers a protocol header."""
        self.launch()
        if not self.wait_ready(90.0):
            raise RuntimeError("the RabbitMQ node does not answer")
        return self

    def launch(self) -> None:
        """Start the node; `wait_ready` comes next."""
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
            # One epmd for the node's whole life, as it outlives a killed node.
            "ERL_EPMD_PORT": self._environment.get("ERL_EPMD_PORT") or str(free_port()),
            "RABBITMQ_NODENAME": "test@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_MNESIA_BASE": str(self.data_dir),
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

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until the node answers a protocol header; False if it did not in time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not self.is_alive():
                said = self.stderr()[-1500:]
                raise RuntimeError(f"the RabbitMQ node ended while starting: {said}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as sock:
                    sock.sendall(b"AMQP\0\0\x09\x01")
                    sock.settimeout(5)
                    if sock.recv(1):
                        return True
            except OSError:
                time.sleep(0.1)
        return False

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def check(self) -> None:
        """Fail if the node ended by itself."""
        assert self.is_alive(), "the RabbitMQ node ended by itself"

    def stderr(self) -> str:
        """What it logged."""
        logs = sorted(pathlib.Path(self._directory.name, "log").glob("*.log"))
        return "".join(path.read_text(errors="replace") for path in logs)

    def _group(self) -> list[int]:
        """The processes of the node."""
        assert self._process is not None
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.getpgid(int(path.name)) == self._process.pid:
                    found.append(int(path.name))
        return found

    def freeze(self) -> None:
        """SIGSTOP to all its processes, and wait until no thread runs any more."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)
        wait_stopped(self._group())

    def kill(self) -> None:
        """SIGKILL to all its processes."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(20)

    def terminate(self, timeout_s: float = 60.0) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGTERM)
        return self._process.wait(timeout_s)

    def restart(self) -> RabbitNode:
        """Start again on the same directory; the port is a new one."""
        return self.start()

    def url(self) -> str:
        """For clients that take one."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2f"

    def resident_bytes(self) -> int:
        """Resident memory of the node with all its processes."""
        total = 0
        for process in self._group():
            with contextlib.suppress(OSError):  # it ended meanwhile
                total += int(pathlib.Path(f"/proc/{process}/statm").read_text().split()[1])
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
