"""Fuzz of the AMQP session, in process: whole broker, no sockets, the same kernels.

A unit is a seed: `INPUTS` inputs, spread over some brokers (`arena`) and pairs of brokers that get the same octets in other pieces
(`pieces`). An input is one mutated session, or one mutated sequence of frames given to a live session; what is said rightly in between,
so that there are queues, consumers and messages, is not counted. Promises: no exception but what the session answers as an error of the
protocol; no 541 and no log record of level ERROR; output that is a sequence of whole, known frames; bodies as they were sent; the
books of `accounts`; the good client gets its answer; no input takes more than `INPUT_S` of processor time; no hang.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import random
import tempfile
import time
from collections.abc import Iterator

from posthouse.server.logs import LineFormatter
from tests.fuzz import pieces
from tests.fuzz.arena import Arena
from tests.fuzz.witness import Broken
from tests.torture.campaign import Campaign, Figures

INPUTS = 1000
INPUTS_IN_WORLD = 60
CHECK_EVERY = 10
# Behind the inputs of a world, so many go to a pair of brokers each.
PAIRS = 10
INPUT_S = 2.0
# For a whole unit, which takes less than two seconds; interpreted kernels on a busy machine take fifty times as long.
HANG_S = 300.0


class Listener(logging.Handler):
    """Formats log records as a real handler would, and keeps those that should not be."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """A record that cannot be written is as bad as an error."""
        text = self.format(record)
        if record.levelno >= logging.ERROR or b"\n" in text.encode():
            self.errors.append(text)


@contextlib.contextmanager
def listening(level: int) -> Iterator[Listener]:
    """Listen to the broker's log."""
    logger = logging.getLogger("posthouse")
    listener = Listener()
    before, was_open = logger.level, logger.propagate
    logger.addHandler(listener)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield listener
    finally:
        logger.removeHandler(listener)
        logger.setLevel(before)
        logger.propagate = was_open


@contextlib.contextmanager
def watched(name: str, limit_s: float) -> Iterator[None]:
    """End the process after ``limit_s``, leaving a file with the unit's name and all stacks; compiled loops too, hence no signal."""
    path = os.path.join(tempfile.gettempdir(), f"posthouse-hang-{name}-{os.getpid()}.txt")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{name} did not end within {limit_s} s\n")
        file.flush()
        faulthandler.dump_traceback_later(limit_s, exit=True, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
    os.unlink(path)


class Unit:
    """The inputs of one seed."""

    def __init__(self, seed: int) -> None:
        self.choice = random.Random(f"session {seed}")
        self.inputs = 0
        self.messages = 0
        self.octets = 0
        self.pairs = 0
        self.slowest_s = 0.0

    def run(self, count: int, listener: Listener) -> None:
        """Go on until there were ``count`` inputs."""
        while self.inputs < count:
            self._pairs(min(PAIRS, count - self.inputs), listener)
            self._world(min(INPUTS_IN_WORLD, count - self.inputs), listener)

    def _pairs(self, count: int, listener: Listener) -> None:
        for _ in range(count):
            begin = time.process_time()
            pieces.check_pieces(self.choice)
            self._count(begin, listener)
            self.pairs += 1

    def _world(self, count: int, listener: Listener) -> None:
        arena = Arena(self.choice)
        n = 0
        try:
            while n < count:
                begin = time.process_time()
                if arena.step():
                    n += 1
                    self._count(begin, listener)
                    if n % CHECK_EVERY == 0:
                        arena.check()
            arena.check()
            arena.finish()
        except Exception as error:
            shown = arena.last[:400]
            raise Broken(f"{error!r} after the octets {shown!r}") from error
        self.messages += arena.messages
        self.octets += arena.said
        if listener.errors:
            raise Broken(f"logged: {listener.errors[:3]}")

    def _count(self, begin: float, listener: Listener) -> None:
        self.inputs += 1
        took = time.process_time() - begin
        self.slowest_s = max(self.slowest_s, took)
        if took > INPUT_S:
            raise Broken(f"an input took {took:.1f} s")
        if listener.errors:
            raise Broken(f"logged: {listener.errors[:3]}")


def run(seed: int, count: int = INPUTS) -> Figures:
    """The unit of ``seed``, or its first ``count`` inputs."""
    level = logging.INFO if seed % 4 == 0 else logging.WARNING
    unit = Unit(seed)
    begin = time.process_time()
    with watched(f"session-{seed}", HANG_S), listening(level) as listener:
        try:
            unit.run(count, listener)
        except Exception as error:
            raise Broken(f"seed {seed}, input {unit.inputs}: {error}") from error
    return {
        "inputs": unit.inputs,
        "inputs_in_pairs": unit.pairs,
        "messages_delivered": unit.messages,
        "octets": unit.octets,
        "cpu_s": time.process_time() - begin,
        "slowest_input_s_max": unit.slowest_s,
    }


CAMPAIGN = Campaign(
    name="session-fuzz",
    what="mutated AMQP sessions, structure-aware and blind, on a whole broker in memory: no crash, no hang, books in order",
    units=1000,
    run=run,
    batch=20,
)
