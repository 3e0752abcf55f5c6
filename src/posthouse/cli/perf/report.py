"""What a person sees of a run: one live line while it lasts (on a terminal only) and a short text
at the end.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from posthouse.cli.perf.crew import Snapshot

REFRESH_S = 0.25

_RATES = (
    ("publish_rate", "published"),
    ("consume_rate", "consumed"),
    ("confirm_rate", "confirmed"),
    ("through_rate", "through, all"),
)
_LATENCIES = (("", "delivery"), ("confirm_", "confirm"))
_OTHERS = (
    ("per_s", "rounds per second"),
    ("opens_per_s", "connections opened per second"),
    ("connections", "connections"),
    ("alive", "of them alive at the end"),
    ("kb_per_connection", "broker memory per connection, KB"),
    ("bytes_per_message", "broker memory per message, bytes"),
    ("mb_per_s", "payload consumed, MB/s"),
    ("published", "messages published"),
    ("received", "messages received"),
    ("missing", "missing"),
    ("nacked", "nacked"),
    ("returned", "returned"),
    ("broker_cpu_s", "broker CPU, s"),
    ("broker_cpu_us_per_msg", "broker CPU per message, us"),
    ("tool_cpu_s", "generator CPU, s"),
)
_QUIET_AT_ZERO = {"missing", "nacked", "returned", "kb_per_connection", "bytes_per_message"}


class Progress:
    """A live line with the rates of the last quarter of a second; silent where ``console`` is not
    a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._shown_at = 0.0
        self._last = Snapshot(0.0, 0, 0, 0, 0)

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live = Live(Text(""), console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def on_traffic(self, phase: str, now: Snapshot) -> None:
        """Called often by `Traffic`."""
        if self._live is None or now.at < self._shown_at + REFRESH_S:
            return
        span = now.at - self._last.at
        before, self._last, self._shown_at = self._last, now, now.at
        if not before.at:
            return
        # 80 columns
        line = (
            f"{phase:7} published{(now.published - before.published) / span:11,.0f}/s"
            f"  received{(now.received - before.received) / span:11,.0f}/s"
        )
        if now.confirmed:
            line += f"  confirmed{(now.confirmed - before.confirmed) / span:11,.0f}/s"
        self._show(line)

    def on_rounds(self, done: int, at: float) -> None:
        """Called often by the modes without messages."""
        if self._live is not None and at >= self._shown_at + REFRESH_S:
            self._shown_at = at
            self._show(f"{done:12,} done")

    def _show(self, line: str) -> None:
        assert self._live is not None
        self._live.update(Text(line, style="dim"), refresh=True)


def summary(figures: dict[str, Any]) -> Table:  # Any: JSON
    """The figures of a run as a table without lines."""
    table = Table(box=None, show_header=False, title=None, pad_edge=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    for key, name in _RATES:
        if figures.get(key):
            table.add_row(name, f"{figures[key]:,.0f} /s")
    for prefix, name in _LATENCIES:
        if f"{prefix}p50_us" in figures:
            values = "  ".join(
                f"{label} {figures[prefix + key]:,.1f}"
                for label, key in (
                    ("p50", "p50_us"),
                    ("p95", "p95_us"),
                    ("p99", "p99_us"),
                    ("p99.9", "p999_us"),
                    ("max", "max_us"),
                )
            )
            table.add_row(f"{name} latency, us", values)
    for key, name in _OTHERS:
        value = figures.get(key)
        if value is None or (key in _QUIET_AT_ZERO and not value):
            continue
        table.add_row(name, f"{value:,.3f}" if isinstance(value, float) else f"{value:,}")
    outcome = "complete" if figures["ok"] else f"NOT OK: {figures['error']}"
    table.add_row("outcome", Text(outcome, style="green" if figures["ok"] else "bold red"))
    return table
