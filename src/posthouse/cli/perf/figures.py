"""What a run's counters and times are worth: the figures that are reported.

The definitions are those of the C generator that ours is checked against:

- ``publish_rate``, ``consume_rate``, ``confirm_rate``: messages handed to the socket, received,
  confirmed per second within the window;
- ``through_rate``: all messages received / (last receipt - first publish), the honest figure where
  a backlog piles up;
- backlog: ``publish_rate`` = count / (queues hold everything - first publish), ``consume_rate`` =
  received / (last receipt - begin of the drain);
- latencies: from the time at which a message was *due* to its receipt (latency mode), from sending
  to confirm otherwise: a stalled broker or generator can hide nothing;
- ``missing``: deliveries that did not come although the run waited ``drain_s`` for each next one.
"""

from __future__ import annotations

from typing import Any

from posthouse.cli.perf import worker
from posthouse.cli.perf.crew import Snapshot
from posthouse.cli.perf.plan import Plan
from posthouse.client.histogram import Histogram

Figures = dict[str, Any]  # JSON: numbers, texts, truth values


class Total:
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


def settings(plan: Plan) -> Figures:
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


def window_figures(plan: Plan, total: Total, first: Snapshot, last: Snapshot) -> Figures:
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


def latency_figures(plan: Plan, total: Total) -> Figures:
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


def backlog_figures(plan: Plan, total: Total, full: Snapshot, drain_from: float) -> Figures:
    fill = max(1e-9, full.at - total.first_sent / 1e9)
    drain = max(1e-9, total.last_received / 1e9 - drain_from)
    return {
        "fill_s": round(fill, 4),
        "publish_rate": round(plan.count / fill, 1),
        "drain_s": round(drain, 4),
        "consume_rate": round(total.received / drain, 1) if total.received else 0.0,
    }
