"""A backlog in one queue (L1, P14): what it costs in memory, and that publishing and draining stay about as fast as with a shallow queue.

The shallow rates are those of 500,000 messages, published to and drained from the same node before, several times. ``POSTHOUSE_BACKLOG`` is
the number of messages (default ten million of 16 octets), ``POSTHOUSE_BACKLOG_RABBITMQ`` that for RabbitMQ (default a million: it takes
minutes).
"""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import tempfile
from typing import Any

from tests.support.load import MB, Node, PeakMemory, perf
from tests.support.nodes import PosthouseNode
from tests.support.rabbit import RabbitNode
from tests.torture.campaign import Campaign

COUNT = int(os.environ.get("POSTHOUSE_BACKLOG", "10000000"))
RABBIT_COUNT = int(os.environ.get("POSTHOUSE_BACKLOG_RABBITMQ", "1000000"))
SHALLOW = 500_000
# They last a twentieth of a second: the median of some.
SHALLOW_ROUNDS = 5
DEEP_ROUNDS = 3
RESIDENT_MB_MAX = 600.0
# P14: a million messages of 1 KB.
RESIDENT_1K_MB_MAX = 250.0
SLOWDOWN_MAX = 2.0

PERSISTENT = (
    "--persistent",
    "--durable",
    "--confirm",
    "1000",
    "--prefetch",
    "1000",
    "--ack",
    "100",
)


def backlog(node: Node, count: int, size: int, *, persistent: bool) -> dict[str, Any]:
    """Publish ``count`` messages, then drain them."""
    options = ["--mode", "backlog", "--count", str(count), "--size", str(size)]
    figures = perf(node, *options, *(PERSISTENT if persistent else ()), deadline_s=3000.0)
    assert figures["received"] == count, figures
    return figures


def depth(
    node: Node,
    count: int,
    *,
    persistent: bool,
    size: int = 16,
    shallow: int = SHALLOW,
    rounds: int = 1,
) -> dict[str, float]:
    """Shallow runs, then deep ones; median rates, how much slower the deep ones were, and the most memory."""
    before = [backlog(node, shallow, size, persistent=persistent) for _ in range(SHALLOW_ROUNDS)]
    shallow_publish = statistics.median(figures["publish_rate"] for figures in before)
    shallow_drain = statistics.median(figures["consume_rate"] for figures in before)
    with PeakMemory(node) as peak:
        after = [backlog(node, count, size, persistent=persistent) for _ in range(rounds)]
    publish = statistics.median(figures["publish_rate"] for figures in after)
    drain = statistics.median(figures["consume_rate"] for figures in after)
    figures = {
        "messages": count,
        "resident_mb_max": peak.octets / MB,
        "publish_per_s": publish,
        "drain_per_s": drain,
        "shallow_publish_per_s": shallow_publish,
        "shallow_drain_per_s": shallow_drain,
        "publish_slowdown_max": shallow_publish / publish,
        "drain_slowdown_max": shallow_drain / drain,
    }
    return {name: round(value, 2) for name, value in figures.items()}


def posthouse_depth(
    count: int,
    *,
    persistent: bool,
    size: int = 16,
    shallow: int = SHALLOW,
    resident_mb_max: float = RESIDENT_MB_MAX,
    slowdown_max: float = SLOWDOWN_MAX,
    settings: str = "",
    rounds: int = 1,
) -> dict[str, float]:
    """Of a node of our own, checked against the bounds. ``settings`` is its configuration, TOML."""
    with tempfile.TemporaryDirectory() as own:
        config = pathlib.Path(own) / "posthouse.toml"
        config.write_text(settings, encoding="utf-8")
        node = PosthouseNode(pathlib.Path(own) / "data", options=["--config", str(config)]).start()
        try:
            figures = depth(
                node, count, persistent=persistent, size=size, shallow=shallow, rounds=rounds
            )
            node.check()
        finally:
            node.stop()
    print(json.dumps(figures))
    assert figures["resident_mb_max"] <= resident_mb_max, figures
    assert figures["publish_slowdown_max"] <= slowdown_max, figures
    assert figures["drain_slowdown_max"] <= slowdown_max, figures
    return figures


def _rabbit_depth(persistent: bool) -> dict[str, float]:
    node = RabbitNode()
    try:
        node.start()
        return depth(node, RABBIT_COUNT, persistent=persistent, shallow=SHALLOW // 10)
    finally:
        node.stop()


def _unit(seed: int) -> dict[str, float]:
    """0 transient, 1 persistent, 2 persistent of 1 KB and a tenth as many (P14), 3 and 4 RabbitMQ transient and persistent."""
    if seed < 2:
        figures = posthouse_depth(COUNT, persistent=seed == 1, rounds=DEEP_ROUNDS)
    elif seed == 2:
        figures = posthouse_depth(
            COUNT // 10,
            persistent=True,
            size=1024,
            shallow=SHALLOW // 10,
            resident_mb_max=RESIDENT_1K_MB_MAX,
            rounds=DEEP_ROUNDS,
        )
    else:
        figures = _rabbit_depth(seed == 4)
    names = ("transient", "persistent", "1k", "rabbitmq_transient", "rabbitmq_persistent")
    return {f"{names[seed]}_{name}": value for name, value in figures.items()}


CAMPAIGN = Campaign(
    name="backlog",
    what="10,000,000 messages in one queue within 600 MB, published and drained as fast as few (within 2x); RabbitMQ beside it (L1, P14)",
    units=5,
    run=_unit,
    is_alone=True,
    timeout_s=3600.0,
)
