"""A publisher whose messages are numbered from 0 on, for brokers that may end while it publishes; `full_disk.drained` takes them back."""

from __future__ import annotations

import time

from tests.support import link as amqp
from tests.support.nodes import PosthouseNode

WINDOW = 40
TIMEOUT_S = 60.0


def publish(node: PosthouseNode, messages: int, size: int) -> int:
    """Publish persistent messages to the queue ``q`` until all are confirmed, or the connection ends; how many were confirmed."""
    link = amqp.Link(node.port)
    link.declare_queue("q")
    link.select_confirms()
    sent = confirmed = 0
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while confirmed < messages:
            assert time.monotonic() < deadline, f"{confirmed} of {sent} were confirmed"
            while sent < messages and sent - confirmed < WINDOW:
                body = sent.to_bytes(8, "big") + bytes(size)
                link.send(amqp.publisher("", "q") + amqp.persistent_content(body))
                sent += 1
            link.flush()
            confirmed = max(confirmed, _newest(link.receive()))
    except (amqp.Broken, OSError):
        confirmed = max(confirmed, _newest(link.remains()))
    link.close()
    return confirmed


def _newest(events: list[amqp.Event]) -> int:
    """The highest tag that is confirmed; confirms come in order."""
    tags = [event.arguments[:8] for event in events if event.method == amqp.BASIC_ACK]
    return max((int.from_bytes(tag, "big") for tag in tags), default=0)
