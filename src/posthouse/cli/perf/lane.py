"""Sockets under the kernels' lanes: what a worker does when one becomes readable or writable.

One batch is one `recv` of up to 1 MiB or one `send` of up to 256 KiB; nothing here runs per
message.
"""

from __future__ import annotations

import selectors
import socket
import time
from typing import Final

from posthouse.cli.perf.control import Control
from posthouse.cli.perf.plan import Plan
from posthouse.cli.perf.units import encode_units
from posthouse.client.load import ConsumeLane, PublishLane
from posthouse.wire.amqp091.methods import (
    BasicCancel,
    ChannelClose,
    ConnectionBlocked,
    ConnectionClose,
    decode_method,
)
from posthouse.wire.errors import WireError

RECEIVE_BYTES: Final = 1024 * 1024
OUT_BYTES: Final = 1024 * 1024
ROUNDS_MAX: Final = 4  # sends per readiness event, so that one fast socket does not starve the rest
OVERDUE_WAIT_NS: Final = 20_000
READ: Final = selectors.EVENT_READ
WRITE: Final = selectors.EVENT_WRITE

# basic.ack on channel 1 around the tag and the multiple bit, which is set
ACK_HEAD: Final = bytes((1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80))
ACK_TAIL: Final = b"\x01\xce"


class Lane:
    """One connection in the worker's selector. Owns its socket.

    ``error`` is set once and for all when the connection is of no use any more.
    """

    def __init__(self, selector: selectors.BaseSelector, connection: socket.socket) -> None:
        self.error = ""
        self.blocked = 0
        self._selector = selector
        self._socket = connection
        self._interest = READ
        self._buffer = bytearray(RECEIVE_BYTES)
        self._view = memoryview(self._buffer)
        self._rest = 0
        connection.setblocking(False)
        selector.register(connection, READ, self.on_event)

    def on_event(self, mask: int) -> None:
        """The socket is ready for what ``mask`` says."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the socket without ceremony."""
        if not self.error:
            self._selector.unregister(self._socket)
        self._socket.close()

    def _want(self, interest: int) -> None:
        if interest != self._interest and not self.error:
            self._selector.modify(self._socket, interest, self.on_event)
            self._interest = interest

    def _fail(self, reason: str) -> None:
        if not self.error:
            self.error = reason
            # a dead socket is readable for ever
            self._selector.unregister(self._socket)

    def _receive(self) -> int:
        """Octets in the buffer after one `recv`; 0 when nothing came."""
        try:
            size = self._socket.recv_into(self._view[self._rest :])
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._fail(f"connection lost: {error}")
            return 0
        if size == 0:
            self._fail("the broker hung up")
            return 0
        return self._rest + size

    def _send(self, data: memoryview) -> int:
        """Octets taken by the socket; 0 when it is full."""
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._fail(f"connection lost: {error}")
            return 0

    def _handle_cold(self, payloads: list[bytes]) -> None:
        for payload in payloads:
            try:
                method = decode_method(payload)
            except WireError as error:
                self._fail(str(error))
                break
            if isinstance(method, ConnectionClose | ChannelClose):
                self._fail(f"closed by the broker: {method.reply_code} {method.reply_text}")
            elif isinstance(method, BasicCancel):
                self._fail("the broker cancelled a consumer")
            elif isinstance(method, ConnectionBlocked):
                self.blocked += 1
        payloads.clear()


class ProducerLane(Lane):
    """Publishes as fast as window and socket allow, or what is due when a rate is given."""

    def __init__(
        self, selector: selectors.BaseSelector, plan: Plan, index: int, control: Control
    ) -> None:
        if plan.confirm_window:
            control.select_confirms()
        super().__init__(selector, control.detach())
        units = encode_units(plan, index, control.frame_max)
        self.is_stopping = False
        self._is_paced = plan.mode == "latency"
        self.kernel = PublishLane(
            units.data,
            units.unit_bytes,
            plan.confirm_window,
            plan.producer_quota(index),
            units.stamp_at,
        )
        self._units = memoryview(units.data)
        self._out = bytearray(max(OUT_BYTES, units.unit_bytes * 2) if self._is_paced else 0)
        self._out_view = memoryview(self._out)
        self._out_used = 0
        if self._is_paced:
            interval = int(1e9 * plan.producers / plan.rate)
            first = time.monotonic_ns() + 50_000_000 + index * interval // plan.producers
            self.kernel.schedule(first, interval)
        else:
            self._want(READ | WRITE)

    def on_event(self, mask: int) -> None:
        if self.error:
            return
        if mask & READ:
            size = self._receive()
            if size:
                kernel = self.kernel
                self._rest = kernel.feed(self._buffer, size, time.monotonic_ns())
                if kernel.cold:
                    self._handle_cold(kernel.cold)
                if kernel.failure:
                    self._fail(kernel.failure)
                if kernel.window and not self._is_paced:
                    self._produce()
                    return
        if mask & WRITE:
            if self._is_paced:
                self._flush()
            else:
                self._produce()

    def produce_due(self) -> int:
        """Send what is due; returns when the next message is (`time.monotonic_ns`)."""
        now = time.monotonic_ns()
        kernel = self.kernel
        if self.error or self.is_stopping:
            return now + 1_000_000_000
        if kernel.next_due > now:
            return kernel.next_due
        self._out_used = kernel.write_due(self._out, self._out_used, now)
        self._flush()
        # still due means that window or socket forbade: look again soon
        return kernel.next_due if kernel.next_due > now else now + OVERDUE_WAIT_NS

    def _flush(self) -> None:
        if not self._out_used or self.error:
            return
        size = self._send(self._out_view[: self._out_used])
        if 0 < size < self._out_used:
            self._out[: self._out_used - size] = self._out[size : self._out_used]
        self._out_used -= size
        self._want(READ | WRITE if self._out_used else READ)

    def _produce(self) -> None:
        kernel = self.kernel
        for _ in range(ROUNDS_MAX):
            if self.error:
                return
            size = kernel.sendable(self.is_stopping)
            if size == 0:
                self._want(READ)
                return
            offset = kernel.offset
            sent = self._send(self._units[offset : offset + size])
            if sent:
                kernel.advance(sent, time.monotonic_ns())
            if sent < size:
                break
        self._want(READ | WRITE)


class ConsumerLane(Lane):
    """Receives, and acknowledges many messages at a time where the plan says so."""

    def __init__(
        self, selector: selectors.BaseSelector, plan: Plan, index: int, control: Control
    ) -> None:
        if plan.prefetch:
            control.set_prefetch(plan.prefetch)
        control.consume(
            [(plan.queue_name(q), f"c{index}.{q}") for q in plan.consumer_queues(index)],
            no_ack=not plan.ack_every,
        )
        super().__init__(selector, control.detach())
        self.kernel = ConsumeLane(plan.size_bytes, plan.mode == "latency")
        self._ack_batch = plan.ack_batch if plan.ack_every else 0
        self._acks = b""

    def on_event(self, mask: int) -> None:
        if self.error:
            return
        if mask & READ:
            size = self._receive()
            if size:
                kernel = self.kernel
                self._rest = kernel.feed(self._buffer, size, time.monotonic_ns())
                if kernel.cold:
                    self._handle_cold(kernel.cold)
                if kernel.failure:
                    self._fail(kernel.failure)
                if self._ack_batch:
                    self._acknowledge()
        if mask & WRITE:
            self._flush()

    def _acknowledge(self) -> None:
        kernel = self.kernel
        tag = kernel.ackable()
        if tag - kernel.acked_tag >= self._ack_batch:
            kernel.acked_tag = tag
            self._acks += ACK_HEAD + tag.to_bytes(8, "big") + ACK_TAIL
            self._flush()

    def _flush(self) -> None:
        if self._acks and not self.error:
            self._acks = self._acks[self._send(memoryview(self._acks)) :]
        self._want(READ | WRITE if self._acks else READ)
