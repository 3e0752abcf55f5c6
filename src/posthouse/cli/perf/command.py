"""``posthouse perf``: the load generator's command line."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console

from posthouse.cli.perf.churn import run_churn, run_idle
from posthouse.cli.perf.control import BrokerClosed
from posthouse.cli.perf.figures import Figures
from posthouse.cli.perf.plan import EXCHANGES, MODES, Address, BadPlan, Plan
from posthouse.cli.perf.report import Progress, summary
from posthouse.cli.perf.traffic import Traffic


def _ack_every(_: click.Context, __: click.Parameter, value: str) -> int:
    """``auto`` is 0, anything else the number of messages after which to acknowledge."""
    if value == "auto":
        return 0
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"{value!r} is neither 'auto' nor a number from 1 on")
    return int(value)


class Unreachable(click.ClickException):
    """The broker cannot be reached, or refuses us."""

    exit_code = 69  # EX_UNAVAILABLE of sysexits.h


@click.group()
def perf() -> None:
    """Measure a broker by driving it."""


@perf.command()
@click.option(
    "--url",
    default="amqp://guest:guest@127.0.0.1:5672/",
    show_default=True,
    help="Where the broker is.",
)
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default="flow",
    show_default=True,
    help="flow: publish and consume as fast as the broker lets us. backlog: publish --count, then drain. "
    "latency: publish at --rate. idle: hold connections. connchurn, queuechurn: open and close, declare and delete.",
)
@click.option("--size", default=16, show_default=True, help="Bytes of a body.")
@click.option("--producers", default=1, show_default=True, help="Publishing connections.")
@click.option("--consumers", default=1, show_default=True, help="Consuming connections.")
@click.option(
    "--queues", default=1, show_default=True, help="Queues; producers take their keys in turn."
)
@click.option(
    "--connections", default=1, show_default=True, help="Connections of the modes idle and churn."
)
@click.option(
    "--exchange",
    type=click.Choice(EXCHANGES),
    default="default",
    show_default=True,
    help="Type of the exchange.",
)
@click.option(
    "--pattern", default="*.%06d.#", show_default=True, help="Topic binding keys; %d is the queue."
)
@click.option(
    "--confirm",
    "confirm_window",
    default=0,
    metavar="WINDOW",
    help="Publisher confirms with at most WINDOW messages open.",
)
@click.option("--prefetch", default=0, help="Unacked messages per consumer; 0: no bound.")
@click.option(
    "--ack",
    "ack_every",
    callback=_ack_every,
    metavar="auto|N",
    default="auto",
    show_default=True,
    help="Automatic, or one multiple ack for at least N messages.",
)
@click.option("--persistent", is_flag=True, help="Messages with delivery mode 2.")
@click.option("--durable", is_flag=True, help="Durable exchange and queues.")
@click.option("--mandatory", is_flag=True, help="Publish with the mandatory flag.")
@click.option(
    "--rate",
    default=5000.0,
    show_default=True,
    help="Messages a second of all producers (mode latency).",
)
@click.option("--seconds", default=5.0, show_default=True, help="Length of the measured window.")
@click.option("--count", default=0, help="Messages to publish, instead of --seconds.")
@click.option("--warmup", default=1.0, show_default=True, help="Seconds before the window.")
@click.option(
    "--drain",
    default=10.0,
    show_default=True,
    help="Seconds without progress until messages count as missing.",
)
@click.option(
    "--deadline",
    default=120.0,
    show_default=True,
    help="Seconds after which the run ends in any case.",
)
@click.option(
    "--processes", default=1, show_default=True, help="Processes to share the connections among."
)
@click.option("--prefix", default="perf.queue", show_default=True, help="Of the queues' names.")
@click.option("--keep", is_flag=True, help="Do not delete queues and exchange at the end.")
@click.option(
    "--watch-pid", default=0, metavar="PID", help="Report CPU time and memory of this process."
)
@click.option("--label", default="", help="Copied to the output.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on one line.")
def amqp(url: str, as_json: bool, **options: Any) -> None:  # Any: click's values, checked by Plan
    """Drive a broker over AMQP 0-9-1.

    Ends with 0 when all messages came and were confirmed, 1 when not, 64 when the options are wrong,
    69 when the broker cannot be reached.
    """
    try:
        plan = _plan(url, options)
    except BadPlan as error:
        raise click.UsageError(str(error)) from error
    console = Console(stderr=as_json)
    try:
        with Progress(console) as progress:
            figures = run(plan, progress)
    except BrokerClosed as error:
        raise Unreachable(str(error)) from error
    if as_json:
        click.echo(json.dumps(figures))
    else:
        console.print(summary(figures))
    click.get_current_context().exit(0 if figures["ok"] else 1)


def _plan(url: str, options: dict[str, Any]) -> Plan:
    named = {
        "size": "size_bytes",
        "persistent": "is_persistent",
        "durable": "is_durable",
        "mandatory": "is_mandatory",
        "warmup": "warmup_s",
        "drain": "drain_s",
        "deadline": "deadline_s",
        "prefix": "queue_prefix",
    }
    fields = {named.get(name, name): value for name, value in options.items()}
    return Plan(address=Address.parse(url), **fields).check()


def run(plan: Plan, progress: Progress) -> Figures:
    """Run a checked plan.

    Raises:
        BrokerClosed: the broker cannot be reached, or refuses the topology.
    """
    if plan.mode == "idle":
        return run_idle(plan, progress.on_rounds)
    if plan.mode in ("connchurn", "queuechurn"):
        return run_churn(plan, progress.on_rounds)
    return Traffic(plan, progress.on_traffic).run()
