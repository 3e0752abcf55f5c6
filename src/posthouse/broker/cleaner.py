"""Gives disk space back that a few old messages hold: it copies them to the log's end, so that the segments before can go.

A log is trimmed from its beginning only: what is in the middle acknowledges what is before. So one old message keeps everything
behind it. When less than half of the log is needed, the cleaner copies what is needed at its beginning, until all but a segment's
worth is. Between two such times the log grows by as much as is needed, so at most one octet is copied for each octet
written.

A copied message keeps its name, the position where it was published: queues, acknowledgements and snapshots know of no move,
only its block knows the new place. A frame MOVE says what was copied; it is written only for messages that are not settled then,
so replay may believe it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from posthouse.broker.broker import Broker
from posthouse.broker.census import Census
from posthouse.broker.dispatch import Dispatcher
from posthouse.broker.snapshotter import check_whole
from posthouse.broker.walk import walk
from posthouse.journal.api import Journal
from posthouse.journal.block import Block, LogBuffer

logger = logging.getLogger(__name__)

# So many blocks are watched at a time: bounds what a round remembers to some 10 MiB.
ROUND_BLOCKS = 16
# So many octets are appended, then the disk is waited for: clients come first.
BATCH = 4 << 20
SLICE = 65536


class Cleaner:
    """Decides when, and goes through with it. ``commit`` is the tick's.

    Attributes:
        octets_moved: copied since start, frames included.
    """

    def __init__(
        self,
        broker: Broker,
        dispatcher: Dispatcher,
        journal: Journal,
        *,
        commit: Callable[[], object],
        slice_entries: int = SLICE,
        batch_bytes: int = BATCH,
    ) -> None:
        self._broker = broker
        self._dispatcher = dispatcher
        self._journal = journal
        self._commit = commit
        self._slice_entries = slice_entries
        self._batch_bytes = batch_bytes
        self._steps: Iterator[None] | None = None
        # Moves on their way to the disk: the commit that has it, the block, its new place.
        self._pending: list[tuple[int, Block, int]] = []
        # Size and need when nothing could be done: not worth another look until one of them changed.
        self._size_seen = 0
        self._ready_seen = 0
        self.octets_moved = 0

    def _size(self, log: LogBuffer) -> int:
        return log.position - log.oldest_live()

    def _ready(self) -> int:
        """What is needed at least: ready messages of durable queues."""
        return sum(queue.index.bytes_ready for queue in self._broker.durable_queues().values())

    def is_due(self) -> bool:
        """Whether less than half of the log seems to be needed."""
        log = self._journal.shard
        if log is None or self._steps is not None:
            return False
        slack = 2 * self._journal.segment_size
        size = self._size(log)
        if size <= slack:
            return False
        ready = self._ready()
        if size <= 2 * ready + slack:
            return False
        return size > self._size_seen + slack or 2 * ready < self._ready_seen

    def begin(self) -> None:
        """Start; `step` does the work."""
        assert self._journal.shard is not None
        self._steps = self._clean(self._journal.shard)

    def step(self) -> bool:
        """A little work; False when there is nothing (more) to do."""
        if self._steps is None:
            return False
        try:
            for _ in self._steps:
                return True
        except OSError as error:
            logger.warning("the cleaner gives up for now: %s", error)
        self._steps = None
        return False

    def committed(self, number: int) -> bool:
        """As a waiter of the dispatcher: moves in commits up to ``number`` are on disk. True while more are awaited."""
        log = self._journal.shard
        assert log is not None
        while self._pending and self._pending[0][0] <= number:
            _, block, place = self._pending.pop(0)
            if block.refs:
                log.relocate(block, place)
        return bool(self._pending)

    def give_up(self) -> None:
        """As a waiter of the dispatcher: the log failed; nothing is moved any more."""
        self._pending.clear()
        self._steps = None

    # --- one run --------------------------------------------------------------------------------

    def _clean(self, log: LogBuffer) -> Iterator[None]:
        end = log.position
        census = self._new_census(log, [])
        yield from self._walk(census)
        if self._size(log) > 2 * _needed(log) + 2 * self._journal.segment_size:
            while victims := self._choose(log, end):
                census = self._new_census(log, victims)
                yield from self._walk(census)
                yield from self._move(log, census, victims)
        self._size_seen = self._size(log)
        self._ready_seen = self._ready()

    def _new_census(self, log: LogBuffer, victims: list[Block]) -> Census:
        census = Census(self._dispatcher.blocks, self._slice_entries)
        self._dispatcher.settled = []
        for block in log.history:
            block.live = 0
            block.is_watched = False
        for block in victims:
            census.watch(block)
        return census

    def _walk(self, census: Census) -> Iterator[None]:
        queues = [
            queue for vhost in self._broker.vhosts.values() for queue in vhost.queues.values()
        ]
        for _ in walk(census, queues, self._dispatcher.holders):
            yield
        check_whole(self._broker)

    def _choose(self, log: LogBuffer, end: int) -> list[Block]:
        """The next blocks to move; none when all but a segment of the log is needed, or everything was moved once."""
        if self._size(log) - _needed(log) <= self._journal.segment_size:
            return []
        victims: list[Block] = []
        for block in log.history:
            if block.place >= end or len(victims) == ROUND_BLOCKS:
                break
            if block.refs and block is not log.current:
                victims.append(block)
        return victims

    def _move(self, log: LogBuffer, census: Census, victims: list[Block]) -> Iterator[None]:
        batch = 0
        for block in victims:
            census.forget(self._dispatcher.settled)
            self._dispatcher.settled = []
            block.is_watched = False
            if block.refs:
                batch += self._append(log, census, block)
            if batch >= self._batch_bytes:
                batch = 0
                yield from self._until_durable()
        yield from self._until_durable()

    def _append(self, log: LogBuffer, census: Census, block: Block) -> int:
        """Copy what is needed of a block; returns how many octets."""
        frame = b""
        if block.live:
            if not self._dispatcher.blocks.bring_whole(block):
                return 0  # it cannot be read now; its segment stays
            frame = census.frame(block)
        # A block of which nothing can be read again: deliveries of deleted queues, damaged records.
        place = log.append_alone(frame) if frame else log.position
        self._pending.append((self._dispatcher.next_commit, block, place))
        self.octets_moved += len(frame)
        return len(frame)

    def _until_durable(self) -> Iterator[None]:
        if self._pending:
            self._dispatcher.waiters[self] = None
            self._commit()
        while self._pending:
            yield


def _needed(log: LogBuffer) -> int:
    """Octets of the log that are needed, by the last walk; a block is never more than needed."""
    return sum(min(block.live, block.used) for block in log.history if block.refs)
