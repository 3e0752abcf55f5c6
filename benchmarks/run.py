"""Measure Posthouse, and RabbitMQ beside it where it is installed: ``make bench``.

Each scenario runs --runs times per broker, the brokers in turn. The table shows medians; a ratio compares our *worst* run
with RabbitMQ's *best*. Posthouse starts anew for every run; RabbitMQ stays up, except for scenarios about memory, and is frozen
(SIGSTOP) while Posthouse is measured, so that neither disturbs the other. Everything is written as dated JSON to benchmarks/results.

Exit code: 0 all floors reached, 1 one is not, 2 nothing could be measured.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT / "src")]

import machine  # noqa: E402
from brokers import Broker, CannotStart, Posthouse, RabbitMQ, environment  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from scenarios import SCENARIOS, Scenario, chosen  # noqa: E402
from verdict import Run, Verdict, judge, median  # noqa: E402

START_S_MAX = 0.5
IDLE_RSS_KB_MAX = 40 * 1024
RUN_MAX_S = 200.0
SETTLE_S = 0.3


class Bench:
    """One session: the brokers that are up, and all that was measured."""

    def __init__(self, options: argparse.Namespace, directory: Path, console: Console) -> None:
        self.options = options
        self.console = console
        self.runs: dict[str, dict[str, list[Run]]] = {}
        self.brokers: dict[str, dict[str, Any]] = {}
        self._directory = directory
        self._rabbit: RabbitMQ | None = None
        self._names = ["posthouse", "rabbitmq"] if options.only is None else [options.only]
        if "rabbitmq" in self._names and RabbitMQ.executable() is None:
            console.print("rabbitmq-server is not installed: no ratios", style="yellow")
            self._names.remove("rabbitmq")

    def measure(self, scenario: Scenario) -> None:
        """All runs of one scenario, the brokers in turn."""
        results = self.runs.setdefault(scenario.name, {name: [] for name in self._names})
        for turn in range(self.options.runs):
            # who begins changes with every run
            for name in self._names if turn % 2 == 0 else reversed(self._names):
                with self._broker(name, scenario) as broker:
                    run = self._run(scenario, broker)
                results[name].append(run)
                figures = " ".join(
                    f"{f.figure}={number(run.get(f.figure))}" for f in scenario.floors
                )
                trouble = "" if run.get("ok") else f"  NOT OK: {run.get('error')}"
                self.console.print(
                    f"{scenario.name:10} run {turn + 1} {name:10} {figures}{trouble}",
                    style="dim" if run.get("ok") else "red",
                    highlight=False,
                    soft_wrap=True,
                )

    @contextlib.contextmanager
    def _broker(self, name: str, scenario: Scenario) -> Iterator[Broker]:
        if name == "rabbitmq":
            if scenario.is_fresh:
                self.stop()
            if self._rabbit is None:
                self._rabbit = RabbitMQ(self._directory)
                self._note(self._rabbit)
                time.sleep(1)  # it goes on starting for a while behind the open port
            self._rabbit.thaw()
            time.sleep(SETTLE_S)
            yield self._rabbit
            self._rabbit.freeze()
            return
        broker = Posthouse(self._directory, self.options.durability)
        try:
            self._note(broker)
            time.sleep(SETTLE_S)
            yield broker
        finally:
            broker.stop()

    def _note(self, broker: Broker) -> None:
        seen = self.brokers.setdefault(
            broker.name,
            {
                "version": broker.version,
                "command": broker.command,
                "start_s": [],
                "idle_rss_kb": [],
            },
        )
        seen["start_s"].append(round(broker.start_s, 3))
        seen["idle_rss_kb"].append(broker.idle_rss_kb)

    def _run(self, scenario: Scenario, broker: Broker) -> Run:
        command = generator(self.options.tool, scenario, broker, self.options.seconds)
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                timeout=RUN_MAX_S,
                check=False,
                text=True,
                env=environment(),
            )
        except subprocess.TimeoutExpired:
            return {"ok": False, "error": f"the generator did not end in {RUN_MAX_S:.0f} s"}
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                run: Run = json.loads(line)
                return run
        said = done.stderr.strip().replace(sys.executable, "python").replace(str(ROOT), ".")
        return {"ok": False, "error": said[-300:] or "no output"}

    def stop(self) -> None:
        """Stop what is still up."""
        if self._rabbit is not None:
            self._rabbit.stop()
            self._rabbit = None


def generator(tool: str, scenario: Scenario, broker: Broker, seconds: float) -> list[str]:
    """The generator's command line; ``tool`` is ``perf`` or ``amqpload:PATH``."""
    arguments = list(scenario.arguments)
    if "--seconds" not in arguments and "--count" not in arguments:
        arguments += ["--seconds", str(seconds)]
    arguments += ["--watch-pid", str(broker.pid), "--label", scenario.name]
    if tool.startswith("amqpload:"):
        spelling = {"--connections": "--conns", "--deadline": "--timeout"}
        arguments = [spelling.get(a, a) for a in arguments]
        return [tool.partition(":")[2], "--port", str(broker.port), *arguments]
    command = [sys.executable, "-m", "posthouse.cli.perf", "amqp", "--json"]
    return [*command, "--url", f"amqp://guest:guest@127.0.0.1:{broker.port}/", *arguments]


def house_verdicts(bench: Bench) -> list[Verdict]:
    """Start and idle memory of the broker itself: medians of all its starts, the cold one among them."""
    seen = bench.brokers.get("posthouse")
    if seen is None:
        return []
    theirs = bench.brokers.get("rabbitmq", {})
    found = []
    for figure, bound in (("start_s", START_S_MAX), ("idle_rss_kb", IDLE_RSS_KB_MAX)):
        ours_runs = [{"ok": True, figure: v} for v in seen[figure]]
        their_runs = [{"ok": True, figure: v} for v in theirs.get(figure, [])]
        ours, other = median(ours_runs, figure), median(their_runs, figure)
        reached = ours is not None and ours <= bound
        found.append(Verdict("process", figure, ours, other, None, None, bound, reached))
    return found


def number(value: float | None) -> str:
    """A figure for people."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.3g}"


def table_of(verdicts: list[Verdict], runs: int) -> Table:
    """The table at the end."""
    table = Table(title=f"medians of {runs}; ratio: our worst run to RabbitMQ's best")
    for name in ("scenario", "figure"):
        table.add_column(name, no_wrap=True)
    for name in ("Posthouse", "RabbitMQ", "ratio", "floor"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    last = ""
    for v in verdicts:
        demand = f"{v.floor:g} x" if v.floor else f"<= {number(v.at_most)}" if v.at_most else ""
        outcome = {True: "[green]pass[/]", False: "[bold red]FAIL[/]", None: ""}[v.is_reached]
        ratio = f"{v.ratio:,.2f} x" if v.ratio is not None else ""
        name = v.scenario if v.scenario != last else ""
        last = v.scenario
        table.add_row(name, v.figure, number(v.ours), number(v.theirs), ratio, demand, outcome)
    return table


def write(path: Path, bench: Bench, about: dict[str, Any], verdicts: list[Verdict]) -> None:
    """The result file."""
    options = bench.options
    tool = options.tool.partition(":")[0]
    document = {
        **about,
        "generator": "posthouse perf amqp" if tool == "perf" else tool,
        "settings": {
            "runs": options.runs,
            "seconds": options.seconds,
            "durability": options.durability,
        },
        "brokers": bench.brokers,
        "verdicts": [v.as_json() for v in verdicts],
        "scenarios": {
            s.name: {"options": s.options, "runs": bench.runs[s.name]}
            for s in SCENARIOS
            if s.name in bench.runs
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenarios", default="all", help="names or prefixes, comma-separated")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each timed run")
    parser.add_argument("--only", choices=("posthouse", "rabbitmq"))
    parser.add_argument("--durability", choices=("fsync", "os"), default="fsync")
    parser.add_argument("--dir", type=Path, help="where brokers keep their data: the disk measured")
    parser.add_argument("--tool", default="perf", help="perf, or amqpload:PATH for that program")
    parser.add_argument("--minutes", type=float, default=30.0, help="begin nothing after this time")
    parser.add_argument("--output", type=Path, help="the result file")
    parser.add_argument("--list", action="store_true", help="show the scenarios and end")
    return parser.parse_args()


def main() -> int:
    """Run the session."""
    options = parse()
    console = Console()
    if not console.is_terminal:
        console = Console(width=110)  # the table into a file or a log, whole
    try:
        scenarios = chosen(options.scenarios)
    except KeyError as error:
        console.print(f"no scenario begins with {error}", style="red")
        return 2
    if options.list:
        for scenario in scenarios:
            print(f"{scenario.name:10} {scenario.options}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the brokers are stopped
    now = datetime.datetime.now(datetime.UTC)
    parent = options.dir or ROOT / "build"
    parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
    about: dict[str, Any] = {"date": now.isoformat(timespec="seconds")}
    bench = Bench(options, directory, console)
    skipped: list[str] = []
    try:
        about["machine"] = machine.describe()
        about["limits"] = machine.limits(directory, 1.0)
        give_up = time.monotonic() + options.minutes * 60
        for scenario in scenarios:
            if time.monotonic() > give_up:
                skipped.append(scenario.name)
                continue
            bench.measure(scenario)
    except CannotStart as error:
        console.print(str(error), style="red")
    except KeyboardInterrupt:
        console.print("interrupted", style="yellow")
    finally:
        bench.stop()
        with contextlib.suppress(OSError):
            for left in directory.iterdir():
                left.unlink()
            directory.rmdir()
    return finish(bench, about, scenarios, skipped, now)


def finish(
    bench: Bench,
    about: dict[str, Any],
    scenarios: list[Scenario],
    skipped: list[str],
    now: datetime.datetime,
) -> int:
    """Judge, print, write; the exit code."""
    if not bench.runs:
        return 2
    console, options = bench.console, bench.options
    verdicts = [v for s in scenarios if s.name in bench.runs for v in judge(s, bench.runs[s.name])]
    verdicts += house_verdicts(bench)
    about["skipped"] = skipped
    console.print(table_of(verdicts, options.runs))
    limits = about.get("limits", {})
    console.print(
        "limits of this machine: " + ", ".join(f"{k} {v:,.0f}" for k, v in limits.items())
    )
    if skipped:
        console.print(f"out of time, not run: {', '.join(skipped)}", style="yellow")
    path = options.output or ROOT / "benchmarks" / "results" / f"{now:%Y-%m-%dT%H%M%SZ}.json"
    write(path, bench, about, verdicts)
    console.print(f"written: {path.name}")
    return 1 if any(v.is_reached is False for v in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
