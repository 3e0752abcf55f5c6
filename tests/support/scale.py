"""Many queues, many idle connections, many busy ones: what each costs, and that all of them work.

``python -m tests.support.scale`` prints one JSON object; with ``--rabbitmq`` it does the same to a RabbitMQ node.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import sys
import time
from collections.abc import Sequence
from typing import Any

from tests.support import link as amqp
from tests.support.nodes import PosthouseNode
from tests.support.rabbit import RabbitNode
from tests.torture.campaign import Campaign

Node = PosthouseNode | RabbitNode
BODY = b"sixteen octets.."
# Messages that each busy connection publishes and gets back.
ROUND_TRIPS = 50
STALL_S = 60.0


def room_for_sockets(count: int) -> int:
    """Raise the limit of open files; returns for how many connections there is room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(count + 200, hard) if hard != resource.RLIM_INFINITY else count + 200
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return min(count, soft - 200)


def many_queues(node: Node, count: int) -> dict[str, Any]:
    """Declare durable queues, a persistent message in each; take all back."""
    link = amqp.Link(node.port)
    link.declare_queue("first")
    before = node.resident_bytes()
    started = time.monotonic()
    for n in range(count):
        link.declare_queue(f"queue.{n}")
    seconds = time.monotonic() - started
    memory = node.resident_bytes() - before
    link.select_confirms()
    content = amqp.persistent_content(BODY)
    waiting = set(range(1, count + 1))
    for n in range(count):
        link.send(amqp.publisher("", f"queue.{n}") + content)
        confirm(link, waiting)
    while waiting:
        assert select.select([link], [], [], STALL_S)[0], "no confirms"
        link.flush()
        confirm(link, waiting)
    for n in range(count):
        assert link.declare_queue(f"queue.{n}", passive=True) == 1, f"queue.{n}"
    link.close()
    return {
        "queues": count,
        "queues_per_s": round(count / seconds),
        "octets_a_queue": round(memory / count),
    }


def confirm(link: amqp.Link, waiting: set[int]) -> None:
    """Take the tags out of ``waiting`` that the acks which came in settle."""
    for event in link.receive():
        if event.method == amqp.BASIC_ACK:
            tag = int.from_bytes(event.arguments[:8], "big")
            if event.arguments[8] & 1:
                waiting -= {other for other in waiting if other <= tag}
            else:
                waiting.discard(tag)


def idle_connections(node: Node, count: int) -> dict[str, Any]:
    """Open connections with a channel each and leave them; then the last one still works."""
    count = room_for_sockets(count)
    links = [amqp.Link(node.port)]
    before = node.resident_bytes()
    started = time.monotonic()
    links += [amqp.Link(node.port) for _ in range(count)]
    seconds = time.monotonic() - started
    memory = node.resident_bytes() - before
    links[-1].declare_queue("idle")
    for one in links:
        one.close()
    return {
        "connections": count,
        "connections_per_s": round(count / seconds),
        "octets_a_connection": round(memory / count),
    }


def busy_connections(node: Node, count: int) -> dict[str, Any]:
    """Each publishes persistent messages to its own queue with confirms, and gets and acknowledges them."""
    count = room_for_sockets(count)
    links = {}
    for n in range(count):
        link = amqp.Link(node.port)
        link.declare_queue(f"busy.{n}")
        link.select_confirms()
        link.consume(f"busy.{n}", 10)
        links[link.fileno()] = (link, [0, 0])
    content = amqp.persistent_content(BODY)
    poll = select.epoll()
    started = time.monotonic()
    for n, (descriptor, (link, _)) in enumerate(links.items()):
        poll.register(descriptor, select.EPOLLIN)
        link.send((amqp.publisher("", f"busy.{n}") + content) * ROUND_TRIPS)
    left = count
    while left:
        ready = poll.poll(STALL_S)
        assert ready, f"{left} connections wait for ever"
        for descriptor, _ in ready:
            link, done = links[descriptor]
            left -= _progress(link, done)
    seconds = time.monotonic() - started
    for link, _ in links.values():
        link.close()
    return {"busy": count, "busy_messages_per_s": round(count * ROUND_TRIPS / seconds)}


def _progress(link: amqp.Link, done: list[int]) -> bool:
    """Take what came in for one connection; True when that was the rest. ``done``: confirmed up to, delivered."""
    link.flush()
    was_done = min(done) >= ROUND_TRIPS
    for event in link.receive():
        if event.method == amqp.BASIC_ACK:
            done[0] = max(done[0], int.from_bytes(event.arguments[:8], "big"))
        elif event.method == amqp.BASIC_DELIVER:
            assert event.body == BODY
            done[1] += 1
            tag_at = 1 + event.arguments[0]
            link.send(amqp.ack(int.from_bytes(event.arguments[tag_at : tag_at + 8], "big")))
    return not was_done and min(done) >= ROUND_TRIPS


def scale_of(node: Node, queues: int, connections: int, busy: int) -> dict[str, Any]:
    """All three, and that memory and connections come back to the node."""
    report = many_queues(node, queues)
    report |= idle_connections(node, connections)
    report |= busy_connections(node, busy)
    return report


def _unit(seed: int) -> dict[str, float]:
    """Seed 0 is Posthouse, 1 is RabbitMQ."""
    queues = int(os.environ.get("POSTHOUSE_SCALE", "10000"))
    room_for_sockets(2 * queues)
    node: Node = RabbitNode() if seed == 1 else PosthouseNode()
    try:
        node.start()
        report = scale_of(node, queues, queues, max(1, queues // 10))
        if seed == 0:
            assert report["octets_a_queue"] < 12_000, report
            assert report["octets_a_connection"] < 30_000, report
    finally:
        node.stop()
    return report if seed == 0 else {f"rabbitmq_{name}": value for name, value in report.items()}


CAMPAIGN = Campaign(
    name="scale",
    what="10,000 queues, 10,000 idle and 1,000 busy connections, then the same with RabbitMQ (L2, L3)",
    units=2,
    run=_unit,
    is_alone=True,
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.scale", description=__doc__)
    parser.add_argument("--queues", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--busy", type=int, default=1_000)
    parser.add_argument("--rabbitmq", action="store_true")
    chosen = parser.parse_args(arguments)
    room_for_sockets(2 * chosen.connections)
    node = RabbitNode() if chosen.rabbitmq else PosthouseNode()
    try:
        node.start()
        print(json.dumps(scale_of(node, chosen.queues, chosen.connections, chosen.busy)))
    finally:
        node.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
