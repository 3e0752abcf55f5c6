"""Takes snapshots of the durable queues, a slice at a time, while the broker works."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from posthouse.broker.broker import Broker
from posthouse.broker.dispatch import Dispatcher
from posthouse.broker.snapshot import Exporter
from posthouse.broker.walk import walk
from posthouse.journal.api import Journal, SnapshotWriter
from posthouse.journal.constants import (
    SNAPSHOT_BLOCKS,
    SNAPSHOT_HELD,
    SNAPSHOT_PLACES,
    SNAPSHOT_READY,
)

# The log grows by so many times the last snapshot's size before the next one: what snapshots cost stays in proportion.
GROWTH = 4
# Entries of a queue that one slice looks at: about a millisecond.
SLICE = 65536


def check_whole(broker: Broker) -> None:
    """Refuse to look at queues whose indexes are not complete: their messages would not be found (see `QueueIndex.entries_lost`).

    Raises:
        OSError: a page of an index could not be read back in this life.
    """
    for queue in broker.durable_queues().values():
        if queue.index.entries_lost:
            raise OSError("a page of a queue's index could not be read back")


class Snapshotter:
    """Decides when, and goes through with it. ``commit`` is the tick's: it knows who waits for which commit.

    Attributes:
        taken: snapshots finished since start.
        octets: size of the last one.
    """

    def __init__(
        self,
        broker: Broker,
        dispatcher: Dispatcher,
        journal: Journal,
        *,
        growth_min: int,
        commit: Callable[[], object],
        slice_entries: int = SLICE,
    ) -> None:
        self._broker = broker
        self._dispatcher = dispatcher
        self._journal = journal
        self._growth_min = growth_min
        self._commit = commit
        self._slice_entries = slice_entries
        self._slices: Iterator[None] | None = None
        self._last = journal.shard.position if journal.shard is not None else 0
        self.taken = 0
        self.octets = 0

    def is_due(self) -> bool:
        """Whether the log has grown enough since the last one, and none is being taken."""
        log = self._journal.shard
        if log is None or self._slices is not None:
            return False
        return log.position - self._last >= max(self._growth_min, GROWTH * self.octets)

    def begin(self) -> None:
        """Start one; `step` does the work."""
        self._slices = self._take(is_final=False)

    def step(self) -> bool:
        """One slice; False when there is nothing (more) to do."""
        if self._slices is None:
            return False
        for _ in self._slices:
            return True
        self._slices = None
        return False

    def take_final(self) -> None:
        """All of one at once, for an orderly stop: nothing happens any more."""
        if self._journal.shard is not None:
            self._slices = None
            for _ in self._take(is_final=True):
                pass

    def _take(self, *, is_final: bool) -> Iterator[None]:
        self._commit()
        writer = self._journal.begin_snapshot(is_final=is_final)
        self._last = writer.start
        exporter = Exporter(self._dispatcher.blocks, writer.start, self._slice_entries)
        queues = self._broker.durable_queues().values()
        try:
            for queue in walk(exporter, queues, self._dispatcher.holders):
                writer.add(SNAPSHOT_READY, queue.number, exporter.take_ready())
                if writer.has_failed:
                    return
                yield
            check_whole(self._broker)
        except OSError as error:
            # A start without it reads more of the log, and finds there what could not be read now.
            writer.abandon(error)
            return
        self._finish(writer, exporter)

    def _finish(self, writer: SnapshotWriter, exporter: Exporter) -> None:
        for number, entries in exporter.held.items():
            writer.add(SNAPSHOT_HELD, number, entries)
        writer.add(SNAPSHOT_PLACES, 0, exporter.places_chunk())
        writer.add(SNAPSHOT_BLOCKS, 0, exporter.blocks_chunk())
        self._journal.end_snapshot(writer)
        self._commit()
        if not writer.has_failed:
            self.taken += 1
            self.octets = writer.octets
