"""System calls of a real broker fail under load (C7; P12, P13): strace has the kernel say so.

What fails is counted by thread, and a start makes fewer calls than `WHEN`, so it is the committer that is hit. The same over every call
of the whole broker in process is `test_io_faults`.
"""

from __future__ import annotations

import pathlib
import subprocess

import pytest

from tests.support.full_disk import drained
from tests.support.nodes import PosthouseNode, lacks, require
from tests.support.numbered import WINDOW, publish

WHEN = 60
MESSAGES = 3000
STOP_S = 5.0
CONFIG = """
[limits]
disk_free_limit_bytes = 0
[log]
segment_size_bytes = 65536
"""


@pytest.fixture
def strace() -> str:
    """The command; what it shows is shown in process, too (`test_io_faults`)."""
    found = require("strace")
    if subprocess.run([found, "-qq", "-e", "trace=none", "true"], check=False).returncode:
        lacks("the right to trace processes")
    return found


def failing(strace: str, call: str, error: str, path: pathlib.Path, when: str) -> PosthouseNode:
    """A node of which one call fails."""
    config = path / "posthouse.toml"
    config.write_text(CONFIG, encoding="utf-8")
    inject = f"inject={call}:error={error}:when={when}"
    wrapper = [strace, "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
    return PosthouseNode(path / "data", options=["--config", str(config)], wrapper=wrapper)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "error"), [("fdatasync", "EIO"), ("fdatasync", "ENOSPC"), ("writev", "EIO")]
)
def test_a_failed_write_or_sync_ends_the_broker(
    strace: str, call: str, error: str, tmp_path: pathlib.Path
) -> None:
    node = failing(strace, call, error, tmp_path, str(WHEN)).start()
    confirmed = publish(node, MESSAGES, 1000)
    assert 0 < confirmed < MESSAGES
    assert node.wait_end(STOP_S) == 74
    assert "the journal failed" in node.stderr()
    node.stop()
    again = PosthouseNode(tmp_path / "data").start()
    try:
        assert "damage" not in again.stderr()
        assert drained(again, confirmed) <= confirmed + WINDOW
        again.check()
        assert again.terminate() == 0
    finally:
        again.stop()


@pytest.mark.slow
@pytest.mark.parametrize("when", [str(WHEN), f"{WHEN}..{WHEN + 3}"])
def test_a_disk_that_is_full_for_a_moment_costs_nothing(
    strace: str, when: str, tmp_path: pathlib.Path
) -> None:
    node = failing(strace, "writev", "ENOSPC", tmp_path, when).start()
    try:
        assert publish(node, MESSAGES, 1000) == MESSAGES
        assert "the disk is full" in node.stderr()
        assert drained(node, MESSAGES) == MESSAGES
        node.check()
        assert node.terminate() == 0
    finally:
        node.stop()
