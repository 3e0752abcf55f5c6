"""A message that arrives in pieces: method, header, body frames (AMQP 0-9-1 §4.2.6)."""

from __future__ import annotations

from posthouse.core import mem
from posthouse.protocols.amqp091.errors import AmqpError
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.frames import HEADER
from posthouse.wire.amqp091.properties import BasicProperties
from posthouse.wire.errors import UnknownFrame

BASIC_CLASS = 60


class Content:
    """Assembles one message; bounded by ``size_max``, refused as soon as the header announces more.

    Attributes:
        method: the ``basic.publish`` it belongs to.
        props_raw: the content header from the property flags on.
        body: the octets so far.
    """

    __slots__ = ("_left", "_size_max", "body", "has_header", "method", "properties", "props_raw")

    def __init__(self, method: methods.BasicPublish, size_max: int) -> None:
        self.method = method
        self.props_raw = b""
        self.properties: BasicProperties | None = None
        self.body = bytearray()
        self.has_header = False
        self._left = 0
        self._size_max = size_max

    def add_header(self, payload: bytes) -> bool:
        """Take the header frame; True when the message is complete with it.

        Raises:
            AmqpError: misplaced, for another class, malformed (505, 502) or too large (406).
        """
        if self.has_header:
            raise self.misplaced()
        if len(payload) < 12:
            raise UnknownFrame(HEADER, payload)
        class_id = mem.ld16(payload, 0)
        if class_id != BASIC_CLASS:
            raise AmqpError(
                505,
                f"expected content header for class {BASIC_CLASS}, got one for class {class_id} instead",
                BASIC_CLASS,
                40,
            )
        if mem.ld16(payload, 2):
            # RabbitMQ: a weight other than 0 makes it no content header at all.
            raise self.misplaced()
        size = mem.ld64(payload, 4)
        self.props_raw = payload[12:]
        self.properties = BasicProperties.decode(self.props_raw)
        if size > self._size_max:
            raise AmqpError(
                406,
                f"message size {size} is larger than configured max size {self._size_max}",
                BASIC_CLASS,
                40,
            )
        self.has_header = True
        self._left = size
        return size == 0

    def add_body(self, payload: bytes) -> bool:
        """Take a body frame; True when the message is complete with it."""
        if not self.has_header:
            raise self.misplaced("content body")
        if len(payload) > self._left:
            raise AmqpError(
                501, "content body frame exceeds remaining content size", BASIC_CLASS, 40
            )
        self.body += payload
        self._left -= len(payload)
        return self._left == 0

    def misplaced(self, got: str = "") -> AmqpError:
        """The error for a frame that does not belong here."""
        if self.has_header:
            text = "expected content body, got non content body frame instead"
        else:
            text = (
                f"expected content header for class {BASIC_CLASS}, "
                "got non content header frame instead"
            )
        return AmqpError(505, text, BASIC_CLASS, 40)
