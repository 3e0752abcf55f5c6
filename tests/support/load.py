"""Load from `posthouse perf amqp`, in a process of its own, against any broker; what the long tests measure with."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import select
import subprocess
import sys
import threading
import time
from typing import Any

from tests.support import link as amqp
from tests.support.nodes import PosthouseNode
from tests.support.rabbit import RabbitNode

Node = PosthouseNode | RabbitNode
# What `posthouse perf` calls its first queue.
QUEUE = "perf.queue000000"
MB = 1 << 20


def perf(node: Node, *options: str, deadline_s: float = 600.0) -> dict[str, Any]:
    """Run the load generator; returns its figures.

    Raises:
        AssertionError: something is missing, or a connection broke.
    """
    command = [sys.executable, "-m", "posthouse.cli.main", "perf", "amqp", "--json"]
    command += ["--url", node.url(), "--deadline", str(deadline_s), "--drain", "60", *options]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stdout.strip(), f"{' '.join(options)}: {run.stderr[-2000:]}"
    figures: dict[str, Any] = json.loads(run.stdout)
    assert figures["ok"], figures
    return figures


def fill(node: Node, count: int, size: int, *, persistent: bool) -> dict[str, Any]:
    """Publish a backlog into `QUEUE` and leave it there; persistent ones are confirmed when this returns."""
    kind = ["--persistent", "--durable", "--confirm", "1000"] if persistent else []
    options = ["--mode", "flow", "--count", str(count), "--size", str(size), "--consumers", "0"]
    figures = perf(node, *options, *kind, "--keep")
    assert figures["published"] == count, figures
    return figures


def first_delivery(port: int, timeout_s: float) -> tuple[bool, int]:
    """Consume from `QUEUE` until a message is there; returns its redelivered flag and how many were ready before."""
    link = amqp.Link(port, timeout_s)
    try:
        ready = link.declare_queue(QUEUE, passive=True)
        link.consume(QUEUE, 1)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            select.select([link], [], [], 1.0)
            for event in link.receive():
                if event.method == amqp.BASIC_DELIVER:
                    return bool(event.arguments[event.arguments[0] + 9]), ready
    finally:
        link.close()
    raise AssertionError(f"nothing was delivered within {timeout_s} s; {ready} were ready")


def drop_page_cache(directory: pathlib.Path) -> None:
    """Make the next reading of the files below come from the disk, as after a start of the machine."""
    for path in directory.rglob("*"):
        if path.is_file():
            with contextlib.suppress(OSError), path.open("rb") as file:
                os.fdatasync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class PeakMemory:
    """Watches a node's resident memory from a thread of its own; ``octets`` is the most that was seen, after the block."""

    def __init__(self, node: Node, every_s: float = 0.05) -> None:
        self._node = node
        self._every_s = every_s
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.octets = 0

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(self._every_s):
            self.octets = max(self.octets, self._node.resident_bytes())
