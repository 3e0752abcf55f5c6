"""The disk of a simulation: in memory, and at a call that the seed chose the process dies, the power goes, or the call fails."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass

from posthouse.testing.files import MemoryFiles
from tests.simulation.switches import EIO, KILL, POWER


class Died(BaseException):
    """The process is no more: nothing but the driver may catch it."""


@dataclass
class Fault:
    """What happens at the ``count``-th call (0: the next) named ``name``; any call for an empty name."""

    kind: str
    name: str
    count: int

    def __str__(self) -> str:
        return f"{self.kind} at call {self.count} of {self.name or 'any'}"


class FaultyFiles:
    """Wraps the faults around `MemoryFiles`, which is replaced when the power goes.

    Attributes:
        memory: the disk as it is now.
        fault: what is planned; None for a good day.
        dead_by: ``kill`` or ``power`` once it happened.
        failed: names of the calls that failed in this life.
    """

    def __init__(self) -> None:
        self.memory = MemoryFiles()
        self.memory.on_call = self._on_call
        self.fault: Fault | None = None
        self.dead_by = ""
        self.failed: list[str] = []
        self.calls = 0
        self.is_watching = True
        self.on_fault: Callable[[str], object] = lambda _: None

    def _on_call(self, name: str, _path: str) -> None:
        if not self.is_watching:
            return
        if self.dead_by:
            raise Died
        self.calls += 1
        fault = self.fault
        if fault is None or (fault.name and fault.name != name):
            return
        if fault.count:
            fault.count -= 1
            return
        self.fault = None
        self.on_fault(f"{fault.kind} at {name}")
        if fault.kind == EIO:
            self.failed.append(name)
            raise OSError(errno.EIO, f"{os.strerror(errno.EIO)} ({name})")
        assert fault.kind in (KILL, POWER)
        self.dead_by = fault.kind
        raise Died

    def die(self, kind: str) -> None:
        """Now, between two calls."""
        self.dead_by = kind

    def restart(self, choice: random.Random) -> None:
        """What the next life finds."""
        if self.dead_by == POWER:
            capacity = self.memory.capacity
            self.memory.on_call = lambda _, __: None
            self.memory = self.memory.crash(choice)
            self.memory.on_call = self._on_call
            self.memory.capacity = capacity
        else:
            self.memory.kill()
        self.dead_by = ""
        self.fault = None
        self.failed = []

    def quietly(self) -> Quiet:
        """For looking at things: calls within count for nothing."""
        return Quiet(self)

    def unlink(self, path: str) -> None:
        """See `posthouse.journal.files.Files`. Pages are let go of where no exception may leave, so it is an OSError there."""
        try:
            self.memory.unlink(path)
        except Died:
            if "/pages/" in path:
                raise OSError(errno.EIO, os.strerror(errno.EIO), path) from None
            raise

    def __getattr__(self, name: str) -> object:
        return getattr(self.memory, name)


class Quiet:
    """No faults within."""

    def __init__(self, files: FaultyFiles) -> None:
        self._files = files

    def __enter__(self) -> None:
        self._files.is_watching = False

    def __exit__(self, *_: object) -> None:
        self._files.is_watching = True
