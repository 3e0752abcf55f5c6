"""Clients that are lost (L6), half open or reset amid a frame: what they held goes to others, what they half sent never appears."""

from __future__ import annotations

import select
import socket
import struct
import time

import pytest

from tests.support import link as amqp
from tests.support.nodes import PosthouseNode
from tests.support.roles import delivery

pytestmark = pytest.mark.slow

COUNT = 200
HEARTBEAT_S = 1
# The broker looks once a second.
GONE_S_MAX = 2 * HEARTBEAT_S + 2.5


@pytest.fixture(scope="module")
def node(posthouse_node: PosthouseNode) -> PosthouseNode:
    return posthouse_node


def publish(node: PosthouseNode, queue: str, count: int) -> None:
    link = amqp.Link(node.port)
    link.declare_queue(queue)
    link.select_confirms()
    for number in range(count):
        body = number.to_bytes(4, "big")
        link.call(amqp.publisher("", queue) + amqp.persistent_content(body), amqp.BASIC_ACK)
    link.close()


def take(link: amqp.Link, count: int, timeout_s: float) -> list[tuple[int, bool]]:
    """So many deliveries: number and whether it is a redelivery."""
    found: list[tuple[int, bool]] = []
    deadline = time.monotonic() + timeout_s
    while len(found) < count:
        left = deadline - time.monotonic()
        assert left > 0, f"{len(found)} of {count}"
        if select.select([link], [], [], left)[0]:
            found += [
                (int.from_bytes(event.body, "big"), delivery(event)[1])
                for event in link.receive()
                if event.method == amqp.BASIC_DELIVER
            ]
    return found


def test_what_a_half_open_connection_held_goes_to_others(node: PosthouseNode) -> None:
    """The clients are there for TCP, but say nothing; one of them does not even read."""
    queues = ("reads", "does not read")
    lost = []
    for queue in queues:
        publish(node, queue, COUNT)
        lost.append(amqp.Link(node.port, heartbeat_s=HEARTBEAT_S))
        lost[-1].consume(queue, COUNT)
    take(lost[0], COUNT, 10)
    begin = time.monotonic()
    other = amqp.Link(node.port)
    for queue in queues:
        other.consume(queue, COUNT)
        found = take(other, COUNT, 10)
        assert found == [(number, True) for number in range(COUNT)]
        other.send(amqp.method(60, 30, amqp.short("c") + b"\1"))  # basic.cancel, without an answer
    assert time.monotonic() - begin < GONE_S_MAX
    for link in lost:
        # It finds the line cut when it wakes up.
        with pytest.raises(amqp.Broken):
            take(link, 2 * COUNT, 5)
        link.close()
    other.close()


@pytest.mark.parametrize(
    "cut_at", ["in the method", "in the header", "in the body", "before the last octet"]
)
def test_a_message_that_was_cut_off_never_appears(node: PosthouseNode, cut_at: str) -> None:
    queue = "cut-off"
    control = amqp.Link(node.port)
    control.declare_queue(queue)
    method = amqp.publisher("", queue)
    content = amqp.persistent_content(bytes(300_000))
    whole = method + content
    cut = {
        "in the method": len(method) // 2,
        "in the header": len(method) + 10,
        "in the body": len(method) + 150_000,
        "before the last octet": len(whole) - 1,
    }[cut_at]
    link = amqp.Link(node.port)
    with socket.socket(fileno=socket.dup(link.fileno())) as sock:
        sock.setblocking(True)
        sock.sendall(whole[:cut])
        # Reset, not closed in order.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        link.close()
    assert control.declare_queue(queue, passive=True) == 0
    publish(node, queue, 1)
    control.consume(queue, 10)
    assert take(control, 1, 10) == [(0, False)]
    assert control.declare_queue(queue, passive=True) == 0
    purge = amqp.method(50, 40, b"\0\0" + amqp.short(queue) + b"\0")
    control.call(purge, amqp.QUEUE_DELETE_OK)
    control.close()
