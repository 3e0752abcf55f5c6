"""A client that believes nothing: every octet it gets must be part of a whole, known, sensible frame.

It behaves like `posthouse.server.connection.Connection` towards the session (one shared receive buffer, large bodies received where
they belong, partial sends, pauses), but it reads and sends when it is told to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from posthouse.protocols.amqp091.session import State
from posthouse.server.connection import DIRECT_MIN
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.frames import FrameReader
from posthouse.wire.amqp091.properties import BasicProperties
from tests.conformance.bad_input import octets
from tests.fuzz.messages import is_whole
from tests.support.inmemory import Peer, World

BUFFER_SIZE = 256 * 1024
HEADER = b"AMQP\0\0\x09\x01"
CODES = frozenset((200, 320, 403, 404, 405, 406, 501, 502, 503, 504, 505, 530, 540))
WITH_CONTENT = (methods.BasicDeliver, methods.BasicGetOk, methods.BasicReturn)
CLOSE_OKS = (methods.ConnectionCloseOk, methods.ChannelCloseOk)
# What a broker says.
SPOKEN = frozenset(
    (
        methods.ConnectionStart,
        methods.ConnectionSecure,
        methods.ConnectionTune,
        methods.ConnectionOpenOk,
        methods.ConnectionClose,
        methods.ConnectionCloseOk,
        methods.ConnectionBlocked,
        methods.ConnectionUnblocked,
        methods.ConnectionUpdateSecretOk,
        methods.ChannelOpenOk,
        methods.ChannelFlowOk,
        methods.ChannelClose,
        methods.ChannelCloseOk,
        methods.AccessRequestOk,
        methods.ExchangeDeclareOk,
        methods.ExchangeDeleteOk,
        methods.ExchangeBindOk,
        methods.ExchangeUnbindOk,
        methods.QueueDeclareOk,
        methods.QueueBindOk,
        methods.QueueUnbindOk,
        methods.QueuePurgeOk,
        methods.QueueDeleteOk,
        methods.BasicQosOk,
        methods.BasicConsumeOk,
        methods.BasicCancel,
        methods.BasicCancelOk,
        methods.BasicGetEmpty,
        methods.BasicRecoverOk,
        methods.BasicAck,
        methods.ConfirmSelectOk,
        methods.TxSelectOk,
        methods.TxCommitOk,
        methods.TxRollbackOk,
        *WITH_CONTENT,
    )
)


class Broken(AssertionError):
    """A promise was broken."""


class Witness(Peer):
    """One connection.

    Attributes:
        heard: methods and sizes of bodies since they were taken last, by channel in order of arrival.
        delivered: bodies that arrived whole.
        is_deaf: nothing is read from the broker for now.
        share: the socket takes so many octets at a time; 0 for all.
    """

    def __init__(self, world: World, address: str = "127.0.0.1") -> None:
        super().__init__(world, address)
        self.reader = FrameReader(131072)
        self.heard: list[tuple[int, Any]] = []
        self.delivered = 0
        self.is_deaf = False
        self.share = 0
        self.waiting = b""
        self._contents: dict[int, list[Any]] = {}
        self._confirmed: dict[int, int] = {}
        self._ended: set[int] = set()
        self._is_first = True

    # --- from the broker ------------------------------------------------------------------------

    def flush(self) -> None:
        """Take what is to be sent, as a socket would."""
        session = self.session
        if self.is_deaf or self.is_closed:
            return
        while session.oo < session.sendable():
            data = b"".join(session.views())
            if self.share:
                data = data[: self.share]
            session.sent(len(data))
            self._hear(data)
        if session.is_finished and session.on == session.oo:
            self.close()

    def _hear(self, data: bytes) -> None:
        if self._is_first:
            self._is_first = False
            if data.startswith(HEADER):
                # To a wrong header the answer is the right one, and the end.
                if data != HEADER or not self.session.is_finished:
                    raise Broken(f"behind the header: {data[:60]!r}")
                return
        for kind, channel, payload in self.reader.feed(data):
            if kind == 1:
                self._method(channel, methods.decode_method(payload))
            elif kind == 2:
                self._header(channel, payload)
            elif kind == 3:
                self._body(channel, payload)
            elif kind != 8 or channel or payload:
                raise Broken(f"frame of type {kind} on channel {channel}: {payload[:60]!r}")

    def _method(self, channel: int, method: methods.Method) -> None:
        kind = type(method)
        if kind not in SPOKEN or channel in self._contents:
            raise Broken(f"{method!r} on channel {channel} amid {self._contents.get(channel)}")
        if channel in self._ended or 0 in self._ended:
            self._after_the_end(channel, method)
        if kind in WITH_CONTENT:
            self._contents[channel] = [method, -1, []]
            return
        if isinstance(method, methods.ConnectionClose | methods.ChannelClose):
            self._ended.add(channel)
            if method.reply_code not in CODES:
                raise Broken(f"{method!r}")
        elif kind in CLOSE_OKS:
            self._ended.add(channel)
        elif isinstance(method, methods.BasicAck):
            before = self._confirmed.get(channel, 0)
            if method.delivery_tag <= before or (
                method.delivery_tag > before + 1 and not method.multiple
            ):
                raise Broken(f"{method!r} on channel {channel} after {before}")
            self._confirmed[channel] = method.delivery_tag
        elif isinstance(method, methods.ChannelOpenOk):
            self._confirmed[channel] = 0
        self.heard.append((channel, method))

    def _after_the_end(self, channel: int, method: methods.Method) -> None:
        """Only closes that crossed, and a channel opened again."""
        if type(method) in CLOSE_OKS:
            return
        if isinstance(method, methods.ChannelOpenOk) and 0 not in self._ended:
            self._ended.discard(channel)
            return
        raise Broken(f"{method!r} on channel {channel} behind its end")

    def _header(self, channel: int, payload: bytes) -> None:
        content = self._contents.get(channel)
        if content is None or content[1] >= 0 or payload[:4] != b"\0\x3c\0\0":
            raise Broken(f"content header on channel {channel}: {payload[:60]!r}")
        BasicProperties.decode(payload[12:])
        content[1] = int.from_bytes(payload[4:12], "big")
        if content[1] == 0:
            self._complete(channel, content)

    def _body(self, channel: int, payload: bytes) -> None:
        content = self._contents.get(channel)
        if content is None or not 0 < len(payload) <= content[1]:
            raise Broken(f"{len(payload)} octets of body on channel {channel}, {content}")
        if len(payload) > self.session.body_max:
            raise Broken(f"a body frame of {len(payload)} octets, at most {self.session.body_max}")
        content[2].append(payload)
        content[1] -= len(payload)
        if content[1] == 0:
            self._complete(channel, content)

    def _complete(self, channel: int, content: list[Any]) -> None:
        del self._contents[channel]
        body = b"".join(content[2])
        method = content[0]
        if not is_whole(
            body, method.exchange.encode("utf-8", "surrogateescape"), method.routing_key
        ):
            raise Broken(f"{content[0]!r} with a body of {len(body)} octets that was never sent")
        self.delivered += 1
        self.heard.append((channel, content[0]))
        self.heard.append((channel, len(body)))

    def methods_heard(self) -> list[tuple[int, Any]]:
        """What was heard since the last call."""
        heard, self.heard = self.heard, []
        return heard

    # --- to the broker --------------------------------------------------------------------------

    def log_in(self, frame_max: int = 131072) -> None:
        """From the first octet to an open channel 1, in one piece."""
        channel = octets.method(20, 10, b"\0")
        tune_ok = octets.tune_ok(size=frame_max)
        self.give(octets.HEADER + octets.start_ok() + tune_ok + octets.opening() + channel)
        self.world.settle()
        if not self.session.channels:
            raise Broken(f"no channel was opened: {self.heard}")
        self.heard.clear()

    def give(self, data: bytes) -> None:
        """Send ``data`` in one piece, or keep it while the broker does not read."""
        if self.is_paused:
            self.waiting += data
            return
        receive: Callable[[bytes], None] = self._receive
        size = BUFFER_SIZE - len(self._tail)
        while data and not self.is_closed:
            if self.is_paused:
                self.waiting = data
                return
            piece, data = data[:size], data[size:]
            receive(piece)
            size = BUFFER_SIZE - len(self._tail)

    def _receive(self, data: bytes) -> None:
        session = self.session
        arrival = session.arrival
        if arrival is not None and arrival.gap >= DIRECT_MIN:
            if self._tail:
                raise Broken(f"{len(self._tail)} octets were left over before a body")
            gap = arrival.view()
            taken = min(len(gap), len(data))
            gap[:taken] = data[:taken]
            del gap
            arrival.filled(taken)
            data = data[taken:]
            if not data:
                return
        whole = self._tail + data
        size = len(whole)
        self._buffer[:size] = whole
        used = session.receive(self._buffer, size)
        if not 0 <= used <= size or (used == 0 and size == BUFFER_SIZE):
            raise Broken(f"{used} of {size} octets were used")
        self._tail = b"" if self.is_closed else bytes(self._buffer[used:size])
        if session.state is State.HEADER or len(self._tail) < 7:
            return
        if int.from_bytes(self._tail[3:7], "big") > session.frame_max:
            raise Broken(f"a frame that is too large is waited for: {self._tail[:7]!r}")

    def catch_up(self) -> None:
        """Send what had to wait, if the broker reads again."""
        if self.waiting and not self.is_paused and not self.is_closed:
            data, self.waiting = self.waiting, b""
            self.give(data)
