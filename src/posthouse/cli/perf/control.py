"""A small blocking AMQP 0-9-1 connection in client role: handshake, topology, and the way to a
bare socket.

The load generator uses it for everything that is not on the per-message path. Each call waits for
its answer; a close by the broker is raised. `detach` gives the socket away once channel 1 is as it
should be.
"""

from __future__ import annotations

import socket
import time
from typing import TypeVar

from posthouse.cli.perf.plan import Address
from posthouse.wire.amqp091 import frames
from posthouse.wire.amqp091.methods import (
    BasicConsume,
    BasicQos,
    BasicQosOk,
    ChannelClose,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    Method,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    decode_method,
)
from posthouse.wire.errors import WireError

FRAME_MAX = 131072  # RabbitMQ's default, and the most that we ask for

M = TypeVar("M", bound=Method)


class BrokerClosed(Exception):  # named as what happened, like all our errors
    """The broker closed the connection or channel, or the connection broke, while an answer was
    awaited.
    """


def start_ok(address: Address) -> ConnectionStartOk:
    """The answer to connection.start: PLAIN, and what this client can do."""
    return ConnectionStartOk(
        client_properties={
            "product": "posthouse perf",
            "capabilities": {
                "publisher_confirms": True,
                "basic.nack": True,
                "consumer_cancel_notify": True,
                "connection.blocked": True,
                "authentication_failure_close": True,
            },
        },
        mechanism="PLAIN",
        response=b"\0" + address.user.encode() + b"\0" + address.password.encode(),
        locale="en_US",
    )


class Control:
    """An open connection with channel 1. Owned by whoever made it: `close` or `detach` ends that."""

    def __init__(self, address: Address, deadline: float) -> None:
        """Connect and open channel 1. ``deadline``: `time.monotonic` after which waiting ends.

        Raises:
            BrokerClosed: refused, closed, or too late.
        """
        self._deadline = deadline
        self._reader = frames.FrameReader(0)
        self._payloads: list[bytes] = []
        try:
            self.socket = socket.create_connection((address.host, address.port), self._patience())
        except OSError as error:
            raise BrokerClosed(
                f"cannot connect to {address.host}:{address.port}: {error}"
            ) from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._handshake(address)
        except BaseException:
            self.socket.close()
            raise

    def _handshake(self, address: Address) -> None:
        self._send(frames.PROTOCOL_HEADER)
        self.server_properties = self._wait(ConnectionStart).server_properties
        self._send(frames.method_frame(0, start_ok(address).encode()))
        tune = self._wait(ConnectionTune)
        self.frame_max = min(tune.frame_max or FRAME_MAX, FRAME_MAX)
        tune_ok = ConnectionTuneOk(
            channel_max=tune.channel_max, frame_max=self.frame_max, heartbeat=0
        )
        opening = ConnectionOpen(virtual_host=address.vhost)
        self._send(
            frames.method_frame(0, tune_ok.encode()) + frames.method_frame(0, opening.encode())
        )
        self._wait(ConnectionOpenOk)
        self.call(ChannelOpen(), ChannelOpenOk)

    def call(self, method: Method, answer: type[M]) -> M:
        """Send ``method`` on channel 1 and wait for its answer."""
        self._send(frames.method_frame(1, method.encode()))
        return self._wait(answer)

    def declare_exchange(self, name: str, kind: str, *, durable: bool) -> None:
        """Declare an exchange."""
        self.call(ExchangeDeclare(exchange=name, type=kind, durable=durable), ExchangeDeclareOk)

    def delete_exchange(self, name: str) -> None:
        """Delete an exchange."""
        self.call(ExchangeDelete(exchange=name), ExchangeDeleteOk)

    def declare_queue(self, name: str, *, durable: bool) -> None:
        """Declare a queue, and empty it of what an earlier run may have left."""
        found = self.call(QueueDeclare(queue=name, durable=durable), QueueDeclareOk)
        if found.message_count:
            self.call(QueuePurge(queue=name), QueuePurgeOk)

    def message_count(self, name: str) -> int:
        """How many messages are ready in a queue."""
        return self.call(QueueDeclare(queue=name, passive=True), QueueDeclareOk).message_count

    def bind_queue(self, name: str, exchange: str, key: bytes) -> None:
        """Bind a queue."""
        self.call(QueueBind(queue=name, exchange=exchange, routing_key=key), QueueBindOk)

    def delete_queue(self, name: str) -> None:
        """Delete a queue with all that is in it."""
        self.call(QueueDelete(queue=name), QueueDeleteOk)

    def select_confirms(self) -> None:
        """Put the channel into confirm mode."""
        self.call(ConfirmSelect(), ConfirmSelectOk)

    def set_prefetch(self, count: int) -> None:
        """Limit unacked deliveries of each consumer."""
        self.call(BasicQos(prefetch_count=count), BasicQosOk)

    def consume(self, queues: list[tuple[str, str]], *, no_ack: bool) -> None:
        """Subscribe to (queue, consumer tag) pairs without waiting: deliveries may follow at once."""
        self._send(
            b"".join(
                frames.method_frame(
                    1,
                    BasicConsume(queue=name, consumer_tag=tag, no_ack=no_ack, nowait=True).encode(),
                )
                for name, tag in queues
            )
        )

    def detach(self) -> socket.socket:
        """The socket, for whoever drives it from now on."""
        assert not self._payloads, "answers are left that nobody waited for"
        return self.socket

    def close(self) -> None:
        """Say goodbye and close; a broker that is gone is not an error here."""
        try:
            goodbye = ConnectionClose(reply_code=200, reply_text="Goodbye")
            self._send(frames.method_frame(0, goodbye.encode()))
            self._wait(ConnectionCloseOk)
        except BrokerClosed:
            return
        finally:
            self.socket.close()

    def _patience(self) -> float:
        return max(0.001, min(20.0, self._deadline - time.monotonic()))

    def _send(self, data: bytes) -> None:
        try:
            self.socket.settimeout(self._patience())
            self.socket.sendall(data)
        except OSError as error:
            raise BrokerClosed(f"connection lost: {error}") from error

    def _wait(self, answer: type[M]) -> M:
        """The next method, which has to be an ``answer``; connection.blocked and the like are
        skipped.
        """
        while True:
            while self._payloads:
                method = decode_method(self._payloads.pop(0))
                if isinstance(method, answer):
                    return method
                if isinstance(method, ConnectionClose | ChannelClose):
                    raise BrokerClosed(
                        f"closed by the broker: {method.reply_code} {method.reply_text}"
                    )
            if time.monotonic() > self._deadline:
                raise BrokerClosed(f"no {answer.name} before the deadline")
            try:
                self.socket.settimeout(self._patience())
                data = self.socket.recv(65536)
                if not data:
                    raise BrokerClosed(f"the broker hung up while {answer.name} was awaited")
                for kind, _, payload in self._reader.feed(data):
                    if kind == frames.METHOD:
                        self._payloads.append(payload)
            except (OSError, WireError) as error:
                raise BrokerClosed(
                    f"connection lost while {answer.name} was awaited: {error}"
                ) from error
