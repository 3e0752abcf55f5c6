"""A broker and its AMQP sessions without sockets, threads or clocks: frames in, frames out.

`World` builds the same objects as `posthouse.server.node`, with a journal that commits within the tick when told to; `Peer`
is a client at frame level on our own codec (the differential tests use somebody else's).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from posthouse.auth.internal import InternalBackend
from posthouse.auth.sasl import SaslContext, SaslRegistry
from posthouse.broker.broker import Broker
from posthouse.broker.cleaner import Cleaner
from posthouse.broker.dispatch import Dispatcher
from posthouse.broker.housekeeping import Housekeeping
from posthouse.broker.index import RING_MAX
from posthouse.broker.recovery import recover
from posthouse.broker.snapshotter import SLICE, Snapshotter
from posthouse.journal.block import BlockTable, LogBuffer
from posthouse.journal.files import Files
from posthouse.journal.local.committer import InlineCommitter
from posthouse.journal.local.disk import DiskFiles
from posthouse.journal.local.journal import LocalJournal
from posthouse.journal.local.log import SEGMENT_SIZE
from posthouse.journal.memory import MemoryJournal
from posthouse.protocols.amqp091.capabilities import PROFILE, server_properties
from posthouse.protocols.amqp091.session import Session, SessionServices
from posthouse.server.tick import Tick
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.fields import typed_value
from posthouse.wire.amqp091.frames import FrameReader, content_frames, method_frame
from posthouse.wire.amqp091.properties import BasicProperties

HEADER = b"AMQP\x00\x00\x09\x01"
CAPABILITIES = {
    "capabilities": {
        "consumer_cancel_notify": True,
        "connection.blocked": True,
        "authentication_failure_close": True,
    }
}


class Loop:
    """Callbacks in order of arrival; `run` empties the queue. Delays are ignored: the test says when."""

    def __init__(self) -> None:
        self.pending: deque[Callable[[], object]] = deque()
        self.later: deque[Callable[[], object]] = deque()

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.pending.append(callback)

    def call_later(self, delay: float, callback: Callable[[], object]) -> None:
        self.later.append(callback)

    def run(self) -> None:
        while self.pending:
            self.pending.popleft()()

    def run_later(self) -> None:
        """What was due later is due now."""
        self.pending.extend(self.later)
        self.later.clear()
        self.run()


class World:
    """A node without I/O, or with a journal in ``directory`` of ``files``.

    ``ring_max`` bounds the rings of queues' indexes, ``slice_entries`` a snapshot's slices: small ones meet their edges.
    """

    def __init__(
        self,
        directory: str | None = None,
        *,
        files: Files | None = None,
        durability: str = "os",
        segment_size: int = SEGMENT_SIZE,
        memory_max: int = 0,
        ring_max: int = RING_MAX,
        slice_entries: int = SLICE,
        reserve_size: int = 0,
    ) -> None:
        self.loop = Loop()
        self.blocks = BlockTable(memory_max)
        self.journal: Any
        if directory is None:
            self.journal = MemoryJournal(self.blocks, self.loop.call_soon)
        else:
            self.journal = LocalJournal(
                files or DiskFiles(),
                directory,
                self.blocks,
                self.loop.call_soon,
                InlineCommitter,
                durability=durability,
                segment_size=segment_size,
                reserve_size=reserve_size,
            )
            self.journal.open("test")
        self.dispatcher = Dispatcher(
            self.blocks, LogBuffer(self.blocks, False), self.journal.shard, ring_max
        )
        self.tick = Tick(self.dispatcher, self.journal, self.loop)
        names = random.Random(1)
        self.users = InternalBackend(self.journal.table, names.randbytes, frozenset(("guest",)))
        self.broker = Broker(self.dispatcher, self.journal.table, typed_value)
        self.journal.table.on_change = self._on_change
        self.journal.on_committed = self.tick.on_committed
        self.broker.load()
        if not self.users.has_users():
            self.users.add_user("guest", "guest", ("administrator",))
            self.users.set_permissions("guest", "/", ".*", ".*", ".*")
        self.recovered = recover(self.broker, self.journal, self.blocks)
        self.snapshotter = Snapshotter(
            self.broker,
            self.dispatcher,
            self.journal,
            growth_min=1 << 20,
            commit=self.tick.commit,
            slice_entries=slice_entries,
        )
        self.cleaner = Cleaner(
            self.broker,
            self.dispatcher,
            self.journal,
            commit=self.tick.commit,
            slice_entries=slice_entries,
        )
        self.housekeeping = Housekeeping((self.snapshotter, self.cleaner))
        self.services = SessionServices(
            broker=self.broker,
            dispatcher=self.dispatcher,
            sasl=SaslRegistry(SaslContext(self.users)),
            authorizer=self.users,
            new_name=lambda prefix: prefix + "".join(names.choices("abcdef", k=22)),
            server_properties=server_properties("test", PROFILE, "Python"),
            on_open=lambda session: None,
            mechanisms=("PLAIN", "AMQPLAIN", "RABBIT-CR-DEMO"),
        )

    def _on_change(self) -> None:
        self.dispatcher.must_commit = True

    def settle(self) -> None:
        self.tick.settle()
        self.loop.run()

    def peer(self, **options: Any) -> Peer:
        """A client that is connected and open, with channel 1."""
        peer = Peer(self)
        peer.open(**options)
        return peer

    def stop(self) -> None:
        self.tick.stop()
        self.snapshotter.take_final()
        self.journal.stop()


class Peer:
    """One client connection. Received frames are kept in order in ``received``."""

    def __init__(self, world: World, address: str = "127.0.0.1") -> None:
        self.world = world
        self.session = Session(world.services, (address, 40000), ("127.0.0.1", 5672))
        self.session.transport = self
        self.session.flush = lambda: self.flush()  # tests put another one in its place
        self.reader = FrameReader(131072)
        self.received: list[tuple[int, Any]] = []
        self.raw = bytearray()
        self.is_closed = False
        self.is_paused = False
        self._tail = b""
        self._buffer = bytearray(256 * 1024)

    # --- the transport's side -------------------------------------------------------------------

    def flush(self) -> None:
        session = self.session
        data = b"".join(session.views())
        if data:
            session.sent(len(data))
            self.raw += data
            for kind, channel, payload in self.reader.feed(data):
                if kind == 1:
                    self.received.append((channel, methods.decode_method(payload)))
                else:
                    self.received.append((channel, (kind, payload)))
        if session.is_finished and session.on == session.oo:
            self.close()

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.session.lost()

    # --- the client's side ----------------------------------------------------------------------

    def octets(self, data: bytes) -> None:
        """Send raw octets in one piece."""
        assert not self.is_closed, "the broker closed the connection"
        whole = self._tail + data
        while whole:
            size = min(len(whole), len(self._buffer))
            self._buffer[:size] = whole[:size]
            used = self.session.receive(self._buffer, size)
            self.world.settle()
            if self.is_closed:
                return
            rest = whole[used:]
            if used == 0 or not rest:
                self._tail = rest
                return
            whole = rest
        self._tail = b""

    def send(self, *sent: methods.Method, channel: int = 1) -> None:
        """Send method frames in one piece."""
        self.octets(b"".join(method_frame(channel, m.encode()) for m in sent))

    def call(self, method: methods.Method, channel: int = 1) -> Any:
        """Send one method and return the last method received on the channel."""
        self.send(method, channel=channel)
        return self.last(channel)

    def last(self, channel: int = 1) -> Any:
        found = [m for c, m in self.received if c == channel and isinstance(m, methods.Method)]
        assert found, "nothing was received"
        return found[-1]

    def take(self) -> list[Any]:
        """Everything received since the last call, without channel numbers."""
        found = [m for _, m in self.received]
        self.received.clear()
        return found

    def open(
        self,
        user: str = "guest",
        password: str = "guest",
        vhost: str = "/",
        frame_max: int = 131072,
        channel: bool = True,
    ) -> None:
        self.octets(HEADER)
        response = f"\0{user}\0{password}".encode()
        self.send(
            methods.ConnectionStartOk(
                client_properties=CAPABILITIES,
                mechanism="PLAIN",
                response=response,
                locale="en_US",
            ),
            channel=0,
        )
        if self.is_closed or isinstance(self.last(0), methods.ConnectionClose):
            return
        self.send(
            methods.ConnectionTuneOk(channel_max=2047, frame_max=frame_max, heartbeat=0),
            methods.ConnectionOpen(virtual_host=vhost),
            channel=0,
        )
        if channel and not isinstance(self.last(0), methods.ConnectionClose):
            self.call(methods.ChannelOpen())
            self.received.clear()

    def publish(
        self,
        key: bytes,
        body: bytes,
        exchange: str = "",
        properties: BasicProperties | None = None,
        channel: int = 1,
        mandatory: bool = False,
        frame_max: int = 131072,
    ) -> None:
        self.octets(
            self.publish_octets(key, body, exchange, properties, channel, mandatory, frame_max)
        )

    @staticmethod
    def publish_octets(
        key: bytes,
        body: bytes,
        exchange: str = "",
        properties: BasicProperties | None = None,
        channel: int = 1,
        mandatory: bool = False,
        frame_max: int = 131072,
    ) -> bytes:
        method = methods.BasicPublish(exchange=exchange, routing_key=key, mandatory=mandatory)
        raw = (properties or BasicProperties()).encode()
        return method_frame(channel, method.encode()) + content_frames(
            channel, 60, raw, body, frame_max
        )

    def messages(self) -> list[tuple[Any, bytes]]:
        """The deliveries received so far: (deliver or get-ok or return, body); forgets everything."""
        found: list[tuple[Any, bytes]] = []
        left = 0
        for item in self.take():
            if isinstance(item, methods.BasicDeliver | methods.BasicGetOk | methods.BasicReturn):
                found.append((item, b""))
            elif isinstance(item, tuple) and item[0] == 2:
                left = int.from_bytes(item[1][4:12], "big")
            elif isinstance(item, tuple) and item[0] == 3:
                method, body = found[-1]
                found[-1] = (method, body + item[1])
                left -= len(item[1])
                assert left >= 0
        return found
