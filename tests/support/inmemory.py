"""A broker and its AMQP sessions without sockets, threads or clocks: frames in, frames out.

`World` is a `posthouse.server.node.Node` in surroundings of its own, with a journal that commits within the tick; `Peer`
is a client at frame level on our own codec (the differential tests use somebody else's).
"""

from __future__ import annotations

import random
from typing import Any

from posthouse.broker.index import RING_MAX
from posthouse.broker.snapshotter import SLICE
from posthouse.core.config import AuthConfig, Config, LimitsConfig, LogConfig, NodeConfig
from posthouse.journal.files import Files
from posthouse.journal.local.committer import InlineCommitter
from posthouse.journal.local.disk import DiskFiles
from posthouse.journal.local.journal import CommitterFactory
from posthouse.journal.local.log import SEGMENT_SIZE
from posthouse.protocols.amqp091.session import Session
from posthouse.server.node import Node
from posthouse.server.surroundings import Surroundings
from posthouse.testing.clock import VirtualClock
from posthouse.testing.loop import VirtualLoop
from posthouse.wire.amqp091 import methods
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


class PeerDoor:
    """Where peers come in: see `posthouse.server.surroundings.Door`. Nothing listens."""

    def __init__(self, *_: object, **__: object) -> None:
        self.connections: list[Peer] = []

    def bind(self, host: str, port: int) -> tuple[str, int]:
        return host, port

    def opened(self, connection: Peer) -> None:
        """A handshake is through."""

    def stop_accepting(self) -> None:
        """There is nobody else."""

    def close(self) -> None:
        for peer in list(self.connections):
            peer.close()


class World:
    """A node on a virtual clock without sockets, its journal in ``directory`` of ``files``, or none.

    Commits are carried out within the tick. ``ring_max`` bounds the rings of queues' indexes, ``slice_entries`` a snapshot's slices:
    small ones meet their edges. Time stands still, and nothing periodic runs, unless the test says so.
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
        snapshot_bytes: int = 1 << 20,
        block_size: int = 0,
        make_committer: CommitterFactory = InlineCommitter,
        limits: LimitsConfig | None = None,
        on_failure: str = "stop",
        on_damage: str = "serve",
    ) -> None:
        self.clock = VirtualClock()
        self.loop = VirtualLoop(self.clock)
        config = Config(
            node=NodeConfig(
                memory=directory is None, data_dir=directory or "", durability=durability
            ),
            auth=AuthConfig(mechanisms=("PLAIN", "AMQPLAIN", "RABBIT-CR-DEMO"), refusal_delay_ms=0),
            limits=limits or LimitsConfig(message_memory_bytes=memory_max),
            log=LogConfig(
                segment_size_bytes=segment_size,
                reserve_bytes=reserve_size,
                snapshot_bytes=snapshot_bytes,
                on_failure=on_failure,
                on_damage=on_damage,
            ),
        )
        surroundings = Surroundings(
            loop=self.loop,
            clock=self.clock,
            files=files or DiskFiles(),
            make_committer=make_committer,
            random=random.Random(1),
            make_door=PeerDoor,
            memory_total=lambda: 1 << 40,
            memory_used=lambda: 0,
            disk_free=lambda _: 1 << 40,
            ring_max=ring_max,
            slice_entries=slice_entries,
            block_size=block_size,
            process_id=1,
        )
        self.node = Node(config, surroundings)
        self.blocks = self.node.blocks
        self.journal: Any = self.node.journal
        self.dispatcher = self.node.dispatcher
        self.tick = self.node.tick
        self.users = self.node.users
        self.broker = self.node.broker
        self.recovered = self.node.recovered_count
        self.lost = self.node.lost_count
        self.snapshotter = self.node.snapshotter
        self.cleaner = self.node.cleaner
        self.housekeeping = self.node.housekeeping
        self.services = self.node.services
        self.settle()

    def settle(self) -> None:
        self.tick.settle()
        self.loop.run()

    def run_later(self) -> None:
        """Let time pass until all is done that is planned now."""
        self.loop.advance(self.loop.last_due_s - self.clock.monotonic_s())

    def peer(self, **options: Any) -> Peer:
        """A client that is connected and open, with channel 1."""
        peer = Peer(self)
        peer.open(**options)
        return peer

    def stop(self) -> None:
        """The orderly end, without waiting for clients."""
        self.node.close()


class Peer:
    """One client connection. Received frames are kept in order in ``received``."""

    def __init__(self, world: World, address: str = "127.0.0.1") -> None:
        self.world = world
        self.session = Session(world.services, (address, 40000), ("127.0.0.1", 5672))
        self.session.transport = self
        world.node.door.connections.append(self)  # type: ignore[attr-defined]  # a PeerDoor
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
            self.world.node.door.connections.remove(self)  # type: ignore[attr-defined]  # a PeerDoor
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

    def drain(self, queue: str) -> list[bytes]:
        """Get and acknowledge everything that a queue has; the bodies, in order."""
        found: list[bytes] = []
        while True:
            self.send(methods.BasicGet(queue=queue, no_ack=True))
            got = self.messages()
            if not got:
                return found
            found.append(got[0][1])

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
