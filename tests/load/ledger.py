"""Who has which message, for loads that last: what it keeps is bounded by the backlog, not by how many messages there ever were.

A broker that is not killed loses nothing, so every message that was published is due: it is delivered, again if it is given back, and not
once more after its acknowledgement. Only an acknowledgement sent within a second before its connection was cut may be forgotten.
"""

from __future__ import annotations

import struct
import time
from collections import deque

HEAD = struct.Struct(">IQ")
# Sizes of bodies; two megabytes are many frames and more than a block.
HUGE, LARGE, MIDDLE = 2_000_000, 200_000, 5_000
GRACE_S = 1.0


def size_of(number: int) -> int:
    """The size of the body of message ``number``, 12 octets at least: mostly small, some large."""
    if number % 5003 == 5002:
        return HUGE
    if number % 1009 == 1008:
        return LARGE
    if number % 97 == 96:
        return MIDDLE
    return HEAD.size + number * 7919 % 300


def body_of(producer: int, number: int) -> bytes:
    """Producer, number, and a filling that depends on the number."""
    return HEAD.pack(producer, number) + bytes([number % 251]) * (size_of(number) - HEAD.size)


class Session:
    """One consumer connection: what it acknowledged of late, and the last number it had of each producer."""

    def __init__(self) -> None:
        self.acked: deque[tuple[float, int, int]] = deque()  # when, identity, size
        self.last: dict[int, int] = {}


class Ledger:
    """The messages of one queue.

    Attributes:
        octets: bodies that were published and not acknowledged.
        open: identities of these, with size and whether somebody had them already.
        unsure: acknowledged just before their connection was cut; they may come back, or not.
    """

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.octets = 0
        self.published = 0
        self.deliveries = 0
        self.redeliveries = 0
        self.open: dict[int, tuple[int, bool]] = {}
        self.unsure: dict[int, int] = {}

    def publish(self, producer: int, number: int, size: int) -> None:
        """A message was sent to the broker."""
        self.open[producer << 48 | number] = (size, False)
        self.octets += size
        self.published += 1

    def deliver(self, body: bytes, redelivered: bool, session: Session) -> int:
        """A consumer has a message; returns its identity.

        Raises:
            AssertionError: it should not, or not now, or not in this form.
        """
        producer, number = HEAD.unpack_from(body)
        assert body == body_of(producer, number), f"{self.queue}: not what was published: {number}"
        identity: int = producer << 48 | number
        self.deliveries += 1
        self.redeliveries += redelivered
        if identity in self.unsure:
            self.open[identity] = (self.unsure.pop(identity), True)
            self.octets += len(body)
        known = self.open.get(identity)
        assert known is not None, f"{self.queue}: {producer}.{number} after its acknowledgement"
        assert redelivered or not known[1], f"{self.queue}: {producer}.{number} without its flag"
        if not redelivered:
            last = session.last.get(producer, -1)
            assert last < number, f"{self.queue}: {producer}.{number} after {last}"
            session.last[producer] = number
        self.open[identity] = (len(body), True)
        return identity

    def settle(self, identity: int, session: Session) -> None:
        """Its acknowledgement was sent."""
        size, _ = self.open.pop(identity)
        self.octets -= size
        now = time.monotonic()
        session.acked.append((now, identity, size))
        while session.acked[0][0] < now - GRACE_S:
            session.acked.popleft()

    def cut(self, session: Session) -> None:
        """The connection of a session was cut."""
        now = time.monotonic()
        for when, identity, size in session.acked:
            if when >= now - GRACE_S:
                self.unsure[identity] = size
        session.acked.clear()
