"""The journal of one machine: a data directory with two logs, one lock, one committer.

::

    DATA_DIR/lock           flock, holds the pid
    DATA_DIR/format         "posthouse 2\\n"
    DATA_DIR/definitions/   segments of the definitions log
    DATA_DIR/shard/         segments of the message log
    DATA_DIR/snapshots/     which messages were in which queue, so that not all of the log must be read
    DATA_DIR/pages/         bytes that left memory; means nothing to the next start
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from posthouse.core.errors import StorageError
from posthouse.journal.api import Snapshot, SnapshotWriter
from posthouse.journal.block import Block, BlockTable, LogBuffer
from posthouse.journal.constants import ENTRY_HEADER_SIZE
from posthouse.journal.files import Files, Lock
from posthouse.journal.local import snapshots
from posthouse.journal.local.committer import Commit
from posthouse.journal.local.log import SEGMENT_SIZE, LocalLog
from posthouse.journal.local.pager import LocalPager
from posthouse.journal.local.reserve import Reserve
from posthouse.journal.recovered import Recovered, RecoveryReport
from posthouse.journal.table import Table

log = logging.getLogger(__name__)

FORMAT = b"posthouse 2\n"
IN_FLIGHT_MAX = 2
# Where the log of definitions begins; that of messages begins at 0. An entry of one that gets into the other is not at its position there.
DEFINITIONS_START = 10**15


class Committer(Protocol):
    """Carries commits out, in order."""

    def submit(self, commit: Commit) -> None:
        """Take one commit."""

    def stop(self) -> None:
        """Finish what was taken."""


Post = Callable[[Callable[[], object]], object]
CommitterFactory = Callable[
    [Post, Callable[[int], object], Callable[[OSError], object], Callable[[], bool]], Committer
]


def _ignore(_: object) -> None:
    """The default callback: nobody listens yet."""


class LocalJournal:
    """See `posthouse.journal.api.Journal`. Loop thread only, but for what the committer does."""

    def __init__(
        self,
        files: Files,
        directory: str,
        blocks: BlockTable,
        post: Post,
        make_committer: CommitterFactory,
        *,
        durability: str = "fsync",
        segment_size: int = SEGMENT_SIZE,
        reserve_size: int = 0,
    ) -> None:
        self._files = files
        self._directory = directory
        self._post = post
        self._make_committer = make_committer
        self._durability = durability
        self._blocks = blocks
        sync = durability == "fsync"
        self._definitions = LocalLog(
            files,
            f"{directory}/definitions",
            LogBuffer(blocks, True),
            segment_size=segment_size,
            # Always: they are few, and a start without them would have messages of queues that nobody knows.
            sync=True,
            first=DEFINITIONS_START,
        )
        self._shard = LocalLog(
            files,
            f"{directory}/shard",
            LogBuffer(blocks, True),
            segment_size=segment_size,
            sync=sync,
        )
        self._shard.order = 1
        self._snapshots = snapshots.SnapshotStore(files, f"{directory}/snapshots")
        self._reserve = Reserve(files, f"{directory}/reserve", reserve_size)
        self._jobs: list[Callable[[], object]] = []
        self._claimant = ""
        self.pager = LocalPager(files, f"{directory}/pages", self._shard)
        self._lock: Lock | None = None
        self._committer: Committer | None = None
        # Commits under way: number, what to give back, and how many octets both logs have with it.
        self._in_flight: deque[tuple[int, list[tuple[Block, int, int]], int]] = deque()
        self._durable_to = 0
        self._trimmed_to = 0
        self._trims: list[tuple[LocalLog, int]] = []
        # What the committer has to say and the loop did not run yet.
        self._news: deque[Callable[[], object]] = deque()
        self._is_stopping = False
        self.is_full = False
        self.has_failed = False
        self.shard: LogBuffer | None = self._shard.buffer
        self.table = Table(self._definitions.buffer)
        self.snapshot: Snapshot | None = None
        self.shard_bounds = (0, 0)
        self.segment_size = segment_size
        self.next_commit = 1
        self.on_committed: Callable[[int], object] = _ignore
        self.on_failed: Callable[[OSError], object] = _ignore
        self.on_full: Callable[[], object] = lambda: None

    @property
    def durability(self) -> str:
        """``fsync`` or ``os``."""
        return self._durability

    @property
    def reports(self) -> dict[str, RecoveryReport]:
        """What opening found, by log name."""
        return {"definitions": self._definitions.report, "shard": self._shard.report}

    def open(self, claimant: str) -> None:
        """Lock the directory, fold the definitions, look for a snapshot. `recover` comes next.

        Raises:
            DataDirLocked: another process has it.
            StorageError: it was written by a version this one does not know.
            OSError: it cannot be read or written.
        """
        self._files.make_directory(self._directory)
        self._lock = self._files.lock(f"{self._directory}/lock")
        self._check_format()
        for piece in self._definitions.open(claimant):
            for start, end in piece.entries:
                self.table.replay(piece.block.data, start + ENTRY_HEADER_SIZE, end)
            self._blocks.unpin(piece.block)
        self.pager.open()
        self._blocks.pager = self.pager
        self._snapshots.open()
        self.shard_bounds = self._shard.bounds()
        self.snapshot = self._snapshots.newest(self.shard_bounds[1])
        self._shard.note_end(self.shard_bounds[1], self._snapshots.farthest)
        self._claimant = claimant
        if self.table.is_mostly_dead():
            self._rewrite_definitions()

    def recover(self) -> Iterator[Recovered]:
        """See `posthouse.journal.api.Journal.recover`: the log behind the snapshot; then the committer starts.

        Raises:
            OSError: it cannot be read or written.
        """
        start, epoch = 0, -1
        if self.snapshot is not None:
            start, epoch = self.snapshot.start, self.snapshot.epoch
        yield from self._shard.recover(self._claimant, start, epoch)
        if not self._reserve.take():
            log.warning("the disk is too full for the reserve file %s/reserve", self._directory)
        self._durable_to = self._appended()
        self._committer = self._make_committer(
            self._tell, self._on_done, self._on_failure, self._make_space
        )

    def _check_format(self) -> None:
        path = f"{self._directory}/format"
        if self._files.exists(path):
            found = bytes(self._files.read(path))
            if found != FORMAT:
                raise StorageError(
                    f"{path} says {found[:40]!r}; this version reads {FORMAT!r}: "
                    "use the version that wrote the directory, or another --data-dir"
                )
            return
        # Written aside and renamed: after a power cut the file is there whole, or not at all.
        fresh = path + ".new"
        if self._files.exists(fresh):
            self._files.unlink(fresh)
        file = self._files.create(fresh)
        file.append([FORMAT])
        file.datasync()
        file.close()
        self._files.rename(fresh, path)
        self._files.sync_directory(self._directory)

    def _rewrite_definitions(self) -> None:
        """Append the whole table once more, sync it, and drop the segments before it."""
        definitions = self._definitions
        start = definitions.buffer.position
        definitions.roll_at(start)
        for frame in self.table.frames():
            definitions.buffer.append(frame)
        ranges = definitions.buffer.seal()
        definitions.write(list(ranges))
        definitions.sync()
        for block, _, _ in ranges:
            self._blocks.unpin(block)
        definitions.trim(start)
        self.table.changes = self.table.live()

    @property
    def is_busy(self) -> bool:
        """One commit is being synced and the next one waits for it: a third would make no sync earlier."""
        return len(self._in_flight) >= IN_FLIGHT_MAX

    @property
    def unsynced_bytes(self) -> int:
        """See `posthouse.journal.api.Journal.unsynced_bytes`."""
        return self._appended() - self._durable_to

    def _appended(self) -> int:
        return self._definitions.buffer.position + self._shard.buffer.position

    def commit(self) -> int:
        """See `posthouse.journal.api.Journal.commit`."""
        assert self._committer is not None
        number = self.next_commit
        self.next_commit += 1
        definitions = self._definitions.buffer.seal()
        shard = self._shard.buffer.seal()
        if self.has_failed:
            self._give_back(definitions + shard)
            return number
        parts: list[tuple[LocalLog, list[tuple[Block, int, int]]]] = []
        if definitions:
            parts.append((self._definitions, definitions))
        if shard:
            parts.append((self._shard, shard))
        self._in_flight.append((number, definitions + shard, self._appended()))
        self._committer.submit(Commit(number, parts, self._trims, self._jobs))
        self._trims, self._jobs = [], []
        return number

    def begin_snapshot(self, *, is_final: bool = False) -> SnapshotWriter:
        """See `posthouse.journal.api.Journal.begin_snapshot`."""
        buffer = self._shard.buffer
        assert not buffer.has_pending(), "commit before a snapshot begins"
        buffer.rotate()
        return snapshots.SnapshotWriter(self._snapshots, buffer.position, buffer.epoch, is_final)

    def end_snapshot(self, writer: SnapshotWriter) -> None:
        """See `posthouse.journal.api.Journal.end_snapshot`: the log must have all that the snapshot knew of."""
        self._jobs.append(writer.finish)

    def begin_rewrite(self) -> int:
        """See `posthouse.journal.api.Journal.begin_rewrite`."""
        buffer = self._definitions.buffer
        assert not buffer.has_pending(), "commit before a rewrite begins"
        self._definitions.roll_later(buffer.position)
        return buffer.position

    def end_rewrite(self, start: int) -> None:
        """See `posthouse.journal.api.Journal.end_rewrite`."""
        self._trims.append((self._definitions, start))

    def _make_space(self) -> bool:
        """On the committer's thread: the disk is full. Whether the reserve helped."""
        if not self.is_full:
            self.is_full = True
            log.error("the disk is full: publishers are blocked until there is space again")
            self._post(self.on_full)
        return self._reserve.give()

    def mark(self) -> bool:
        """See `posthouse.journal.api.Journal.mark`."""
        if self.is_full or self.has_failed or self._in_flight:
            return False
        marks = [self._definitions.mark(), self._shard.mark()]
        return any(marks)

    def check_space(self) -> None:
        """See `posthouse.journal.api.Journal.check_space`."""
        if self.is_full and not self.is_busy and not self.has_failed:
            try:
                self.is_full = not self._reserve.take()
            except OSError as error:
                log.error("cannot make the reserve file again: %s", error)
            if not self.is_full:
                log.warning("the disk has space again")

    def _tell(self, news: Callable[[], object]) -> None:
        """On the committer's thread: have the loop run ``news``, or `stop`, whichever comes first."""
        self._news.append(news)
        self._post(self._hear)

    def _hear(self) -> None:
        while self._news:
            self._news.popleft()()

    def _on_done(self, number: int) -> None:
        while self._in_flight and self._in_flight[0][0] <= number:
            _, ranges, self._durable_to = self._in_flight.popleft()
            self._give_back(ranges)
        self.on_committed(number)

    def _give_back(self, ranges: list[tuple[Block, int, int]]) -> None:
        for block, _, _ in ranges:
            self._blocks.unpin(block)

    def _on_failure(self, error: OSError) -> None:
        self.has_failed = True
        if self._is_stopping:
            log.critical("the journal failed at the end: %s", error)
        else:
            self.on_failed(error)

    def trim(self) -> None:
        """See `posthouse.journal.api.Journal.trim`: whole segments without a live message go.

        A message may be dead because a copy was appended that is not on disk yet (dead-lettering): then the old one goes
        behind the commit that has the copy.
        """
        position = self._shard.buffer.oldest_live()
        if position > self._trimmed_to and self._committer is not None and not self.has_failed:
            self._trimmed_to = position
            if self._shard.buffer.has_pending():
                others = [trim for trim in self._trims if trim[0] is not self._shard]
                self._trims = [*others, (self._shard, position)]
            else:
                self._committer.submit(Commit(0, (), [(self._shard, position)]))

    def stop(self) -> None:
        """See `posthouse.journal.api.Journal.stop`."""
        if self._committer is not None:
            if not self.has_failed:
                self.commit()
            self._is_stopping = True
            self._committer.stop()
            self._hear()
            self._committer = None
        self._definitions.close()
        self._shard.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
