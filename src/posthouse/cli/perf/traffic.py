"""The modes that move messages (flow, backlog, latency): starts the workers, takes the time, adds
up.

Definitions of the figures (the same as those of the C generator that ours is checked against):

- ``publish_rate``, ``consume_rate``, ``confirm_rate``: messages handed to the socket, received,
  confirmed per second within the window;
- ``through_rate``: all messages received / (last receipt - first publish), the honest figure where
  a backlog piles up;
- backlog: ``publish_rate`` = count / (queues hold everything - first publish), ``consume_rate`` =
  received / (last receipt - begin of the drain);
- latencies: from the time at which a message was *due* to its receipt (latency mode), from sending
  to confirm otherwise: a stalled broker or generator can hide nothing;
- ``missing``: deliveries expected that did not come while others still came, nor within
  ``drain_s`` of the last one.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any, Final

from posthouse.cli.perf import watch, worker
from posthouse.cli.perf.control import BrokerClosed, Control
from posthouse.cli.perf.plan import Plan
from posthouse.client.histogram import Histogram

LOOK_EVERY_S: Final = 0.005  # how often the coordinator looks, in seconds
ANSWER_MAX_S: Final = 30.0

Figures = dict[str, Any]  # JSON: numbers, texts, truth values


@dataclass(frozen=True)
class Snapshot:
    """The counters at one moment."""

    at: float  # time.monotonic
    published: int
    received: int
    confirmed: int
    errors: int


OnProgress = Callable[[str, Snapshot], None]


def _context() -> ForkContext | SpawnContext:
    """Forking starts a worker in a millisecond; where there is none, a fresh interpreter it is."""
    if "fork" in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("fork")
    return multiprocessing.get_context("spawn")


class Crew:
    """The worker processes of a run. Owned by the coordinator, which calls `close` in every case."""

    def __init__(self, plan: Plan, deadline: float) -> None:
        context = _context()
        self._plan = plan
        self._deadline = deadline
        self._counters = context.RawArray("Q", worker.COUNTERS * plan.processes)
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        self.error = ""
        for index in range(plan.processes):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=worker.main,
                args=(plan, index, deadline, theirs, self._counters),
                name=f"perf-{index}",
                daemon=True,
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def order(self, command: str) -> list[object]:
        """Give all workers a command and collect their answers; a worker that is gone is an error
        of the run.
        """
        answers: list[object] = []
        try:
            for pipe in self._pipes:
                pipe.send(command)
            for pipe in self._pipes:
                patience = max(0.1, min(ANSWER_MAX_S, self._deadline + 1 - time.monotonic()))
                if not pipe.poll(patience):
                    raise EOFError
                answers.append(pipe.recv())
        except (EOFError, OSError):
            self.error = self.error or f"a worker did not answer to {command!r}"
        return answers

    def snapshot(self) -> Snapshot:
        """The sum of the workers' counters; they are at most a few milliseconds old."""
        at = time.monotonic()
        c = self._counters[:]
        step = worker.COUNTERS
        errors = sum(c[worker.ERRORS :: step]) + bool(self.error)
        if not all(process.is_alive() for process in self._processes):
            self.error = self.error or "a worker died"
            errors += 1
        return Snapshot(
            at,
            sum(c[worker.PUBLISHED :: step]),
            sum(c[worker.RECEIVED :: step]),
            sum(c[worker.CONFIRMED :: step]),
            errors,
        )

    def close(self) -> None:
        """End the workers; those that do not end by themselves are killed."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(2)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()


def set_up(control: Control, plan: Plan) -> None:
    """Declare the exchange and the queues, and bind them."""
    if plan.exchange_name:
        control.declare_exchange(plan.exchange_name, plan.exchange, durable=plan.is_durable)
    for index in range(plan.queues):
        control.declare_queue(plan.queue_name(index), durable=plan.is_durable)
        if plan.exchange_name:
            control.bind_queue(plan.queue_name(index), plan.exchange_name, plan.binding_key(index))


def tear_down(control: Control, plan: Plan) -> None:
    """Delete what `set_up` declared."""
    for index in range(plan.queues):
        control.delete_queue(plan.queue_name(index))
    if plan.exchange_name:
        control.delete_exchange(plan.exchange_name)


class Traffic:
    """One run of a mode that moves messages."""

    def __init__(self, plan: Plan, on_progress: OnProgress) -> None:
        self._plan = plan
        self._on_progress = on_progress
        self._deadline = time.monotonic() + plan.deadline_s

    def run(self) -> Figures:
        """Run the plan.

        Raises:
            BrokerClosed: the broker cannot be reached, or refuses the topology.
        """
        plan = self._plan
        control = Control(plan.address, self._deadline)
        try:
            set_up(control, plan)
            with self._crew() as crew:
                figures = self._drive(control, crew)
            if not plan.keep:
                try:
                    tear_down(control, plan)
                except BrokerClosed as error:
                    figures["error"] = figures["error"] or f"while deleting: {error}"
                    figures["ok"] = False
            return figures
        finally:
            control.close()

    @contextmanager
    def _crew(self) -> Iterator[Crew]:
        crew = Crew(self._plan, self._deadline)
        try:
            yield crew
        finally:
            crew.close()

    def _drive(self, control: Control, crew: Crew) -> Figures:
        plan = self._plan
        cpu_before, rss_before = watch.cpu_s(plan.watch_pid), watch.rss_kb(plan.watch_pid)
        tool_before = worker.cpu_seconds()
        memory: Figures = {}
        if plan.mode == "backlog":
            crew.order("produce")
            full, drain_from, rss_full = self._fill(control, crew)
            crew.order("consume")
            first, last = full, full
            memory = {"rss_before_kb": rss_before, "rss_full_kb": rss_full}
        else:
            crew.order("consume")
            crew.order("produce")
            first, last = self._window(crew)
            drain_from = 0.0
        is_complete = self._drain(crew)
        rss_end = watch.rss_kb(plan.watch_pid)
        results = [r for r in crew.order("finish") if isinstance(r, worker.Result)]
        total = _Total(results)
        figures = _settings(plan)
        missing = total.published * plan.copies - total.received if plan.consumers else 0
        figures |= {
            "published": total.published,
            "received": total.received,
            "confirmed": total.confirmed,
            "missing": missing,
            "nacked": sum(r.nacked for r in results),
            "returned": sum(r.returned for r in results),
            "blocked": sum(r.blocked for r in results),
        }
        if plan.mode == "backlog":
            figures |= self._backlog_figures(total, last, drain_from)
            memory["rss_drained_kb"] = rss_end
            grown = (memory["rss_full_kb"] - rss_before) * 1024
            memory["bytes_per_message"] = round(grown / (plan.count * plan.copies), 1)
        else:
            figures |= _window_figures(plan, total, first, last)
            memory = {"rss_before_kb": rss_before, "rss_end_kb": rss_end}
        figures |= _latency_figures(plan, total)
        if plan.watch_pid:
            cpu = watch.cpu_s(plan.watch_pid) - cpu_before
            figures |= memory
            figures["broker_cpu_s"] = round(cpu, 3)
            per_message = cpu * 1e6 / total.published if total.published else 0.0
            figures["broker_cpu_us_per_msg"] = round(per_message, 4)
        figures["tool_cpu_s"] = round(
            sum(r.cpu_s for r in results) + worker.cpu_seconds() - tool_before, 3
        )
        errors = [e for r in results for e in r.errors] + ([crew.error] if crew.error else [])
        if not is_complete and not errors:
            errors = ["messages or confirms are missing"]
        figures["errors"] = len(errors)
        figures["error"] = errors[0] if errors else ""
        figures["ok"] = is_complete and not errors and missing == 0
        return figures

    def _look(self, crew: Crew, phase: str) -> Snapshot:
        snapshot = crew.snapshot()
        self._on_progress(phase, snapshot)
        return snapshot

    def _goes_on(self, snapshot: Snapshot) -> bool:
        return not snapshot.errors and snapshot.at < self._deadline

    def _window(self, crew: Crew) -> tuple[Snapshot, Snapshot]:
        """Warm up and measure; the counters at both ends of the window."""
        plan = self._plan
        if plan.count and plan.mode == "flow":
            first = last = crew.snapshot()
            wanted = plan.count if plan.confirm_window else 0
            while self._goes_on(last) and (last.published < plan.count or last.confirmed < wanted):
                time.sleep(0.001)
                last = self._look(crew, "flow")
            return first, last
        end = time.monotonic() + plan.warmup_s
        last = crew.snapshot()
        while last.at < end and self._goes_on(last):
            time.sleep(LOOK_EVERY_S)
            last = self._look(crew, "warm-up")
        if plan.mode == "latency":
            crew.order("forget")
        first = last = crew.snapshot()
        while last.at < first.at + plan.seconds and self._goes_on(last):
            time.sleep(LOOK_EVERY_S)
            last = self._look(crew, plan.mode)
            if plan.count and last.published >= plan.count:
                break
        crew.order("stop")
        return first, last

    def _fill(self, control: Control, crew: Crew) -> tuple[Snapshot, float, int]:
        """Publish the backlog; the counters when the queues held all of it, the begin of the
        drain, and the memory then.
        """
        plan = self._plan
        last = crew.snapshot()
        while last.published < plan.count and self._goes_on(last):
            time.sleep(0.002)
            last = self._look(crew, "fill")
        wanted = plan.count * plan.copies
        while self._goes_on(last):
            held = sum(control.message_count(plan.queue_name(q)) for q in range(plan.queues))
            last = self._look(crew, "fill")
            if held >= wanted and (not plan.confirm_window or last.confirmed >= plan.count):
                break
            time.sleep(0.002)
        time.sleep(0.2)
        return last, time.monotonic(), watch.rss_kb(plan.watch_pid)

    def _drain(self, crew: Crew) -> bool:
        """Wait for what is on its way; whether all of it came."""
        plan = self._plan
        seen, give_up = -1, 0.0
        while True:
            now = self._look(crew, "drain")
            wanted = now.published * plan.copies if plan.consumers else 0
            is_confirmed = not plan.confirm_window or now.confirmed >= now.published
            if now.received >= wanted and is_confirmed:
                # a message in flight may not be counted yet: counters lag by a millisecond
                time.sleep(LOOK_EVERY_S)
                if crew.snapshot().published == now.published:
                    return not now.errors
                continue
            if not self._goes_on(now):
                return False
            if now.received + now.confirmed != seen:
                seen, give_up = now.received + now.confirmed, now.at + plan.drain_s
            if now.at > give_up:
                return False
            time.sleep(0.002)

    def _backlog_figures(self, total: _Total, full: Snapshot, drain_from: float) -> Figures:
        plan = self._plan
        fill = max(1e-9, full.at - total.first_sent / 1e9)
        drain = max(1e-9, total.last_received / 1e9 - drain_from)
        return {
            "fill_s": round(fill, 4),
            "publish_rate": round(plan.count / fill, 1),
            "drain_s": round(drain, 4),
            "consume_rate": round(total.received / drain, 1) if total.received else 0.0,
        }


class _Total:
    """The workers' results as one."""

    def __init__(self, results: list[worker.Result]) -> None:
        self.published = sum(r.published for r in results)
        self.received = sum(r.received for r in results)
        self.confirmed = sum(r.confirmed for r in results)
        self.first_sent = min((r.first_sent for r in results if r.first_sent), default=0)
        self.last_received = max((r.last_received for r in results), default=0)
        self.delivery = _merged([r.delivery for r in results])
        self.confirm = _merged([r.confirm for r in results])


def _merged(states: list[tuple[bytes, int, int]]) -> Histogram:
    merged = Histogram()
    for state in states:
        part = Histogram()
        part.load(state)
        merged.merge(part)
    return merged


def _settings(plan: Plan) -> Figures:
    return {
        "tool": "posthouse perf amqp",
        "label": plan.label,
        "mode": plan.mode,
        "exchange": plan.exchange,
        "queues": plan.queues,
        "producers": plan.producers,
        "consumers": plan.consumers,
        "processes": plan.processes,
        "size": plan.size_bytes,
        "persistent": plan.is_persistent,
        "durable": plan.is_durable,
        "confirm_window": plan.confirm_window,
        "prefetch": plan.prefetch,
        "ack": "manual" if plan.ack_every else "auto",
        "ack_batch": plan.ack_batch if plan.ack_every else 0,
    }


def _window_figures(plan: Plan, total: _Total, first: Snapshot, last: Snapshot) -> Figures:
    window = max(1e-9, last.at - first.at)
    span = (total.last_received - total.first_sent) / 1e9
    consumed = (last.received - first.received) / window
    return {
        "window_s": round(window, 4),
        "publish_rate": round((last.published - first.published) / window, 1),
        "consume_rate": round(consumed, 1),
        "confirm_rate": round((last.confirmed - first.confirmed) / window, 1),
        "through_rate": round(total.received / span, 1) if span > 0 else 0.0,
        "mb_per_s": round(consumed * plan.size_bytes / 1e6, 2),
    }


def _latency_figures(plan: Plan, total: _Total) -> Figures:
    figures: Figures = {}
    if plan.mode == "latency":
        figures["rate"] = plan.rate
        figures |= _quantiles("", total.delivery)
    if plan.confirm_window:
        figures |= _quantiles("confirm_", total.confirm)
    return figures


def _quantiles(prefix: str, histogram: Histogram) -> Figures:
    return {
        f"{prefix}p50_us": histogram.quantile_us(0.5),
        f"{prefix}p95_us": histogram.quantile_us(0.95),
        f"{prefix}p99_us": histogram.quantile_us(0.99),
        f"{prefix}p999_us": histogram.quantile_us(0.999),
        f"{prefix}max_us": histogram.max / 1000.0,
    }
