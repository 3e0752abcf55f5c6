"""The AMQP listener: accepts, bounds what strangers may cost, and keeps the connections' clock.

Limits before authentication (P19 of the promises): at most ``unauthenticated_max`` connections at a time, the rest wait in the
listen queue; one deadline for the whole handshake; small frames (the session's business).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from posthouse.core.clock import Clock
from posthouse.protocols.amqp091.session import Session
from posthouse.server.connection import Connection
from posthouse.server.poller import Poller, make_poller
from posthouse.server.tick import Tick

log = logging.getLogger(__name__)

# One receive takes at most this much; it must hold a whole frame of the largest size and its tail.
RECEIVE_BUFFER_SIZE = 256 * 1024
SWEEP_INTERVAL_S = 1.0


class Listener:
    """One listening socket and its connections."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tick: Tick,
        clock: Clock,
        make_session: Callable[[tuple[str, int], tuple[str, int]], Session],
        *,
        backlog: int,
        handshake_timeout_s: float,
        unauthenticated_max: int,
        connections_max: int,
        poller: Poller | None = None,
    ) -> None:
        self.loop = loop
        self.tick = tick
        self.clock = clock
        self.poller = poller or make_poller(loop, tick.settle)
        self.buffer = bytearray(RECEIVE_BUFFER_SIZE)
        self.view = memoryview(self.buffer)
        # Dicts for their order: of accepting.
        self.connections: dict[Connection, None] = {}
        self._pending: dict[Connection, None] = {}
        self._make_session = make_session
        self._backlog = backlog
        self._handshake_timeout_s = handshake_timeout_s
        self._unauthenticated_max = unauthenticated_max
        self._connections_max = connections_max
        self._sock: socket.socket | None = None
        # Where clients arrive; None when it listens on all addresses.
        self._address: tuple[str, int] | None = None
        self._is_accepting = False
        self._sweeper: asyncio.TimerHandle | None = None

    def bind(self, host: str, port: int) -> tuple[str, int]:
        """Listen on ``host``; returns the address, with the port that the system chose for port 0.

        Raises:
            OSError: the address cannot be bound.
        """
        sock = self._open(host, port)
        sock.setblocking(False)
        self._sock = sock
        self._accept_again()
        self._sweeper = self.loop.call_later(SWEEP_INTERVAL_S, self._on_timer)
        address = sock.getsockname()[0], sock.getsockname()[1]
        if address[0] not in ("0.0.0.0", "::"):
            self._address = address
        return address

    def _open(self, host: str, port: int) -> socket.socket:
        """A socket that listens."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            # Accepted sockets have it from the listening one.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.bind((host, port))
            sock.listen(self._backlog)
        except OSError:
            sock.close()
            raise
        return sock

    def _accept_again(self) -> None:
        if not self._is_accepting and self._sock is not None and not self._is_full():
            self._is_accepting = True
            self.poller.watch(self._sock.fileno(), self, True, False)

    def _accept_no_more(self) -> None:
        if self._sock is not None and self._is_accepting:
            self._is_accepting = False
            self.poller.watch(self._sock.fileno(), self, False, False)

    def _is_full(self) -> bool:
        return (
            len(self._pending) >= self._unauthenticated_max
            or len(self.connections) >= self._connections_max
        )

    def on_readable(self) -> int:
        """Accept somebody who waits, up to the limits."""
        if self._sock is None or not self._is_accepting:
            return 0
        if self._is_full():
            self._accept_no_more()
            return 0
        try:
            # One at a time: if more wait, the next round is ready at once, and clients that are here already are not kept waiting.
            sock, peer = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return 0
        except OSError as error:
            # Out of descriptors or memory: the client waits in the listen queue until the next sweep.
            log.warning("cannot accept a connection: %s", error)
            self._accept_no_more()
            return 0
        self._welcome(sock, peer)
        return 0

    def on_writable(self) -> None:
        """A listening socket is never written to."""

    def on_fault(self) -> None:
        """The one client is lost; accepting goes on."""

    def _welcome(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        sock.setblocking(False)
        local = self._address or sock.getsockname()
        session = self._make_session((peer[0], peer[1]), (local[0], local[1]))
        connection = Connection(self, sock, session, self.clock.monotonic_s())
        self.connections[connection] = None
        self._pending[connection] = None
        connection.start()

    def opened(self, connection: Connection) -> None:
        """The session finished its handshake."""
        self._pending.pop(connection, None)
        self._accept_again()

    def forget(self, connection: Connection) -> None:
        """The connection is closed."""
        self.connections.pop(connection, None)
        self._pending.pop(connection, None)
        self._accept_again()

    def _on_timer(self) -> None:
        self.sweep()
        self._sweeper = self.loop.call_later(SWEEP_INTERVAL_S, self._on_timer)

    def sweep(self) -> None:
        """Once a second: handshakes that took too long, heartbeats, and accepting again after a refusal."""
        now = self.clock.monotonic_s()
        deadline = now - self._handshake_timeout_s
        for connection in [c for c in self._pending if c.opened_at <= deadline]:
            connection.session.on_handshake_timeout()
            connection.close()
        for connection in list(self.connections):
            connection.session.on_second(now)
        self._accept_again()
        self.tick.settle()

    def stop_accepting(self) -> None:
        """Close the listening socket; connections stay."""
        self._accept_no_more()
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def close(self) -> None:
        """Stop accepting and drop every connection at once."""
        self.stop_accepting()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self.connections):
            connection.close()
        self.poller.close()
