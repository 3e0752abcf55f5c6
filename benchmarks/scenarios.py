"""The scenarios, and what Posthouse has to reach in each.

Names and meanings are those of the runner that came with the project's brief: A transient with automatic
acknowledgement, B persistent with confirms and acknowledgements, C fanout, D many queues and keys, E backlog, F latency,
G idle connections, H churn. Options are written in the spelling of ``posthouse perf amqp``.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass


@dataclass(frozen=True)
class Floor:
    """A demand on one figure: a ratio to RabbitMQ in the same session, or an absolute bound.

    A ratio is "how many times better": for figures where less is better it is RabbitMQ's / ours.
    """

    figure: str
    ratio: float = 0.0
    at_most: float = 0.0
    is_less_better: bool = False


@dataclass(frozen=True)
class Scenario:
    """One load, as options of the generator."""

    name: str
    options: str
    floors: tuple[Floor, ...]
    shown: tuple[str, ...] = ()  # figures that are shown without a demand
    is_fresh: bool = False  # memory figures need a broker that has not grown yet

    @property
    def arguments(self) -> list[str]:
        """The options as a list."""
        return shlex.split(self.options)


def _flow(ratio: float, *more: Floor) -> tuple[Floor, ...]:
    return (Floor("publish_rate", ratio), Floor("consume_rate", ratio), *more)


def _durable(ratio: float) -> tuple[Floor, ...]:
    return (Floor("confirm_rate", ratio), Floor("consume_rate", ratio))


_ACKED = "--persistent --durable --prefetch 1000"

SCENARIOS = (
    Scenario(
        "A16",
        "--size 16",
        _flow(20.0, Floor("broker_cpu_us_per_msg", at_most=0.3, is_less_better=True)),
        ("through_rate",),
    ),
    Scenario("A1k", "--size 1024", _flow(8.0), ("through_rate", "broker_cpu_us_per_msg")),
    Scenario("A64k", "--size 65536", _flow(1.5), ("through_rate", "broker_cpu_us_per_msg")),
    Scenario("B16", f"--size 16 {_ACKED} --confirm 1000 --ack 100", _durable(12.0)),
    Scenario("B1k", f"--size 1024 {_ACKED} --confirm 1000 --ack 100", _durable(8.0)),
    Scenario(
        "B1k_w1",
        f"--size 1024 {_ACKED} --confirm 1 --ack 1",
        (Floor("confirm_rate", 1.0),),
        ("confirm_p50_us", "confirm_p99_us"),
    ),
    Scenario(
        "B1k_10p",
        f"--size 1024 {_ACKED} --confirm 100 --ack 100 --producers 10 --consumers 10 --queues 10",
        _durable(4.0),
    ),
    # deliveries count here: RabbitMQ takes in far more than it can copy ten times
    Scenario(
        "C16",
        "--size 16 --exchange fanout --queues 10",
        (Floor("consume_rate", 50.0), Floor("through_rate", 50.0)),
        ("publish_rate",),
    ),
    Scenario("D16", "--size 16 --exchange direct --queues 100", _flow(20.0), ("through_rate",)),
    Scenario(
        "D16_topic", "--size 16 --exchange topic --queues 100", _flow(20.0), ("through_rate",)
    ),
    Scenario(
        "E16",
        "--mode backlog --size 16 --count 1000000 --deadline 180",
        (
            Floor("consume_rate", 50.0),
            Floor("bytes_per_message", at_most=120.0, is_less_better=True),
        ),
        ("publish_rate",),
        is_fresh=True,
    ),
    Scenario(
        "F5k",
        "--mode latency --rate 5000 --size 16",
        (
            Floor("p50_us", 1.0, is_less_better=True),
            Floor("p99_us", 1.0, is_less_better=True),
        ),
        ("p999_us",),
    ),
    Scenario("Hconn", "--mode connchurn --connections 4", (Floor("per_s", 4.0),)),
    Scenario("Hqueue", "--mode queuechurn --connections 4", (Floor("per_s", 10.0),)),
    Scenario(
        "G1000",
        "--mode idle --connections 1000 --seconds 2",
        (Floor("kb_per_connection", at_most=20.0, is_less_better=True),),
        ("opens_per_s",),
        is_fresh=True,
    ),
)


def chosen(names: str) -> list[Scenario]:
    """Those whose name begins with one of the comma-separated ``names``, in their order; ``all`` of them.

    Raises:
        KeyError: a name fits none.
    """
    if names == "all":
        return list(SCENARIOS)
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if not any(s.name.startswith(name) for s in SCENARIOS):
            raise KeyError(name)
    # an exact name is itself and not a prefix: B1k does not mean B1k_w1
    exact = {s.name for s in SCENARIOS}
    return [
        s
        for s in SCENARIOS
        if any(s.name == n if n in exact else s.name.startswith(n) for n in wanted)
    ]
