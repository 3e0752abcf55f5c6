"""A client at frame level that writes down what it hears. Its codec is pamqp: nothing of ours judges ours.

A script drives one `Stage`: it opens connections, sends frames and says how many answers it waits for. What came is kept per connection
and channel in order of arrival, since RabbitMQ's channels are processes of their own and keep no order among each other. Names that the
server makes are replaced; everything else must be equal.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from collections import defaultdict
from typing import Any

from pamqp import base, body, commands, exceptions, frame, header, heartbeat

HEADER = b"AMQP\x00\x00\x09\x01"
REPLY_TIMEOUT_S = 8.0
# After its last step a script listens this long for what should not come.
QUIET_S = 0.25
GENERATED = re.compile(r"amq\.(gen|ctag)-[A-Za-z0-9_-]{22}")
CAPABILITIES = {
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
    "basic.nack": True,
    "publisher_confirms": True,
    "exchange_exchange_bindings": True,
}


def method_payload(class_id: int, method_id: int, arguments: bytes = b"") -> bytes:
    """A method frame's payload by numbers, for what the codec would not write."""
    return struct.pack(">HH", class_id, method_id) + arguments


def octets(kind: int, channel: int, payload: bytes, end: bytes = b"\xce") -> bytes:
    """One frame by parts."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + end


def short(text: str | bytes) -> bytes:
    """A short string."""
    raw = text.encode() if isinstance(text, str) else text
    return bytes((len(raw),)) + raw


def shown(value: Any) -> str:  # Any: a field value
    """A value as the transcript has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}={shown(v)}" for k, v in sorted(value.items())) + "}"
    if isinstance(value, bytes | bytearray) and len(value) > 64:
        return f"{len(value)} octets"
    return GENERATED.sub(r"amq.\1-*", repr(value))


class Unknown:
    """A method that pamqp does not know."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload


def rendered(item: Any) -> str:  # Any: whatever pamqp makes of a frame
    """One line for one frame."""
    if isinstance(item, header.ContentHeader):
        properties = {k: v for k, v in dict(item.properties).items() if v not in (None, "")}
        return f"  header size={item.body_size} {shown(properties)}"
    if isinstance(item, body.ContentBody):
        return f"  body {shown(item.value)}"
    if isinstance(item, Unknown):
        return "method {}.{} {}".format(*struct.unpack_from(">HH", item.payload), item.payload[4:])
    if isinstance(item, heartbeat.Heartbeat):
        return "heartbeat"
    if isinstance(item, header.ProtocolHeader):
        return f"protocol header {item.major_version}-{item.minor_version}-{item.revision}"
    if isinstance(item, commands.Connection.Start):
        return (
            f"Connection.Start {item.version_major}-{item.version_minor} locales={item.locales!r}"
        )
    return f"{item.name} " + " ".join(
        f"{k}={shown(v)}" for k, v in dict(item).items() if k not in ("ticket", "reserved_1")
    )


class Conn:
    """One connection. ``log`` has the lines by channel number."""

    def __init__(self, stage: Stage, label: str) -> None:
        self.stage = stage
        self.label = label
        self.log: dict[int, list[str]] = defaultdict(list)
        self.sock = socket.create_connection(("127.0.0.1", stage.port), 10)
        self.data = b""
        self.last: dict[int, Any] = {}  # by channel, the last method
        self.is_closed = False

    # --- sending --------------------------------------------------------------------------------

    def raw(self, data: bytes) -> None:
        """Send octets; a connection that is gone is noticed by reading."""
        try:
            self.sock.sendall(data)
        except OSError:
            self.is_closed = True

    def send(
        self, channel: int, *frames: base.Frame | header.ContentHeader | body.ContentBody
    ) -> None:
        """Send frames in one piece."""
        self.raw(b"".join(frame.marshal(item, channel) for item in frames))

    def call(self, channel: int, item: base.Frame, count: int = 1) -> Any:
        """Send a method, wait for ``count`` methods on its channel; returns the last."""
        self.send(channel, item)
        return self.read(channel, count)

    # --- receiving ------------------------------------------------------------------------------

    def read(self, channel: int, count: int = 1, timeout_s: float = REPLY_TIMEOUT_S) -> Any:
        """Wait until ``count`` more methods with their contents came on ``channel``, or the end of the connection."""
        deadline = time.monotonic() + timeout_s
        last = None
        while count > 0:
            item = self._next(deadline)
            if item is None:
                self.log[channel].append("(closed)" if self.is_closed else "(nothing)")
                return None
            number, got = item
            if number == channel and isinstance(got, base.Frame | Unknown):
                count -= 1
                last = got
                if isinstance(got, base.Frame) and got.name in (
                    "Basic.Deliver",
                    "Basic.GetOk",
                    "Basic.Return",
                ):
                    self._content(channel, deadline)
            elif isinstance(got, commands.Connection.Close):
                return None  # nothing else will come
        return last

    def _content(self, channel: int, deadline: float) -> None:
        left = -1
        while left:
            item = self._next(deadline)
            if item is None:
                return
            if item[0] != channel:
                continue
            if isinstance(item[1], header.ContentHeader):
                left = item[1].body_size
            elif isinstance(item[1], body.ContentBody):
                left -= len(item[1].value)

    def _next(self, deadline: float) -> tuple[int, Any] | None:
        while True:
            found = self._split()
            if found is not None:
                channel, item = found
                self.log[channel].append(rendered(item))
                if isinstance(item, base.Frame):
                    self.last[channel] = item
                return found
            left = deadline - time.monotonic()
            if left <= 0 or self.is_closed:
                return None
            self.sock.settimeout(left)
            try:
                piece = self.sock.recv(65536)
            except TimeoutError:
                return None
            except OSError:
                piece = b""
            if not piece:
                self.is_closed = True
            self.data += piece

    def _split(self) -> tuple[int, Any] | None:
        data = self.data
        if len(data) >= 8 and data[:4] == b"AMQP":
            self.data = data[8:]
            return 0, frame.unmarshal(data[:8])[2]
        if len(data) < 8:
            return None
        size = struct.unpack_from(">I", data, 3)[0] + 8
        if len(data) < size:
            return None
        self.data = data[size:]
        if data[0] == 3 and size == 8:  # an empty body, which pamqp does not take for a frame
            return struct.unpack_from(">H", data, 1)[0], body.ContentBody(b"")
        try:
            _, channel, item = frame.unmarshal(data[:size])
        except exceptions.UnmarshalingException:
            return struct.unpack_from(">H", data, 1)[0], Unknown(data[7 : size - 1])
        return channel, item

    def settle(self) -> None:
        """Listen for what should not come; note an end of the connection."""
        deadline = time.monotonic() + QUIET_S
        while self._next(deadline) is not None:
            pass
        if self.is_closed:
            self.log[0].append("(closed)")

    # --- handshake ------------------------------------------------------------------------------

    def begin(self) -> None:
        """Protocol header and ``connection.start``."""
        self.raw(HEADER)
        self.read(0)

    def start_ok(
        self,
        mechanism: str = "PLAIN",
        response: bytes | str = "\0guest\0guest",
        capabilities: dict[str, bool] | None = None,
    ) -> Any:
        """Log in; returns what came: tune, secure or close."""
        properties = {"capabilities": CAPABILITIES if capabilities is None else capabilities}
        raw = response.encode() if isinstance(response, str) else response
        arguments = frame.marshal(
            commands.Connection.StartOk(properties, mechanism, "x", "en_US"), 0
        )[11:-1]
        # pamqp takes the response for text: put the octets in place of its "x".
        at = arguments.rindex(b"\0\0\0\x01x")
        whole = arguments[:at] + struct.pack(">I", len(raw)) + raw + arguments[at + 5 :]
        self.raw(octets(1, 0, method_payload(10, 11, whole)))
        return self.read(0)

    def tune_ok(
        self, channel_max: int = 2047, frame_max: int = 131072, heartbeat_s: int = 0
    ) -> None:
        """Answer tune, without opening a virtual host."""
        self.send(0, commands.Connection.TuneOk(channel_max, frame_max, heartbeat_s))

    def open(
        self,
        *channels: int,
        user: str = "guest",
        password: str = "guest",
        vhost: str = "/",
        capabilities: dict[str, bool] | None = None,
        **tuned: int,
    ) -> Conn:
        """The whole handshake, and channels, none of it in the transcript unless it fails."""
        self.begin()
        self.start_ok(response=f"\0{user}\0{password}", capabilities=capabilities)
        self.tune_ok(**tuned)
        answer = self.call(0, commands.Connection.Open(vhost))
        if isinstance(answer, commands.Connection.OpenOk):
            self.log.clear()
            for channel in channels:
                if isinstance(self.call(channel, commands.Channel.Open()), commands.Channel.OpenOk):
                    self.log[channel].clear()
        return self


class Stage:
    """What one script has on one broker."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections: list[Conn] = []

    def dial(self) -> Conn:
        """A connection of which nothing was said yet."""
        conn = Conn(self, "abcdefgh"[len(self.connections)])
        self.connections.append(conn)
        return conn

    def open(self, *channels: int, **options: Any) -> Conn:
        """A connection that is open, with channels (1 if none are named)."""
        return self.dial().open(*(channels or (1,)), **options)

    def transcript(self) -> list[str]:
        """End the script: what was heard, by connection and channel."""
        lines = []
        for conn in self.connections:
            conn.settle()
        for conn in self.connections:
            for channel in sorted(conn.log):
                lines += [f"{conn.label}{channel} {line}" for line in conn.log[channel]]
            conn.sock.close()
        return lines
