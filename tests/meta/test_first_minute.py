"""A stranger's first minute: `posthouse start` as a process, and the script of the README against it.

What is tested is what the person sees: the first lines, the script's output, the sentences and exit codes when something is in
the way.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
START = [sys.executable, "-m", "posthouse", "start", "--amqp-port", "0"]
DEADLINE_S = 30.0

pytestmark = pytest.mark.slow


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}


class Broker:
    """A running broker and what it has printed."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout is not None
        deadline = time.monotonic() + DEADLINE_S
        text = b""
        while b"ctrl-C\n" not in text:
            wait = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([process.stdout], [], [], wait)
            assert ready, f"the broker said only {text!r}"
            more = os.read(process.stdout.fileno(), 65536)
            assert more, f"the broker ended after {text!r}: {process.communicate()[1]!r}"
            text += more
        self.lines = text.decode().splitlines()

    @property
    def port(self) -> int:
        (line,) = (line for line in self.lines if "AMQP 0-9-1" in line)
        return int(line.rsplit(":", 1)[1])

    def stop(self) -> tuple[int, str]:
        """SIGTERM; exit code and stderr."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, errors.decode()


@contextlib.contextmanager
def broker(cwd: pathlib.Path, *options: str) -> Iterator[Broker]:
    process = subprocess.Popen(
        [*START, *options],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield Broker(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def run(cwd: pathlib.Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A start that is expected to fail."""
    return subprocess.run(
        [*START, *options],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


def readme_script(port: int) -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"<!-- run: [^>]*-->\n```python\n(.*?)```", text, re.DOTALL)
    assert "localhost:5672/" in script
    return str(script).replace("localhost:5672/", f"localhost:{port}/")


def test_the_script_of_the_readme_sends_and_receives(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("pika", reason="the README's script needs pika")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    with broker(tmp_path) as node:
        result = subprocess.run(
            [sys.executable, "-c", readme_script(node.port)],
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_S,
        )
        assert result.stderr == ""
        assert f"prints `{result.stdout.strip()}`" in text
        assert node.stop() == (0, "")


def test_an_empty_directory_is_enough(tmp_path: pathlib.Path) -> None:
    with broker(tmp_path) as node:
        text = "\n".join(node.lines)
        assert f"{tmp_path / 'posthouse-data'} (durability: fsync)" in text
        assert "user         guest, password guest, from this machine only" in text
        assert f"perf amqp --url amqp://guest:guest@127.0.0.1:{node.port}/" in text
        assert node.stop() == (0, "")
    with broker(tmp_path) as again:
        assert again.stop() == (0, "")


def test_memory_only_writes_nothing(tmp_path: pathlib.Path) -> None:
    with broker(tmp_path, "--memory") as node:
        assert "nothing survives" in "\n".join(node.lines)
        assert node.stop() == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_a_script_can_read_where_the_broker_is(tmp_path: pathlib.Path) -> None:
    with broker(tmp_path, "--ready-json", "--data-dir", "d", "--durability", "os") as node:
        ready = json.loads(node.lines[0])
        assert ready == {
            "event": "ready",
            "pid": node.process.pid,
            "amqp": {"host": "127.0.0.1", "port": node.port},
            "data_dir": str(tmp_path / "d"),
            "durability": "os",
        }


def test_a_port_in_use_is_said_in_one_sentence(tmp_path: pathlib.Path) -> None:
    with broker(tmp_path, "--memory") as node:
        result = run(tmp_path, "--memory", "--amqp-port", str(node.port))
        assert result.returncode == 69
        assert result.stderr == (
            f"posthouse: cannot listen on 127.0.0.1:{node.port}: Address already in use; "
            "give another --amqp-port (0 picks a free one)\n"
        )


def test_a_data_directory_in_use_is_said_in_one_sentence(tmp_path: pathlib.Path) -> None:
    with broker(tmp_path, "--data-dir", "d") as node:
        result = run(tmp_path, "--data-dir", "d")
        assert result.returncode == 69
        assert result.stderr == (
            f"posthouse: the data directory {tmp_path / 'd'} is in use by process "
            f"{node.process.pid}: stop that broker, or choose another --data-dir\n"
        )


def test_a_data_directory_that_is_a_file_is_said_in_one_sentence(tmp_path: pathlib.Path) -> None:
    (tmp_path / "d").write_text("")
    result = run(tmp_path, "--data-dir", "d")
    assert result.returncode == 69
    assert len(result.stderr.splitlines()) == 1
    assert "the data directory d cannot be used" in result.stderr


def test_a_directory_of_another_version_is_left_alone(tmp_path: pathlib.Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "format").write_text("posthouse 999\n")
    result = run(tmp_path, "--data-dir", "d")
    assert result.returncode == 69
    assert "use the version that wrote the directory" in result.stderr
    assert (tmp_path / "d" / "format").read_text() == "posthouse 999\n"
    assert not (tmp_path / "d" / "shard").exists()


@pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="needs /proc")
def test_a_start_is_cheap(tmp_path: pathlib.Path) -> None:
    """At most 40 MB resident and 0.5 s of CPU (the promise is 0.5 s on the clock, on an idle machine)."""
    with broker(tmp_path) as node:
        process = pathlib.Path("/proc") / str(node.process.pid)
        resident = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        user, system = (process / "stat").read_text().rsplit(")", 1)[1].split()[11:13]
        cpu_s = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    assert resident <= 40_000_000
    assert cpu_s <= 0.5
