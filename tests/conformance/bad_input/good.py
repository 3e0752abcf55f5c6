"""The client beside the attackers, and what is measured of the broker."""

from __future__ import annotations

import os
import struct
import time

from tests.support import link as amqp
from tests.support.nodes import PosthouseNode

PURGE_OK = 50 << 16 | 31


class GoodClient:
    """Publishes with a confirm and counts what arrived, on one connection that outlives all attacks."""

    def __init__(self, port: int) -> None:
        self.link = amqp.Link(port)
        self.link.declare_queue("good")
        self.link.call(amqp.method(85, 10, b"\0"), amqp.CONFIRM_SELECT_OK)
        self._purge = amqp.method(50, 30, b"\0\0" + amqp.short("good") + b"\0")
        self.link.call(self._purge, PURGE_OK)

    def close(self) -> None:
        """Leave."""
        self.link.close()

    def round_trip(self) -> None:
        """The broker has read what others sent before."""
        self.link.call(amqp.method(60, 10, bytes(7)), amqp.BASIC_QOS_OK)

    def check(self) -> None:
        """One message in, one message there."""
        message = amqp.publisher("", "good") + amqp.persistent_content(b"still here?")
        self.link.call(message, amqp.BASIC_ACK)
        assert self.link.call(self._purge, PURGE_OK) == struct.pack(">I", 1)


def open_files(node: PosthouseNode) -> int:
    return len(os.listdir(f"/proc/{node.pid}/fd"))


def settled(node: PosthouseNode, files: int) -> bool:
    """Whether the broker comes back to so many open files."""
    deadline = time.monotonic() + 10
    while open_files(node) > files and time.monotonic() < deadline:
        time.sleep(0.02)
    return open_files(node) <= files
