"""Readiness of many sockets behind one descriptor of the event loop.

All sockets of the listener live in an epoll set of their own, and only that set is known to the loop. What became ready is
read in rounds, and each round ends with one tick: what a thousand connections sent at the same time becomes one commit
(ADR 0009). Registering a socket costs one system call, and nothing of the loop's is kept per connection.
Where the system has no epoll, the loop watches each socket itself.
"""

from __future__ import annotations

import asyncio
import logging
import select
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)

EVENTS_PER_ROUND = 256
# Under load the next round is ready at once; this many before the loop's own callbacks and timers get their turn.
ROUNDS_PER_TURN = 8
# So much input at most is gathered before the tick: what was parsed is still in the processor's cache when it is sent.
ROUND_BYTES = 512 * 1024
IN, OUT = 1, 4  # EPOLLIN and EPOLLOUT, also where the module has neither


class Pollable(Protocol):
    """Who owns a socket. A call may come although nothing is ready any more."""

    def on_readable(self) -> int:
        """Read; returns about how many octets that was."""
        ...

    def on_writable(self) -> None: ...

    def on_fault(self) -> None:
        """One of the two raised what nobody expected; it is logged already."""
        ...


class Poller(Protocol):
    """Watches sockets by descriptor."""

    def watch(self, fd: int, owner: Pollable, read: bool, write: bool) -> None:
        """From now on watch for exactly this; for neither means no more. To be called before ``fd`` is closed."""
        ...

    def close(self) -> None: ...


def make_poller(loop: asyncio.AbstractEventLoop, settle: Callable[[], None]) -> Poller:
    """The best one that the system has. ``settle`` runs after every round."""
    if hasattr(select, "epoll"):
        return EpollPoller(loop, settle)
    return LoopPoller(loop, settle)


class EpollPoller:
    """Rounds over a set of our own, see above."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settle: Callable[[], None]) -> None:
        self._loop = loop
        self._settle = settle
        self._epoll = select.epoll()
        self._owners: dict[int, tuple[Pollable, int]] = {}
        loop.add_reader(self._epoll.fileno(), self._on_ready)

    def watch(self, fd: int, owner: Pollable, read: bool, write: bool) -> None:
        """See `Poller.watch`."""
        mask = (IN if read else 0) | (OUT if write else 0)
        if not mask:
            # Taken out, not masked: a set reports hang-ups that nobody asked for, again and again.
            if self._owners.pop(fd, None) is not None:
                self._epoll.unregister(fd)
        else:
            if fd in self._owners:
                self._epoll.modify(fd, mask)
            else:
                self._epoll.register(fd, mask)
            self._owners[fd] = owner, mask

    def _on_ready(self) -> None:
        for _ in range(ROUNDS_PER_TURN):
            events = self._epoll.poll(0, EVENTS_PER_ROUND)
            if not events:
                break
            self._round(events)

    def _round(self, events_by_fd: list[tuple[int, int]]) -> None:
        owners = self._owners
        gathered = 0
        for fd, events in events_by_fd:
            watched = owners.get(fd)
            if watched is None:
                continue  # closed earlier in this round
            owner, mask = watched
            # A hang-up or an error counts as whatever was asked for.
            ready = mask if events & ~(IN | OUT) else mask & events
            try:
                if ready & IN:
                    gathered += owner.on_readable()
                if ready & OUT:
                    owner.on_writable()
            except Exception:
                log.exception("internal error while serving a socket")
                owner.on_fault()
            if gathered > ROUND_BYTES:
                gathered = 0
                self._settle()
        self._settle()

    def close(self) -> None:
        """Watch nothing any more."""
        self._owners.clear()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()


class LoopPoller:
    """One entry of the loop per socket, and one tick per event."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settle: Callable[[], None]) -> None:
        self._loop = loop
        self._settle = settle
        self._watched: dict[int, tuple[bool, bool]] = {}

    def watch(self, fd: int, owner: Pollable, read: bool, write: bool) -> None:
        """See `Poller.watch`."""
        reads, writes = self._watched.pop(fd, (False, False))
        if read and not reads:
            self._loop.add_reader(fd, self._on_readable, owner)
        elif reads and not read:
            self._loop.remove_reader(fd)
        if write and not writes:
            self._loop.add_writer(fd, self._on_writable, owner)
        elif writes and not write:
            self._loop.remove_writer(fd)
        if read or write:
            self._watched[fd] = (read, write)

    def _on_readable(self, owner: Pollable) -> None:
        self._serve(owner, owner.on_readable)

    def _on_writable(self, owner: Pollable) -> None:
        self._serve(owner, owner.on_writable)

    def _serve(self, owner: Pollable, serve: Callable[[], object]) -> None:
        try:
            serve()
        except Exception:
            log.exception("internal error while serving a socket")
            owner.on_fault()
        self._settle()

    def close(self) -> None:
        """Watch nothing any more."""
        for fd in self._watched:
            self._loop.remove_reader(fd)
            self._loop.remove_writer(fd)
        self._watched.clear()
