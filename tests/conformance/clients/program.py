"""A client in another language as a subprocess, and the few words it speaks with the test.

The program gets the broker's URL as its argument and prints one word per step it has *checked itself* (`publish`, `confirm`,
...); it ends with status 0, or prints what went wrong and ends with another. The word `cut` asks the test to reset the
program's connection: the program then has to come back by its library's own recovery.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.conformance.clients.tools import Broker, CutProxy

# What every client shows; a library without one of them is tested without it, and its test says so.
STEPS = ("publish", "consume", "confirm", "return", "get", "recover")


def run_program(
    command: Sequence[str], broker: Broker, *, cwd: Path, timeout_s: float = 60.0
) -> list[str]:
    """Run a client program through a proxy that can cut; return the steps it reported.

    Raises:
        AssertionError: it failed or did not end in time; the text has its output.
    """
    proxy = CutProxy(broker.host, broker.port)
    process = subprocess.Popen(
        [*command, proxy.url],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    alarm = threading.Timer(timeout_s, process.kill)
    alarm.start()
    lines: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if lines[-1] == "cut":
                assert proxy.cut() >= 1, "nothing to cut"
        status = process.wait()
    finally:
        alarm.cancel()
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
        proxy.close()
    assert status == 0, f"status {status}, output:\n" + "\n".join(lines)
    return lines
