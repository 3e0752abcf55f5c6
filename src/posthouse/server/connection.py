"""A client's TCP connection: the socket on one side, a session without I/O on the other.

Sockets are driven by readiness: one receive into the server's shared buffer and one parse, then, after everybody's
input, one tick and one send. Only what the session could not use yet (part of a frame) is kept per connection.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from posthouse.protocols.amqp091.arrival import Arrival
    from posthouse.protocols.amqp091.session import Session
    from posthouse.server.listener import Listener

# A smaller rest of a body is cheaper to receive with what follows it.
DIRECT_MIN = 4096
# A receive of so many octets is followed by another one, up to so many before the tick: what is sent in larger pieces
# wakes its receiver less often.
MUCH = 96 * 1024
READS_MAX = 4


class Connection:
    """Joins a non-blocking socket to a `Session`.

    Invariants: the poller watches for input unless the connection is paused or closed, and for room in the socket exactly
    while ``_is_writing``.
    """

    __slots__ = (
        "_fd",
        "_is_closed",
        "_is_paused",
        "_is_writing",
        "_listener",
        "_sock",
        "_tail",
        "opened_at",
        "session",
    )

    def __init__(
        self, listener: Listener, sock: socket.socket, session: Session, now: float
    ) -> None:
        self._listener = listener
        self._sock = sock
        self._fd = sock.fileno()
        self._tail = b""
        self._is_closed = False
        self._is_paused = False
        self._is_writing = False
        self.opened_at = now
        self.session = session
        session.transport = self
        session.flush = self.flush

    def start(self) -> None:
        """Begin to read."""
        self._watch()

    def _watch(self) -> None:
        self._listener.poller.watch(self._fd, self, not self._is_paused, self._is_writing)

    @property
    def is_closed(self) -> bool:
        """Whether the socket is gone."""
        return self._is_closed

    def on_readable(self) -> int:
        """Receive, again while there is much, and hand it to the session; returns the octets received."""
        total = 0
        for _ in range(READS_MAX):
            if self._is_paused or self._is_closed:
                break
            arrival = self.session.arrival
            if arrival is not None and arrival.gap >= DIRECT_MIN:
                count = self._receive_body(arrival)
            else:
                count = self._receive()
            total += count
            if count < MUCH:
                break
        return total

    def _receive(self) -> int:
        """Receive behind what was left over, and have the session handle it; returns the octets received."""
        listener = self._listener
        view = listener.view
        kept = len(self._tail)
        if kept:
            view[:kept] = self._tail
            view = view[kept:]
        try:
            count = self._sock.recv_into(view)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            count = 0
        if count == 0:
            self.close()
            return 0
        size = kept + count
        used = self.session.receive(listener.buffer, size)
        if used < size or kept:
            self._keep(used, size)
        return count

    def _keep(self, used: int, size: int) -> None:
        """What the session could not use yet is offered again, before what comes next."""
        left = used < size and not self._is_closed
        self._tail = bytes(self._listener.view[used:size]) if left else b""

    def _receive_body(self, arrival: Arrival) -> int:
        """Receive the rest of a body frame where it belongs, and what follows it into the shared buffer."""
        gap = arrival.view()
        wanted = len(gap)
        try:
            count = self._sock.recvmsg_into((gap, self._listener.view))[0]
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            count = 0
        finally:
            del gap
        if count == 0:
            self.close()
            return 0
        self.session.seen_bytes = True
        arrival.filled(min(count, wanted))
        if count > wanted:
            size = count - wanted
            self._keep(self.session.receive(self._listener.buffer, size), size)
        return count

    def flush(self) -> None:
        """Send what may be sent; what the socket does not take waits for its writability."""
        if self._is_closed or self._is_writing:
            return
        session = self.session
        while session.oo < session.sendable():
            try:
                if session.extents:
                    wanted, count = self._send_pieces(session)
                else:
                    start, end = session.oo, session.sendable()
                    wanted = end - start
                    count = self._sock.send(memoryview(session.out)[start:end])
            except (BlockingIOError, InterruptedError):
                wanted, count = 1, 0
            except OSError:
                self.close()
                return
            session.sent(count)
            if count < wanted:
                self._is_writing = True
                self._watch()
                return
        if session.is_finished and session.on == session.oo:
            self.close()

    def _send_pieces(self, session: Session) -> tuple[int, int]:
        """Send from the output and from the blocks that bodies lie in; returns the octets offered, and taken."""
        pieces = session.views()
        return sum(map(len, pieces)), self._sock.sendmsg(pieces)

    def on_writable(self) -> None:
        """The socket takes more."""
        if self._is_writing:
            self._is_writing = False
            self.flush()
            if not self._is_writing and not self._is_closed:
                self._watch()

    def on_fault(self) -> None:
        """Something unexpected, no memory among it: end this connection, and say so if that is still possible (P14)."""
        try:
            self.session.on_fault()
            self.flush()
        except Exception:
            self.close()

    def pause(self) -> None:
        """Stop reading (back-pressure on a publisher); `resume` is certain to follow or the connection ends."""
        if not self._is_paused and not self._is_closed:
            self._is_paused = True
            self._watch()

    def resume(self) -> None:
        """Read again."""
        if self._is_paused and not self._is_closed:
            self._is_paused = False
            self._watch()

    def close(self) -> None:
        """Close the socket and tell the session; harmless when repeated."""
        if self._is_closed:
            return
        self._is_closed = True
        self._listener.poller.watch(self._fd, self, False, False)
        with contextlib.suppress(OSError):
            self._sock.close()
        self._tail = b""
        self._listener.forget(self)
        self.session.lost()
