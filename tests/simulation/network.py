"""Sockets in memory: octets arrive late and in pieces, windows are small, and the real listener and connections work on them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from posthouse.protocols.amqp091.session import State
from posthouse.server.listener import Listener
from tests.simulation.loop import SimulatedLoop

Then = Callable[[bool], object]


class Wire:
    """One TCP connection, both ends. The server's end is a socket to `posthouse.server.connection.Connection`.

    ``client`` has ``on_octets(data)`` and ``on_lost()``.
    """

    def __init__(self, network: Network, fd: int, client: Any) -> None:
        self._network = network
        self._fd = fd
        self.client = client
        self.window = network.window
        self._under_way = bytearray()
        self._arrived = bytearray()
        self._to_client = bytearray()
        self._is_moving = False
        self._is_reading = False
        self.sent = 0
        self.taken = 0
        # What to do once the server has used everything up to an offset; whether it must be offered alone.
        self._marks: list[tuple[int, Then, bool]] = []
        self.is_cut = False
        self.is_closed = False

    # --- the client's end -----------------------------------------------------------------------

    def send(self, data: bytes, then: Then | None = None, *, is_alone: bool = False) -> None:
        """Send; ``then(is_heard)`` when the server has used all of it. What is alone is not parsed in one piece with what follows."""
        if self.is_cut or self.is_closed:
            return
        self._under_way += data
        self.sent += len(data)
        if then is not None:
            self._marks.append((self.sent, then, is_alone))
        self._move_later()

    def cut(self) -> None:
        """The client is gone, without a word."""
        if not self.is_cut:
            self.is_cut = True
            self._under_way.clear()
            self._to_client.clear()
            self._network.poke()

    def _move_later(self) -> None:
        if not self._is_moving and self._under_way:
            self._is_moving = True
            self._network.later(self._move)

    def _move(self) -> None:
        self._is_moving = False
        choice = self._network.choice
        size = len(self._under_way)
        if size > 1 and choice.random() < 0.3:
            size = choice.randrange(1, size)
        self._arrived += self._under_way[:size]
        del self._under_way[:size]
        self._move_later()
        self._network.poke()

    def read_later(self) -> None:
        """The client reads when it comes to it."""
        if not self._is_reading and self._to_client:
            self._is_reading = True
            self._network.later(self._read)

    def _read(self) -> None:
        self._is_reading = False
        if self.is_cut:
            return
        choice = self._network.choice
        size = len(self._to_client)
        if size > 1 and choice.random() < 0.3:
            size = choice.randrange(1, size)
        self.deliver(size)
        self.read_later()
        self._network.poke()

    def deliver(self, size: int) -> None:
        """Give the client ``size`` octets."""
        data = bytes(self._to_client[:size])
        del self._to_client[:size]
        self.client.on_octets(data)

    def end(self, *, is_flushed: bool) -> None:
        """The server died; what it had sent may still get through."""
        if not self.is_cut:
            if is_flushed and self._to_client:
                self.deliver(len(self._to_client))
            self.is_cut = True
            self.client.on_lost()

    # --- the server's end -----------------------------------------------------------------------

    @property
    def is_readable(self) -> bool:
        return bool(self._arrived) or self.is_cut

    @property
    def is_writable(self) -> bool:
        return len(self._to_client) < self.window or self.is_cut

    def fileno(self) -> int:
        return self._fd

    def setblocking(self, _: bool) -> None:
        """It never blocks."""

    def _take(self, room: int) -> int:
        """How much one receive gets; 0 at the end of the stream."""
        if self.is_cut:
            return 0
        if not self._arrived:
            raise BlockingIOError
        size = min(len(self._arrived), room)
        for offset, _, is_alone in self._marks:
            if is_alone:
                size = min(size, offset - self.taken)
                break
        self.taken += size
        return size

    def recv_into(self, view: memoryview) -> int:
        size = self._take(len(view))
        view[:size] = self._arrived[:size]
        del self._arrived[:size]
        return size

    def recvmsg_into(self, views: Sequence[memoryview]) -> tuple[int]:
        size = self._take(sum(len(view) for view in views))
        left = size
        for view in views:
            part = min(left, len(view))
            view[:part] = self._arrived[:part]
            del self._arrived[:part]
            left -= part
        return (size,)

    def send_all(self, data: bytes) -> int:
        if self.is_cut:
            raise ConnectionResetError
        size = min(len(data), self.window - len(self._to_client))
        if size <= 0:
            raise BlockingIOError
        self._to_client += data[:size]
        self._network.loop.note(f"server to {self.client}", data[:size])
        self.read_later()
        return size

    def sendmsg(self, pieces: Sequence[memoryview]) -> int:
        return self.send_all(b"".join(pieces))

    def close(self) -> None:
        """The server closed it; the client reads what is left, then the end."""
        if not self.is_closed:
            self.is_closed = True
            self._network.forget(self)
            self.client.on_closed()
            self._network.later(self._end)

    def _end(self) -> None:
        self.end(is_flushed=True)

    def fire(self, kept: int, is_heard: bool) -> None:
        """Tell the client what the server has used, all but ``kept`` octets of what it took."""
        used = self.taken - kept
        while self._marks and self._marks[0][0] <= used:
            self._marks.pop(0)[1](is_heard)


class ServerSocket:
    """What `Connection` sees of a wire: a client's `Wire.send` and the socket's ``send`` share their name."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.recv_into = wire.recv_into
        self.recvmsg_into = wire.recvmsg_into
        self.send = wire.send_all
        self.sendmsg = wire.sendmsg
        self.fileno = wire.fileno
        self.setblocking = wire.setblocking
        self.close = wire.close


class Network:
    """All wires, the listening socket, and the poller over them."""

    def __init__(
        self, loop: SimulatedLoop, choice: random.Random, patience_s: float, window: int
    ) -> None:
        self.loop = loop
        self.choice = choice
        self.window = window
        self.wires: dict[int, Wire] = {}
        self._patience_s = patience_s
        self._next_fd = 10
        self._waiting: list[Wire] = []
        self._watched: dict[int, tuple[Any, bool, bool]] = {}
        self._is_polling = False
        self._listening = -1
        self.settle: Callable[[], object] = lambda: None
        self.on_round: Callable[[], object] = lambda: None

    def later(self, callback: Callable[[], object]) -> None:
        """After a random time."""
        self.loop.call_later(self.choice.random() * self._patience_s, callback)

    def connect(self, client: Any) -> Wire | None:
        """A client calls; None if nobody listens."""
        if self._listening < 0:
            return None
        self._next_fd += 1
        wire = Wire(self, self._next_fd, client)
        self._waiting.append(wire)
        self.poke()
        return wire

    def hurry(self) -> None:
        """Small windows and slow lines are over."""
        self._patience_s = 0.0005
        self.window = 1 << 20
        for wire in [*self.wires.values(), *self._waiting]:
            wire.window = self.window
        self.poke()

    def forget(self, wire: Wire) -> None:
        """The server closed it."""
        self.wires.pop(wire.fileno(), None)

    def die(self) -> None:
        """The machine or the process is gone; clients notice one by one, some having read what was sent before."""
        wires = [*self.wires.values(), *self._waiting]
        self.wires.clear()
        self._waiting.clear()
        self._watched.clear()
        self._listening = -1
        self._is_polling = False
        is_flushed = self.choice.random() < 0.7
        for wire in wires:
            wire.end(is_flushed=is_flushed)

    # --- the listening socket -------------------------------------------------------------------

    def listen(self) -> ListeningSocket:
        self._listening = 3
        return ListeningSocket(self)

    def stop_listening(self) -> None:
        self._listening = -1
        for wire in self._waiting:
            wire.end(is_flushed=False)
        self._waiting.clear()

    def accept(self) -> tuple[ServerSocket, tuple[str, int]]:
        if not self._waiting:
            raise BlockingIOError
        wire = self._waiting.pop(0)
        self.wires[wire.fileno()] = wire
        return ServerSocket(wire), ("127.0.0.1", 40000 + wire.fileno())

    # --- the poller -----------------------------------------------------------------------------

    def watch(self, fd: int, owner: Any, read: bool, write: bool) -> None:
        """See `posthouse.server.poller.Poller`."""
        if read or write:
            self._watched[fd] = owner, read, write
            self.poke()
        else:
            self._watched.pop(fd, None)

    def _is_ready(self, fd: int, read: bool, write: bool) -> tuple[bool, bool]:
        if fd == self._listening:
            return bool(self._waiting) and read, False
        wire = self.wires.get(fd)
        if wire is None:
            return False, False
        return read and wire.is_readable, write and wire.is_writable

    def poke(self) -> None:
        """Something may be ready: have a round soon."""
        if self._is_polling:
            return
        for fd, (_, read, write) in self._watched.items():
            if any(self._is_ready(fd, read, write)):
                self._is_polling = True
                self.later(self._round)
                return

    def _round(self) -> None:
        self._is_polling = False
        fds = [fd for fd, (_, r, w) in self._watched.items() if any(self._is_ready(fd, r, w))]
        self.choice.shuffle(fds)
        for fd in fds:
            watched = self._watched.get(fd)
            if watched is None:
                continue
            owner, read, write = watched
            can_read, can_write = self._is_ready(fd, read, write)
            if can_read:
                self._serve(fd, owner)
            if can_write:
                owner.on_writable()
        self.settle()
        self.on_round()
        self.poke()

    def _serve(self, fd: int, owner: Any) -> None:
        wire = self.wires.get(fd)
        if wire is None:
            owner.on_readable()
            return
        is_heard = owner.session.state is State.RUNNING
        owner.on_readable()
        wire.fire(len(owner._tail), is_heard)

    def close(self) -> None:
        """See `posthouse.server.poller.Poller`."""
        self._watched.clear()


class ListeningSocket:
    """What `Listener` accepts from."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.accept = network.accept
        self.close = network.stop_listening

    def fileno(self) -> int:
        return 3

    def setblocking(self, _: bool) -> None:
        """It never blocks."""

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 5672


class SimulatedListener(Listener):
    """The real one, on sockets in memory."""

    network: Network

    def _open(self, host: str, port: int) -> Any:
        poller: Any = self.poller
        return poller.listen()
