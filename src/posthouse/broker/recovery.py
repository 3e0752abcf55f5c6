"""From what the journal found back to the queues' indexes: the snapshot, then the log behind it."""

from __future__ import annotations

from posthouse.broker.broker import Broker
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


def recover(broker: Broker, journal: Journal, blocks: BlockTable) -> int:
    """Bring the messages of the durable queues back; returns how many. The definitions are loaded already.

    Raises:
        OSError: the log cannot be read or written.
    """
    queues = broker.durable_queues()
    _restore(broker, journal, blocks)
    replayer = Replayer(blocks, journal.shard, queues)
    for piece in journal.recover():
        for start, end in piece.entries:
            replayer.replay(piece.block, start, end)
        blocks.unpin(piece.block)
    return replayer.finish()


def _restore(broker: Broker, journal: Journal, blocks: BlockTable) -> None:
    """Put the snapshot back. Its last chunks come first: blocks and held entries are needed before the ready ones."""
    snapshot, log = journal.snapshot, journal.shard
    if snapshot is None or log is None:
        return
    first, end = journal.shard_bounds
    is_exact = snapshot.is_final and end == snapshot.start
    restorer = Restorer(blocks, log, broker.durable_queues(), first, is_exact)
    for kind, number, data in snapshot.chunks():
        if kind == SNAPSHOT_PLACES:
            restorer.add_places(data)
        elif kind == SNAPSHOT_BLOCKS:
            restorer.add_blocks(data)
        elif kind == SNAPSHOT_HELD:
            restorer.add_held(number, data)
    for kind, number, data in snapshot.chunks():
        if kind == SNAPSHOT_READY:
            restorer.add_ready(number, data)
    restorer.finish()
