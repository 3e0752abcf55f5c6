"""A raw AMQP 0-9-1 client connection for load: one socket, one channel, bytes in, events out.

Written from the specification, apart from Posthouse's own codec, and only as rich as the kill test needs. Calls that set up block; the
load itself is non-blocking: `send` keeps what the socket does not take, `receive` returns the events that came in.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

CONNECTION_START: Final = 10 << 16 | 10
CONNECTION_TUNE: Final = 10 << 16 | 30
CONNECTION_OPEN_OK: Final = 10 << 16 | 41
CONNECTION_CLOSE: Final = 10 << 16 | 50
CONNECTION_BLOCKED: Final = 10 << 16 | 60
CONNECTION_UNBLOCKED: Final = 10 << 16 | 61
CHANNEL_OPEN_OK: Final = 20 << 16 | 11
CHANNEL_CLOSE: Final = 20 << 16 | 40
EXCHANGE_DECLARE_OK: Final = 40 << 16 | 11
QUEUE_DECLARE_OK: Final = 50 << 16 | 11
QUEUE_BIND_OK: Final = 50 << 16 | 21
QUEUE_PURGE_OK: Final = 50 << 16 | 31
QUEUE_DELETE_OK: Final = 50 << 16 | 41
BASIC_QOS_OK: Final = 60 << 16 | 11
BASIC_CONSUME_OK: Final = 60 << 16 | 21
BASIC_DELIVER: Final = 60 << 16 | 60
BASIC_ACK: Final = 60 << 16 | 80
BASIC_NACK: Final = 60 << 16 | 120
CONFIRM_SELECT_OK: Final = 85 << 16 | 11
TX_SELECT_OK: Final = 90 << 16 | 11
TX_COMMIT_OK: Final = 90 << 16 | 21
TX_ROLLBACK_OK: Final = 90 << 16 | 31

COMMIT: Final = bytes.fromhex("01000100000004005a0014ce")
ROLLBACK: Final = bytes.fromhex("01000100000004005a001ece")

_frame = struct.Struct(">BHI")
_tag = struct.Struct(">QB")
FRAME_MAX: Final = 131072  # RabbitMQ's default
RECEIVE_BYTES: Final = 1 << 18


class Event(NamedTuple):
    """A method, its arguments as they came, and the content of one that carries content."""

    method: int
    arguments: bytes
    body: bytes


class Broken(Exception):
    """The connection is gone or the broker closed it."""


def short(text: str) -> bytes:
    data = text.encode()
    return bytes([len(data)]) + data


def method(class_id: int, method_id: int, arguments: bytes = b"", channel: int = 1) -> bytes:
    payload = struct.pack(">HH", class_id, method_id) + arguments
    return _frame.pack(1, channel, len(payload)) + payload + b"\xce"


def publisher(exchange: str, key: str) -> bytes:
    """The frame of a `basic.publish`, the same for all messages of a producer."""
    return method(60, 40, b"\0\0" + short(exchange) + short(key) + b"\0")


def persistent_content(body: bytes) -> bytes:
    """Header and body frames of a persistent message."""
    return content(body, 2)


def content(body: bytes, delivery_mode: int) -> bytes:
    """Header and body frames of a message, transient (1) or persistent (2)."""
    header = struct.pack(">BHIHHQHBB", 2, 1, 15, 60, 0, len(body), 0x1000, delivery_mode, 0xCE)
    if 0 < len(body) <= FRAME_MAX - 8:
        return header + _frame.pack(3, 1, len(body)) + body + b"\xce"
    parts = [header]
    for at in range(0, len(body), FRAME_MAX - 8):
        piece = body[at : at + FRAME_MAX - 8]
        parts.append(_frame.pack(3, 1, len(piece)) + piece + b"\xce")
    return b"".join(parts)


def ack(tag: int, multiple: bool = False) -> bytes:
    return method(60, 80, _tag.pack(tag, multiple))


def nack_requeue(tag: int) -> bytes:
    return method(60, 120, _tag.pack(tag, 2))


class Link:
    """One connection with channel 1 open.

    The constructor dials; from then on the socket is non-blocking. `Broken` from any call means that nothing more will come.

    Attributes:
        heartbeats: frames of that kind that came in.
    """

    def __init__(
        self,
        port: int,
        timeout_s: float = 10.0,
        *,
        heartbeat_s: int = 0,
        capabilities: Sequence[str] = (),
    ) -> None:
        """``heartbeat_s`` is asked for, ``capabilities`` are announced; nothing here sends heartbeats."""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self._in = b""
        self._at = 0  # what lies before it in the input is done
        self._out = bytearray()
        self._pending: tuple[int, bytes] | None = None  # method and arguments that wait for content
        self._left = 0
        self._parts: list[bytes] = []
        self.heartbeats = 0
        try:
            self._open(heartbeat_s, capabilities)
        except BaseException:
            self._socket.close()
            raise

    def _open(self, heartbeat_s: int, capabilities: Sequence[str]) -> None:
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        login = b"\0guest\0guest"
        able = b"".join(short(name) + b"t\1" for name in capabilities)
        able = short("capabilities") + b"F" + struct.pack(">I", len(able)) + able
        properties = struct.pack(">I", len(able)) + able
        start_ok = properties + short("PLAIN") + struct.pack(">I", len(login)) + login
        self._socket.sendall(b"AMQP\0\0\x09\x01")
        self._wait(CONNECTION_START)
        self._socket.sendall(method(10, 11, start_ok + short("en_US"), 0))
        self._wait(CONNECTION_TUNE)
        self._socket.sendall(method(10, 31, struct.pack(">HIH", 10, FRAME_MAX, heartbeat_s), 0))
        self._socket.sendall(method(10, 40, short("/") + b"\0\0", 0))
        self._wait(CONNECTION_OPEN_OK)
        self.call(method(20, 10, b"\0"), CHANNEL_OPEN_OK)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def call(self, request: bytes, answer: int) -> bytes:
        """Send and block until the answer; its arguments. Only while nothing else can come in between."""
        blocking = self._socket.gettimeout()
        self._socket.settimeout(30.0)
        try:
            self._socket.sendall(request)
            return self._wait(answer)
        except OSError as error:
            raise Broken(str(error)) from error
        finally:
            with contextlib.suppress(OSError):
                self._socket.settimeout(blocking)

    def declare_queue(self, name: str, *, passive: bool = False) -> int:
        """Declare a durable queue; return how many messages are ready."""
        flags = b"\x03" if passive else b"\x02"
        arguments = b"\0\0" + short(name) + flags + b"\0\0\0\0"
        answer = self.call(method(50, 10, arguments), QUEUE_DECLARE_OK)
        count: int = struct.unpack_from(">I", answer, 1 + answer[0])[0]
        return count

    def declare_exchange(self, name: str) -> None:
        """Declare a durable direct exchange."""
        arguments = b"\0\0" + short(name) + short("direct") + b"\x02\0\0\0\0"
        self.call(method(40, 10, arguments), EXCHANGE_DECLARE_OK)

    def bind(self, queue: str, exchange: str, key: str) -> None:
        arguments = b"\0\0" + short(queue) + short(exchange) + short(key) + b"\0\0\0\0\0"
        self.call(method(50, 20, arguments), QUEUE_BIND_OK)

    def select_confirms(self) -> None:
        self.call(method(85, 10, b"\0"), CONFIRM_SELECT_OK)

    def select_transactions(self) -> None:
        self.call(method(90, 10), TX_SELECT_OK)

    def consume(self, queue: str, prefetch: int) -> None:
        """Start a consumer with manual acknowledgements; deliveries come as events."""
        self.call(method(60, 10, struct.pack(">IHB", 0, prefetch, 0)), BASIC_QOS_OK)
        self.send(method(60, 20, b"\0\0" + short(queue) + short("c") + b"\0\0\0\0\0"))

    def send(self, data: bytes) -> None:
        """Send, or keep for `flush` what the socket does not take now."""
        self._out += data
        self.flush()

    @property
    def unsent(self) -> int:
        return len(self._out)

    def flush(self) -> None:
        if not self._out:
            return
        try:
            while self._out:
                del self._out[: self._socket.send(self._out)]
        except BlockingIOError:
            pass
        except OSError as error:
            raise Broken(str(error)) from error

    def receive(self) -> list[Event]:
        """What came in since the last call; empty when nothing did."""
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return []
        except OSError as error:
            raise Broken(str(error)) from error
        if not data:
            raise Broken("end of the stream")
        self._take(data)
        return list(self._events())

    def remains(self) -> list[Event]:
        """All that the peer sent before it died."""
        events: list[Event] = []
        with contextlib.suppress(Broken):
            self._socket.settimeout(5.0)
            while True:
                events += self.receive()
        return events

    def close(self) -> None:
        """Cut the connection, without a word to the broker."""
        self._socket.close()

    def _take(self, data: bytes) -> None:
        self._in = self._in[self._at :] + data
        self._at = 0

    def _wait(self, answer: int) -> bytes:
        while True:
            for event in self._events():
                if event.method == answer:
                    return event.arguments
                raise Broken(f"{event.method >> 16}.{event.method & 0xFFFF}: {event.arguments!r}")
            data = self._socket.recv(RECEIVE_BYTES)
            if not data:
                raise Broken("end of the stream")
            self._take(data)

    def _events(self) -> Iterator[Event]:
        """Take whole frames off the input; a method with content comes when the content is whole."""
        data = self._in
        while len(data) - self._at >= 8:
            kind, _, size = _frame.unpack_from(data, self._at)
            start, end = self._at + 7, self._at + 8 + size
            if end > len(data):
                break
            if data[end - 1] != 0xCE:
                raise Broken("a frame without its end")
            self._at = end
            if kind == 1:
                number = int.from_bytes(data[start : start + 4], "big")
                arguments = data[start + 4 : end - 1]
                if number == BASIC_DELIVER:
                    self._pending, self._parts = (number, arguments), []
                elif number in (CONNECTION_CLOSE, CHANNEL_CLOSE):
                    raise Broken(f"closed by the broker: {arguments!r}")
                else:
                    yield Event(number, arguments, b"")
                continue
            if kind == 8:
                self.heartbeats += 1
                continue
            if kind == 2:
                self._left = int.from_bytes(data[start + 4 : start + 12], "big")
            elif kind == 3:
                self._parts.append(data[start : end - 1])
                self._left -= size
            if self._left == 0 and self._pending is not None:
                number, arguments = self._pending
                self._pending = None
                yield Event(number, arguments, b"".join(self._parts))
