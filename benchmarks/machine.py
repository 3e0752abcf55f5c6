"""The machine: what it is, and what it could do at best with the same bytes.

The relay is the floor under any broker: a process that receives what the generator sends and sends it on, without a
look at it. The disk figures are those of the directory in which the brokers keep their data.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import selectors
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from posthouse import __version__
from posthouse._kernels import compiled_kernels
from posthouse.cli.perf.plan import Plan
from posthouse.cli.perf.units import encode_units

CHUNK = 256 * 1024
WRITE_BYTES = 256 * 1024 * 1024


def describe() -> dict[str, Any]:
    """What a reader needs to judge the figures; no name of the host, no paths."""
    kernels = compiled_kernels()
    return {
        "cpu": _field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_kb": int((_field("/proc/meminfo", "MemTotal") or "0").split()[0]),
        "kernel": platform.release(),
        "system": _field("/etc/os-release", "PRETTY_NAME", "=").strip('"'),
        "python": platform.python_version(),
        "posthouse": __version__,
        "kernels_compiled": f"{sum(kernels.values())} of {len(kernels)}",
        "commit": _commit(),
        "load_before": os.getloadavg()[0],
    }


def _field(path: str, name: str, separator: str = ":") -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        key, found, value = line.partition(separator)
        if found and key.strip() == name:
            return value.strip()
    return ""


def _commit() -> str:
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return found.stdout.strip()


def limits(directory: Path, seconds: float) -> dict[str, float]:
    """The machine's own limits; takes about six times ``seconds``."""
    found = {}
    for name, size in (("16", 16), ("1k", 1024), ("64k", 65536)):
        found[f"relay_{name}_per_s"] = relay_rate(Plan(size_bytes=size), seconds)
    found["write_mib_per_s"] = write_rate(directory)
    found["fdatasync_per_s"] = sync_rate(directory, seconds)
    return found


def _relay(inlet: socket.socket, outlet: socket.socket) -> None:
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    while size := inlet.recv_into(buffer):
        outlet.sendall(view[:size])
    outlet.close()


def _pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    for end in (ours, theirs):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ours, theirs


def relay_rate(plan: Plan, seconds: float) -> float:
    """Messages a second that a relay which does not look at them passes on, over two TCP connections."""
    data = memoryview(encode_units(plan, 0, 131072).data)
    unit = encode_units(plan, 0, 131072).unit_bytes
    source, inlet = _pair()
    sink, outlet = _pair()
    # forked: it keeps the far ends, we keep the near ones
    process = multiprocessing.get_context("fork").Process(
        target=_child, args=(inlet, outlet, source, sink), daemon=True
    )
    process.start()
    inlet.close()
    outlet.close()
    source.setblocking(False)
    sink.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(source, selectors.EVENT_WRITE)
    selector.register(sink, selectors.EVENT_READ)
    buffer = bytearray(1024 * 1024)
    at = passed = 0
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        for key, _ in selector.select(0.1):
            if key.fileobj is source:
                try:
                    at = (at + source.send(data[at:])) % len(data)
                except BlockingIOError:
                    continue
            else:
                passed += sink.recv_into(buffer)
    rate = passed / unit / (time.monotonic() - began)
    selector.close()
    source.close()
    sink.close()
    process.join(2)
    if process.is_alive():
        process.kill()
        process.join()
    return round(rate)


def _child(
    inlet: socket.socket, outlet: socket.socket, source: socket.socket, sink: socket.socket
) -> None:
    source.close()
    sink.close()
    try:
        _relay(inlet, outlet)
    except OSError:
        return  # the other side has seen enough


def write_rate(directory: Path) -> float:
    """MiB a second of one sequential write with a sync at its end."""
    path = directory / "limit.write"
    chunk = os.urandom(1024 * 1024)
    began = time.monotonic()
    with path.open("wb", buffering=0) as file:
        for _ in range(WRITE_BYTES // len(chunk)):
            file.write(chunk)
        os.fdatasync(file.fileno())
    rate = WRITE_BYTES / 1048576 / (time.monotonic() - began)
    path.unlink()
    return round(rate, 1)


def sync_rate(directory: Path, seconds: float) -> float:
    """Appends of 4 KiB, each with its fdatasync, per second."""
    path = directory / "limit.sync"
    chunk = os.urandom(4096)
    done = 0
    began = time.monotonic()
    with path.open("wb", buffering=0) as file:
        while time.monotonic() < began + seconds:
            file.write(chunk)
            os.fdatasync(file.fileno())
            done += 1
    rate = done / (time.monotonic() - began)
    path.unlink()
    return round(rate, 1)
