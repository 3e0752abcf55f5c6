"""Brokers started for a measurement: on free ports of the loopback interface, in directories of their own, stopped at the end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

from posthouse.cli.perf import watch
from posthouse.cli.perf.control import BrokerClosed, Control
from posthouse.cli.perf.plan import Address

ROOT = Path(__file__).resolve().parents[1]
START_MAX_S = 60.0
STOP_MAX_S = 20.0


class CannotStart(Exception):
    """The broker is not installed or did not come up."""


class Broker(Protocol):
    """A running broker. ``pid`` is the process whose CPU time and memory count."""

    name: str
    port: int
    pid: int
    version: str
    idle_rss_kb: int
    start_s: float
    command: str

    def stop(self) -> None:
        """End it and remove its directory."""


def environment() -> dict[str, str]:
    """That of this process, in which Python finds the sources of this working tree."""
    paths = (str(ROOT / "src"), os.environ.get("PYTHONPATH", ""))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)}


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def version_of(port: int, deadline: float) -> str:
    """Wait until the broker lets us in; the version it names.

    Raises:
        BrokerClosed: not before ``deadline`` (`time.monotonic`).
    """
    while True:
        try:
            control = Control(Address(port=port), deadline)
        except BrokerClosed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)
            continue
        properties: dict[str, Any] = control.server_properties  # field values
        control.close()
        version = properties.get("version", "")
        return version.decode() if isinstance(version, bytes) else str(version)


class Posthouse:
    """The broker of this working tree."""

    name = "posthouse"

    def __init__(self, parent: Path, durability: str) -> None:
        self._dir = Path(tempfile.mkdtemp(prefix="posthouse-", dir=parent))
        arguments = ["start", "--data-dir", "{dir}/data", "--amqp-port", "0", "--ready-json"]
        arguments += ["--durability", durability]
        self.command = " ".join(["posthouse", *arguments])
        began = time.monotonic()
        with (self._dir / "out").open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "posthouse.cli.main"]
                + [a.replace("{dir}", str(self._dir)) for a in arguments],
                env=environment(),
                cwd=self._dir,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            ready = self._ready(began + START_MAX_S)
            self.port = int(ready["amqp"]["port"])
            socket.create_connection(("127.0.0.1", self.port), 10).close()
            self.start_s = time.monotonic() - began
            self.pid = self._process.pid
            self.idle_rss_kb = watch.rss_kb(self.pid)
            self.version = version_of(self.port, began + START_MAX_S)
        except BaseException:
            self.stop()
            raise

    def _ready(self, deadline: float) -> dict[str, Any]:  # JSON
        out = self._dir / "out"
        while time.monotonic() < deadline:
            line, newline, _ = out.read_text(errors="replace").partition("\n")
            if newline and line.startswith("{"):
                ready: dict[str, Any] = json.loads(line)
                return ready
            if self._process.poll() is not None:
                break
            time.sleep(0.002)
        raise CannotStart(f"posthouse did not start: {out.read_text(errors='replace')[-500:]}")

    def stop(self) -> None:
        stop_group(self._process)
        shutil.rmtree(self._dir, ignore_errors=True)


class RabbitMQ:
    """A node of our own of the installed RabbitMQ, away from any other on this host."""

    name = "rabbitmq"
    command = "rabbitmq-server, with an own node name, ports and directories"

    def __init__(self, parent: Path) -> None:
        executable = self.executable()
        if executable is None:
            raise CannotStart("rabbitmq-server is not installed")
        self._dir = Path(tempfile.mkdtemp(prefix="rabbitmq-", dir=parent))
        self.port = free_port()
        self._environment = self._configure()
        began = time.monotonic()
        with (self._dir / "out").open("wb") as out:
            self._process = subprocess.Popen(
                [executable],
                env=self._environment,
                cwd=self._dir,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid
        try:
            self.version = self._await(began + START_MAX_S)
            self.start_s = time.monotonic() - began
            self.pid = self._emulator()
            self.idle_rss_kb = watch.rss_kb(self.pid)
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def executable() -> str | None:
        """The server's program; the package's wrapper on PATH switches user, so not that one."""
        packaged = "/usr/lib/rabbitmq/bin/rabbitmq-server"
        if os.access(packaged, os.X_OK):
            return packaged
        return os.environ.get("RABBITMQ_SERVER_BIN") or shutil.which("rabbitmq-server")

    def _configure(self) -> dict[str, str]:
        base = self._dir
        (base / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "vm_memory_high_watermark.relative = 0.6\n"
            "disk_free_limit.absolute = 200MB\n"
            "log.file.level = warning\n"
        )
        (base / "plugins").write_text("[].\n")
        return dict(
            os.environ,
            HOME=str(base),
            ERL_EPMD_PORT=str(free_port()),
            RABBITMQ_NODENAME="bench@localhost",
            RABBITMQ_DIST_PORT=str(free_port()),
            RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_NODE_PORT=str(self.port),
            RABBITMQ_MNESIA_BASE=str(base / "mnesia"),
            RABBITMQ_LOG_BASE=str(base / "log"),
            RABBITMQ_CONFIG_FILE=str(base / "rabbitmq"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(base / "plugins"),
            RABBITMQ_PID_FILE=str(base / "pid"),
            RABBITMQ_CONF_ENV_FILE=str(base / "env"),
        )

    def _await(self, deadline: float) -> str:
        while self._process.poll() is None:
            try:
                return version_of(self.port, min(deadline, time.monotonic() + 0.5))
            except BrokerClosed as error:
                if time.monotonic() > deadline:
                    raise CannotStart(f"rabbitmq-server did not answer: {error}") from error
        raise CannotStart(f"rabbitmq-server ended: {(self._dir / 'out').read_text()[-500:]}")

    def _emulator(self) -> int:
        """The largest process of the session that we started."""
        best = (0, self._process.pid)
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except (OSError, IndexError):
                continue
            if int(fields[3]) == self._process.pid:
                best = max(best, (int(fields[21]), int(entry.name)))
        return best[1]

    def freeze(self) -> None:
        """Have it not run at all while another broker is measured: idle, it still collects garbage and statistics."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it run again."""
        self._signal(signal.SIGCONT)

    def _signal(self, sign: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, sign)

    def stop(self) -> None:
        self.thaw()
        stop_group(self._process)
        epmd = shutil.which("epmd")
        if epmd:  # a daemon of its own, on a port that only we know
            subprocess.run(
                [epmd, "-port", self._environment["ERL_EPMD_PORT"], "-kill"],
                env=self._environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
        shutil.rmtree(self._dir, ignore_errors=True)


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """End the process group that ``process`` leads: politely, then not."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(STOP_MAX_S)
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait(STOP_MAX_S)
