"""A worker process: some of the run's connections in one loop, steered through a pipe, counting in
shared memory.

Commands (the coordinator sends them, each is answered by the same word when done): ``consume``
attaches the consumers, ``produce`` the producers, ``forget`` clears the latencies (the warm-up is
over), ``stop`` ends publishing, ``finish`` ends the worker: its answer is a `Result`.
"""

from __future__ import annotations

import gc
import resource
import selectors
import signal
import time
from collections.abc import MutableSequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

from posthouse.cli.perf.control import BrokerClosed, Control
from posthouse.cli.perf.lane import ConsumerLane, Lane, ProducerLane
from posthouse.cli.perf.plan import Plan
from posthouse.cli.perf.timer import PreciseTimer
from posthouse.client.histogram import Histogram

# slots of a worker in the shared counters
PUBLISHED: Final = 0
RECEIVED: Final = 1
CONFIRMED: Final = 2
ERRORS: Final = 3
COUNTERS: Final = 4

COUNT_EVERY_NS: Final = 1_000_000
WAIT_MAX_S: Final = 0.02
PACED_WAIT_S: Final = 0.0005  # where there is no precise timer


@dataclass
class Result:
    """What a worker knows at the end. Times are of the monotonic clock in nanoseconds; 0: never."""

    published: int = 0
    received: int = 0
    confirmed: int = 0
    nacked: int = 0
    returned: int = 0
    blocked: int = 0
    first_sent: int = 0
    last_received: int = 0
    cpu_s: float = 0.0
    errors: tuple[str, ...] = ()
    delivery: tuple[bytes, int, int] = (b"", 0, 0)
    confirm: tuple[bytes, int, int] = (b"", 0, 0)


def cpu_seconds() -> float:
    """CPU time of this process, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _ignore(_: int) -> None:
    """The timer expired: it only had to wake the loop."""


class Worker:
    """Runs the producers and consumers whose number modulo ``processes`` is its own."""

    def __init__(
        self,
        plan: Plan,
        index: int,
        deadline: float,
        commands: Connection,
        counters: MutableSequence[int],
    ) -> None:
        self._plan = plan
        self._index = index
        self._deadline = deadline
        self._commands = commands
        self._counters = counters
        self._selector = selectors.DefaultSelector()
        self._timer: PreciseTimer | None = None
        if plan.mode == "latency" and PreciseTimer.is_available():
            self._timer = PreciseTimer()
            self._selector.register(self._timer, selectors.EVENT_READ, _ignore)
        self._selector.register(commands, selectors.EVENT_READ, self._on_command)
        self._producers: list[ProducerLane] = []
        self._consumers: list[ConsumerLane] = []
        self._errors: list[str] = []
        self._is_finished = False
        self._counted_at = 0
        self._cpu_before = cpu_seconds()

    def run(self) -> None:
        """Serve until ``finish``, or until the deadline has passed."""
        is_paced = self._plan.mode == "latency"
        while not self._is_finished and time.monotonic() < self._deadline:
            wait = WAIT_MAX_S
            if is_paced and self._producers:
                next_due = min([lane.produce_due() for lane in self._producers])
                if self._timer is not None:
                    self._timer.arm(next_due)
                else:
                    wait = PACED_WAIT_S
            for key, mask in self._selector.select(wait):
                key.data(mask)
            now = time.monotonic_ns()
            if now - self._counted_at >= COUNT_EVERY_NS:
                self._counted_at = now
                self._count()

    def close(self) -> None:
        """Close all connections."""
        for lane in self._lanes():
            lane.close()
        if self._timer is not None:
            self._timer.close()
        self._selector.close()

    def _lanes(self) -> list[Lane]:
        return [*self._producers, *self._consumers]

    def _mine(self, count: int) -> range:
        return range(self._index, count, self._plan.processes)

    def _on_command(self, _: int) -> None:
        try:
            command = self._commands.recv()
        except EOFError:  # the coordinator is gone
            self._is_finished = True
            return
        answer: object = command
        try:
            if command == "consume":
                for index in self._mine(self._plan.consumers):
                    control = Control(self._plan.address, self._deadline)
                    self._consumers.append(ConsumerLane(self._selector, self._plan, index, control))
            elif command == "produce":
                for index in self._mine(self._plan.producers):
                    control = Control(self._plan.address, self._deadline)
                    self._producers.append(ProducerLane(self._selector, self._plan, index, control))
            elif command == "forget":
                for lane in self._lanes():
                    lane.kernel.latency.clear()  # type: ignore[attr-defined]
            elif command == "stop":
                for producer in self._producers:
                    producer.is_stopping = True
            elif command == "finish":
                self._is_finished = True
                answer = self._result()
        except BrokerClosed as error:
            self._errors.append(str(error))
        self._count()
        self._commands.send(answer)

    def _count(self) -> None:
        counters = self._counters
        at = self._index * COUNTERS
        counters[at + PUBLISHED] = sum(lane.kernel.sent for lane in self._producers)
        counters[at + CONFIRMED] = sum(lane.kernel.confirmed for lane in self._producers)
        counters[at + RECEIVED] = sum(lane.kernel.received for lane in self._consumers)
        counters[at + ERRORS] = len(self._errors) + sum(bool(lane.error) for lane in self._lanes())

    def _result(self) -> Result:
        delivery, confirm = Histogram(), Histogram()
        for consumer in self._consumers:
            delivery.merge(consumer.kernel.latency)
        for producer in self._producers:
            confirm.merge(producer.kernel.latency)
        producers = [lane.kernel for lane in self._producers]
        return Result(
            published=sum(k.sent for k in producers),
            received=sum(lane.kernel.received for lane in self._consumers),
            confirmed=sum(k.confirmed for k in producers),
            nacked=sum(k.nacked for k in producers),
            returned=sum(k.returned for k in producers),
            blocked=sum(lane.blocked for lane in self._lanes()),
            first_sent=min((k.first_sent for k in producers if k.first_sent), default=0),
            last_received=max((lane.kernel.last_received for lane in self._consumers), default=0),
            cpu_s=cpu_seconds() - self._cpu_before,
            errors=tuple(self._errors + [lane.error for lane in self._lanes() if lane.error]),
            delivery=delivery.dump(),
            confirm=confirm.dump(),
        )


def main(
    plan: Plan,
    index: int,
    deadline: float,
    commands: Connection,
    counters: MutableSequence[int],
) -> None:
    """The body of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator decides
    gc.disable()  # a run is short and makes no cycles; a collection would show up in the latencies
    worker = Worker(plan, index, deadline, commands, counters)
    try:
        worker.run()
    finally:
        worker.close()
