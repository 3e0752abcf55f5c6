"""From what the journal found back to the queues' indexes: the snapshot, then the log behind it.

Where data was damaged, what is left is served, and what is not is counted and said (promise P11): messages that the snapshot knew and that
are gone without a reason; queues of which only messages are left, since their definition was in a damaged place.
"""

from __future__ import annotations

import logging

from posthouse.broker.broker import Broker
from posthouse.broker.dispatch import QueueCore
from posthouse.broker.missing import Missing
from posthouse.broker.replay import Replayer
from posthouse.broker.snapshot import Restorer
from posthouse.journal.api import Journal
from posthouse.journal.block import BlockTable
from posthouse.journal.constants import (
    SNAPSHOT_BLOCKS,
    SNAPSHOT_HELD,
    SNAPSHOT_PLACES,
    SNAPSHOT_READY,
)

log = logging.getLogger(__name__)


class Recovery:
    """Brings the messages of the durable queues back, once. The definitions are loaded already.

    Attributes:
        count: how many messages came back.
        lost: how many are gone that the snapshot knew.
        has_met_messages: the log or a snapshot holds any, of whatever queue.
    """

    def __init__(self, broker: Broker, journal: Journal, blocks: BlockTable) -> None:
        self._broker = broker
        self._journal = journal
        self._blocks = blocks
        self._queues = broker.durable_queues()
        self._deleted: set[int] = set()
        self._salvage_from = 0
        self._missing = Missing()
        self.count = 0
        self.lost = 0
        self.has_met_messages = False

    def run(self) -> None:
        """All of it.

        Raises:
            OSError: the log cannot be read or written.
        """
        journal = self._journal
        self._deleted = {
            row["id"] for kind, row in journal.table.removed if kind == "queue" and "id" in row
        }
        journal.table.removed.clear()
        salvage = self._salvage if self._is_salvaging() else None
        self._restore(is_salvaging=salvage is not None)
        replayer = Replayer(self._blocks, journal.shard, self._queues)
        replayer.salvage = salvage
        if self._missing.close():
            replayer.missing = self._missing
        for piece in journal.recover():
            for start, end in piece.entries:
                replayer.replay(piece.block, start, end)
            self._blocks.unpin(piece.block)
        self.count = replayer.finish()
        self.has_met_messages = journal.snapshot is not None or replayer.messages > 0
        self._report_lost()

    def _is_salvaging(self) -> bool:
        """Whether a queue's definition may be lost; a torn tail can only have held those of the newest queues."""
        report = self._journal.reports.get("definitions")
        if report is None or report.is_clean:
            return False
        if not report.damaged:
            self._salvage_from = max((*self._queues, *self._deleted), default=0) + 1
        return True

    def _restore(self, *, is_salvaging: bool) -> None:
        """Put the snapshot back. Its last chunks come first: blocks and held entries are needed before the ready ones."""
        snapshot, shard = self._journal.snapshot, self._journal.shard
        if snapshot is None or shard is None:
            return
        first, end = self._journal.shard_bounds
        is_exact = snapshot.is_final and end == snapshot.start
        restorer = Restorer(self._blocks, shard, self._queues, first, is_exact, end)
        if first <= snapshot.start:
            # Otherwise what the log said of it may have been trimmed as well.
            restorer.missing = self._missing
        for kind, number, data in snapshot.chunks():
            if kind == SNAPSHOT_PLACES:
                restorer.add_places(data)
            elif kind == SNAPSHOT_BLOCKS:
                restorer.add_blocks(data)
            elif kind == SNAPSHOT_HELD:
                restorer.add_held(number, data)
            if kind in (SNAPSHOT_READY, SNAPSHOT_HELD) and data and is_salvaging:
                self._salvage(number)
        for kind, number, data in snapshot.chunks():
            if kind == SNAPSHOT_READY:
                restorer.add_ready(number, data)
        restorer.finish()

    def _salvage(self, number: int) -> QueueCore | None:
        """A queue for the messages of one whose definition is lost; None for one that was deleted."""
        is_known = number in self._queues or number in self._deleted
        if is_known or number < self._salvage_from:
            return self._queues.get(number)
        queue = self._broker.salvage_queue(number)
        self._queues[number] = queue
        log.error(
            "a queue's definition is lost in damage: its messages are in queue '%s' in vhost '%s' now",
            queue.name,
            queue.vhost.name,
        )
        return queue

    def _report_lost(self) -> None:
        for number, positions in self._missing.lost().items():
            self.lost += len(positions)
            log.error(
                "%s: %d messages at log positions %d to %d are lost: the log begins at %d, and nothing says that they were settled",
                self._broker.queue_name(number),
                len(positions),
                positions[0],
                positions[-1],
                self._journal.shard_bounds[0],
            )


def recover(broker: Broker, journal: Journal, blocks: BlockTable) -> Recovery:
    """Bring the messages back.

    Raises:
        OSError: the log cannot be read or written.
    """
    recovery = Recovery(broker, journal, blocks)
    recovery.run()
    return recovery
