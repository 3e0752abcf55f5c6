"""How long a start takes with a deep backlog (P16, P17, L1): after a kill and after an orderly stop, from a cold page cache too.

Measured from the start of the process: until it accepts connections (the ready line, or RabbitMQ's answer to a protocol header), and until
a consumer has its first message. ``POSTHOUSE_RESTART`` is the number of messages (default a million, of 1 KB).
"""

from __future__ import annotations

import json
import os
import time

from tests.support.load import MB, Node, drop_page_cache, fill, first_delivery
from tests.support.nodes import PosthouseNode
from tests.support.rabbit import RabbitNode
from tests.torture.campaign import Campaign

COUNT = int(os.environ.get("POSTHOUSE_RESTART", "1000000"))
SIZE = 1024
ROUNDS = 3
START_S_MAX = 3.0
# P16: an orderly stop.
STOP_S_MAX = 10.0


def restarts(
    node: Node, count: int, *, is_killed: bool, is_cold: bool, rounds: int = ROUNDS
) -> dict[str, float]:
    """Fill the node, end it and start it again, several times; the worst times count."""
    filled = fill(node, count, SIZE, persistent=True)
    figures: dict[str, float] = {
        "messages": count,
        "fill_per_s": filled["confirm_rate"],
        "resident_mb_max": node.resident_bytes() / MB,
        "accept_s_max": 0.0,
        "first_s_max": 0.0,
        "stop_s_max": 0.0,
    }
    delivered = 0
    for _ in range(rounds):
        begin = time.monotonic()
        if is_killed:
            node.kill()
        else:
            node.terminate(120.0)
            figures["stop_s_max"] = max(figures["stop_s_max"], time.monotonic() - begin)
        if is_cold:
            assert isinstance(node, PosthouseNode)
            assert node.data_dir is not None
            drop_page_cache(node.data_dir)
        begin = time.monotonic()
        node.restart()
        figures["accept_s_max"] = max(figures["accept_s_max"], time.monotonic() - begin)
        redelivered, ready = first_delivery(node.port, 120.0)
        figures["first_s_max"] = max(figures["first_s_max"], time.monotonic() - begin)
        assert ready == count, f"{ready} of {count} messages came back"
        # Only what was delivered before may be flagged after an orderly stop, and must be flagged always.
        assert redelivered or (not is_killed and not delivered), "a redelivery without its flag"
        delivered = 1
        figures["resident_restarted_mb_max"] = max(
            figures.get("resident_restarted_mb_max", 0.0), node.resident_bytes() / MB
        )
    return {name: round(value, 3) for name, value in figures.items()}


def posthouse_restarts(
    count: int,
    *,
    is_killed: bool,
    is_cold: bool = False,
    rounds: int = ROUNDS,
    start_s_max: float = START_S_MAX,
) -> dict[str, float]:
    """Of a node of our own, checked against the promises."""
    node = PosthouseNode().start()
    try:
        figures = restarts(node, count, is_killed=is_killed, is_cold=is_cold, rounds=rounds)
        node.check()
    finally:
        node.stop()
    print(json.dumps(figures))
    assert figures["accept_s_max"] <= start_s_max, figures
    assert figures["first_s_max"] <= start_s_max, figures
    assert figures["stop_s_max"] <= STOP_S_MAX, figures
    return figures


def _rabbit_restarts(is_killed: bool) -> dict[str, float]:
    node = RabbitNode()
    try:
        node.start()
        return restarts(node, COUNT, is_killed=is_killed, is_cold=False)
    finally:
        node.stop()


def _unit(seed: int) -> dict[str, float]:
    """0 killed, 1 stopped, 2 killed and the page cache cold, 3 and 4 RabbitMQ killed and stopped."""
    names = ("killed", "stopped", "cold", "rabbitmq_killed", "rabbitmq_stopped")
    if seed < 3:
        figures = posthouse_restarts(COUNT, is_killed=seed != 1, is_cold=seed == 2)
    else:
        figures = _rabbit_restarts(seed == 3)
    return {f"{names[seed]}_{name}": value for name, value in figures.items()}


CAMPAIGN = Campaign(
    name="restart",
    what="1,000,000 persistent messages of 1 KB: kill or stop, start, first delivery within 3 s; RabbitMQ beside it (P16, P17)",
    units=5,
    run=_unit,
    is_alone=True,
    timeout_s=1800.0,
)
