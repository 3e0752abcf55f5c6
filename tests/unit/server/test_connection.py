"""The socket side of a connection, on real sockets and a real loop, with a broker without disk behind it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from posthouse.protocols.amqp091.session import Session
from posthouse.server.listener import Listener
from posthouse.testing.clock import VirtualClock
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.frames import FrameReader, method_frame
from tests.support.inmemory import CAPABILITIES, HEADER, Peer, World


class Server:
    """A listener on a loop that the test turns by hand."""

    def __init__(self) -> None:
        self.world = World()
        self.loop = asyncio.new_event_loop()
        self.clock = VirtualClock()
        services = replace(
            self.world.services, on_open=lambda session: self.listener.opened(session.transport)
        )
        self.listener = Listener(
            self.loop,
            self.world.tick,
            self.clock,
            lambda peer, local: Session(services, peer, local),
            backlog=16,
            handshake_timeout_s=10,
            unauthenticated_max=10,
            connections_max=10,
        )
        self.address = self.listener.bind("127.0.0.1", 0)

    def turn(self) -> None:
        for _ in range(3):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
            self.world.loop.run()

    def close(self) -> None:
        self.listener.close()
        self.loop.close()


class Client:
    """A socket, and the frames that came."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.socket = socket.create_connection(server.address, 5)
        self.socket.setblocking(False)
        self.reader = FrameReader()
        self.frames: list[tuple[int, int, bytes]] = []
        self.is_ended = False

    def send(self, data: bytes) -> None:
        """All of it; turns the server's loop whenever the socket takes no more."""
        left = memoryview(data)
        while left:
            with contextlib.suppress(BlockingIOError):
                left = left[self.socket.send(left) :]
            self.server.turn()
            self.receive()

    def receive(self) -> None:
        while True:
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                return
            if not data:
                self.is_ended = True
                return
            self.frames += self.reader.feed(data)

    def wait_for(self, count: int) -> None:
        """Until so many frames came."""
        for _ in range(2000):
            self.server.turn()
            self.receive()
            if len(self.frames) >= count:
                return
        raise AssertionError(f"{len(self.frames)} frames instead of {count}")

    def open(self) -> None:
        self.send(HEADER)
        start_ok = methods.ConnectionStartOk(
            client_properties=CAPABILITIES, mechanism="PLAIN", response=b"\0guest\0guest"
        )
        self.send(method_frame(0, start_ok.encode()))
        tune_ok = methods.ConnectionTuneOk(channel_max=10, frame_max=131072, heartbeat=0)
        opening = methods.ConnectionOpen(virtual_host="/")
        self.send(method_frame(0, tune_ok.encode()) + method_frame(0, opening.encode()))
        self.send(method_frame(1, methods.ChannelOpen().encode()))
        self.wait_for(4)
        self.frames.clear()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.mark.parametrize("size", [10, 20_000, 300_000, 900_000, 2_500_000])
def test_messages_of_all_sizes_come_back(server: Server, size: int) -> None:
    client = Client(server)
    client.open()
    declare = methods.QueueDeclare(queue="q")
    consume = methods.BasicConsume(queue="q", no_ack=True)
    client.send(method_frame(1, declare.encode()) + method_frame(1, consume.encode()))
    client.send(Peer.publish_octets(b"q", b""))
    client.wait_for(4)
    client.frames.clear()
    bodies = [random.Random(n).randbytes(size) for n in range(3)]
    client.send(b"".join(Peer.publish_octets(b"q", body) for body in bodies))
    per_message = 2 + -(-size // 131064)
    client.wait_for(3 * per_message)
    found = [
        b"".join(payload for kind, _, payload in client.frames[at : at + per_message] if kind == 3)
        for at in range(0, 3 * per_message, per_message)
    ]
    assert found == bodies
    assert server.world.dispatcher.arrivals == 0
    client.socket.close()


def test_a_client_that_leaves_in_a_large_message(server: Server) -> None:
    client = Client(server)
    client.open()
    client.send(method_frame(1, methods.QueueDeclare(queue="q").encode()))
    client.send(Peer.publish_octets(b"q", b""))
    client.send(Peer.publish_octets(b"q", bytes(500_000))[:400_000])
    assert server.world.dispatcher.arrivals == 1
    client.socket.close()
    for _ in range(10):
        server.turn()
    assert server.world.dispatcher.arrivals == 0
    assert not server.listener.connections


def test_a_stranger_gets_the_header_and_the_door(server: Server) -> None:
    client = Client(server)
    client.socket.send(b"GET / HTTP/1.1\r\n\r\n")
    raw = b""
    for _ in range(100):
        server.turn()
        try:
            piece = client.socket.recv(100)
        except BlockingIOError:
            continue
        if not piece:
            break
        raw += piece
    client.socket.close()
    assert raw == HEADER
    assert not server.listener.connections


def test_beyond_the_limit_clients_wait_in_the_queue_of_the_system(server: Server) -> None:
    clients = [Client(server) for _ in range(12)]
    server.turn()
    assert len(server.listener.connections) == 10
    for client in clients[:2]:
        client.socket.close()
    server.turn()
    assert len(server.listener.connections) == 10
    for client in clients[2:]:
        client.socket.close()
    server.turn()
    assert not server.listener.connections


def test_a_handshake_has_one_deadline(server: Server) -> None:
    """Counted from the accept, whatever arrived meanwhile; an open connection is not concerned."""
    opened = Client(server)
    opened.open()
    slow = Client(server)
    slow.send(HEADER)
    server.clock.advance(9.9)
    server.listener.sweep()
    slow.wait_for(1)
    assert len(server.listener.connections) == 2
    server.clock.jump_wall(-86_400)
    server.clock.advance(0.1)
    server.listener.sweep()
    server.turn()
    slow.receive()
    assert slow.is_ended
    assert len(server.listener.connections) == 1
    for client in (opened, slow):
        client.socket.close()


def test_what_has_no_memory_ends_its_connection_with_541_and_no_other(server: Server) -> None:
    client, other = Client(server), Client(server)
    client.open()
    other.open()
    connection = next(iter(server.listener.connections))

    def no_memory(_data: bytearray, _size: int) -> int:
        raise MemoryError

    connection.session.receive = no_memory  # type: ignore[method-assign]
    qos = method_frame(1, methods.BasicQos().encode())
    client.send(qos)
    client.wait_for(1)
    close = methods.decode_method(client.frames[0][2])
    assert isinstance(close, methods.ConnectionClose)
    assert close.reply_code == 541
    other.send(qos)
    other.wait_for(1)
    assert methods.decode_method(other.frames[0][2]) == methods.BasicQosOk()
    for _ in range(8):
        server.clock.advance(1.0)
        server.listener.sweep()
    client.receive()
    assert client.is_ended
    assert len(server.listener.connections) == 1
    client.socket.close()
    other.socket.close()
