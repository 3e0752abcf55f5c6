"""The modes that move messages (flow, backlog, latency): gives the workers their orders and takes
the time. What the figures mean stands in `posthouse.cli.perf.figures`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from posthouse.cli.perf import watch, worker
from posthouse.cli.perf.control import BrokerClosed, Control
from posthouse.cli.perf.crew import Crew, OnProgress, Snapshot
from posthouse.cli.perf.figures import (
    Figures,
    Total,
    backlog_figures,
    latency_figures,
    settings,
    window_figures,
)
from posthouse.cli.perf.plan import Plan

LOOK_EVERY_S: Final = 0.005  # how often the coordinator looks


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


def _try_tear_down(control: Control, plan: Plan) -> str:
    try:
        tear_down(control, plan)
    except BrokerClosed as error:
        return str(error)
    return ""


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
            try:
                with self._crew() as crew:
                    figures = self._drive(control, crew)
            finally:  # an interrupted run leaves nothing behind either
                trouble = "" if plan.keep else _try_tear_down(control, plan)
            if trouble:
                figures["error"] = figures["error"] or f"while deleting: {trouble}"
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
        total = Total(results)
        if plan.mode == "flow" and plan.count and total.first_sent:
            first = Snapshot(total.first_sent / 1e9, 0, 0, 0, 0)
        figures = settings(plan)
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
            figures |= backlog_figures(plan, total, last, drain_from)
            memory["rss_drained_kb"] = rss_end
            grown = (memory["rss_full_kb"] - rss_before) * 1024
            memory["bytes_per_message"] = round(grown / (plan.count * plan.copies), 1)
        else:
            figures |= window_figures(plan, total, first, last)
            memory = {"rss_before_kb": rss_before, "rss_end_kb": rss_end}
        figures |= latency_figures(plan, total)
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
