"""What a node stands on: loop, clock, disk, committer, sockets, gauges of the machine.

`of_this_machine` is the real thing. A simulation puts a virtual clock and a disk in memory under the same node, so what it tries is the
composition that runs in production.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

from posthouse.broker.cleaner import BATCH
from posthouse.broker.index import RING_MAX
from posthouse.broker.snapshotter import SLICE
from posthouse.core.clock import Clock
from posthouse.journal.files import Files
from posthouse.journal.local.committer import ThreadCommitter
from posthouse.journal.local.disk import DiskFiles
from posthouse.journal.local.journal import CommitterFactory
from posthouse.journal.rewriter import SLICE as SLICE_ROWS
from posthouse.journal.table import DEAD_MIN
from posthouse.protocols.amqp091.session import Session, Transport
from posthouse.server.clock import SystemClock
from posthouse.server.descriptors import connection_room
from posthouse.server.listener import Listener
from posthouse.server.memory import memory_total_bytes, memory_used_bytes
from posthouse.server.monitor import disk_free_bytes


class Loop(Protocol):
    """What a node needs of the event loop."""

    def call_soon(self, callback: Callable[[], object]) -> object: ...

    def call_later(self, delay: float, callback: Callable[[], object]) -> object: ...

    def call_soon_threadsafe(self, callback: Callable[[], object]) -> object: ...


class Link(Transport, Protocol):
    """A client's connection as the node sees it."""

    @property
    def session(self) -> Session: ...


class Door(Protocol):
    """Where clients come in: `Listener`, or what a test has instead."""

    @property
    def connections(self) -> Collection[Link]: ...

    def bind(self, host: str, port: int) -> tuple[str, int]: ...

    def opened(self, connection: Any) -> None: ...  # Any: the transport it gave the session

    def stop_accepting(self) -> None: ...

    def close(self) -> None: ...


MakeDoor = Callable[..., Door]


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Everything of a node that is not the broker itself.

    Attributes:
        connection_room: how many connections the system has descriptors for.
        make_door: called with the loop, the tick, the clock, the maker of sessions and the bounds of `AmqpConfig`.
        ring_max, slice_entries, slice_rows, batch_bytes, dead_min, block_size: sizes that tests make small to meet their edges; a block
            size of 0 is the usual one.
        process_id: noted in the log's claims.
    """

    loop: Any  # Any: a `Loop`; the real listener needs asyncio's whole interface
    clock: Clock
    files: Files
    make_committer: CommitterFactory
    random: random.Random
    make_door: MakeDoor
    memory_total: Callable[[], int] = memory_total_bytes
    memory_used: Callable[[], int] = memory_used_bytes
    disk_free: Callable[[str], int] = disk_free_bytes
    connection_room: int = 1 << 30
    ring_max: int = RING_MAX
    slice_entries: int = SLICE
    slice_rows: int = SLICE_ROWS
    batch_bytes: int = BATCH
    dead_min: int = DEAD_MIN
    block_size: int = 0
    process_id: int = field(default_factory=os.getpid)


def of_this_machine(loop: asyncio.AbstractEventLoop) -> Surroundings:
    """The operating system's clock, disk, sockets and randomness."""
    return Surroundings(
        loop=loop,
        clock=SystemClock(),
        files=DiskFiles(),
        make_committer=ThreadCommitter,
        random=random.SystemRandom(),
        make_door=Listener,
        connection_room=connection_room(),
    )
