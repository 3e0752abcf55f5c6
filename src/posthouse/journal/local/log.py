"""One log as a directory of segment files.

A segment is named by the log position of its first octet (20 digits) and holds exactly the log's octets from there, so
``position - base`` is the file offset. Segments begin and end at entry boundaries. Opening verifies every entry, cuts a torn
tail, reports damage, and claims the log with the next epoch before anything else is written.

`open` and `trim` run where nothing else touches the log; `write` and `sync` on the committer's thread.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

from posthouse.journal import entry
from posthouse.journal.block import Block, LogBuffer
from posthouse.journal.constants import (
    ENTRY_FLAG_CLAIM,
    KIND_CLAIM,
    KIND_NOOP,
)
from posthouse.journal.files import File, Files
from posthouse.journal.local.readback import ReadBack, set_aside
from posthouse.journal.local.reserve import NO_SPACE, NoSpace
from posthouse.journal.local.segments import find_segments, segment_name
from posthouse.journal.local.survey import survey
from posthouse.journal.recovered import Recovered, RecoveryReport

log = logging.getLogger(__name__)

SEGMENT_SIZE = 64 << 20
# A frame that says nothing: its entry's header is what counts.
NOOP = bytes((8, 0, 0, 0, KIND_NOOP, 0, 0, 0))
# Recovered octets become blocks of about this size, so that memory comes back as messages go.
PIECE_SIZE = 1 << 20


class LocalLog:
    """A log on this machine's disk.

    Attributes:
        buffer: its append side.
        report: what the last opening found.
        order: logs of one commit are written by rising order: definitions before the messages that need them.
    """

    def __init__(
        self,
        files: Files,
        directory: str,
        buffer: LogBuffer,
        *,
        segment_size: int = SEGMENT_SIZE,
        sync: bool = True,
        first: int = 0,
    ) -> None:
        """``first`` is the position where a new log begins."""
        self._files = files
        self._directory = directory
        self._segment_size = segment_size
        self._sync = sync
        self._first = first
        self._file: File | None = None
        self._active_size = 0
        # Up to which position the log is known to be synced (written, in mode ``os``); -1 before the first time.
        self._synced_to = -1
        # Replaced, never changed: the loop thread reads while the committer's ends and trims segments.
        self._bases: list[int] = []
        self._dirty = False
        # Loop thread: where the log ended when `mark` looked last, and behind the last mark.
        self._seen_at = -1
        # Entries from this position on begin a new segment.
        self._roll_from = 0
        self._marked_at = -1
        self.buffer = buffer
        self.report = RecoveryReport()
        self._read_back = ReadBack(files, directory, self.report)
        self.order = 0

    def _path(self, base: int) -> str:
        return f"{self._directory}/{segment_name(base)}"

    # --- opening --------------------------------------------------------------------------------

    def open(self, claimant: str) -> list[Recovered]:
        """`recover` at once, for a log that fits in memory."""
        return list(self.recover(claimant))

    def recover(self, claimant: str, start: int = 0, epoch: int = -1) -> Iterator[Recovered]:
        """Verify from position ``start`` on, repair the tail, claim; yields what was read, pinned for the caller.

        ``epoch`` is that of the log at ``start``, -1 if it is not known. ``claimant`` is noted in the claim, which is written
        when everything was taken: nothing may be appended before.

        Raises:
            OSError: the directory cannot be read or written.
        """
        self._files.make_directory(self._directory)
        self._bases = self._sort_out()
        position = 0
        for n, base in enumerate(self._bases):
            if n and base != position:
                self.report.damaged.append((segment_name(position), 0, base - position))
                log.error("%s: the log is missing octets %d to %d", self._directory, position, base)
            limit = self._bases[n + 1] if n + 1 < len(self._bases) else -1
            if 0 <= limit <= start:
                position = min(limit, base + self._files.size(self._path(base)))
                continue
            data = self._files.read(self._path(base))
            entries, epoch, position = self._recover_segment(
                base, data, max(0, start - base), epoch, limit
            )
            yield from self._adopt(data, base, entries)
        if not self._bases:
            position = self._first
            self._bases = [position]
            self._file = self._files.create(self._path(position))
            self._files.sync_directory(self._directory)
        else:
            self._file = self._files.open_append(self._path(self._bases[-1]))
            # Whoever wrote it may have been killed before the sync: what was read is on the disk from the claim on, its name too.
            self._dirty = True
            if self._sync:
                self._files.sync_directory(self._directory)
        self._active_size = position - self._bases[-1]
        self.buffer.begin(position, epoch + 1)
        self._claim(claimant)

    def note_end(self, end: int, farthest: int) -> None:
        """The log ends at ``end``, but was synced up to ``farthest`` once."""
        if end < farthest:
            self.report.damaged.append((segment_name(end), 0, farthest - end))
            log.error("%s: the log is missing octets %d to %d", self._directory, end, farthest)

    def bounds(self) -> tuple[int, int]:
        """Where the log begins and ends on disk, before it is opened; torn octets count.

        Raises:
            OSError: the directory cannot be read.
        """
        if not self._files.exists(self._directory):
            return 0, 0
        bases = find_segments(self._files, self._directory).bases
        if not bases:
            return 0, 0
        return bases[0], bases[-1] + self._files.size(self._path(bases[-1]))

    def _sort_out(self) -> list[int]:
        """The positions of the segments. Files that only look like some are named, and put aside where they would be in the way."""
        found = find_segments(self._files, self._directory)
        for name in found.strange:
            log.warning("%s/%s: not the name of a segment, passed over", self._directory, name)
        for base in found.foreign:
            path = self._path(base)
            size = self._files.size(path)
            self.report.damaged.append((segment_name(base), 0, size))
            log.error("%s: nothing of this log, and not where a segment should be; put aside", path)
            self._files.rename(path, path + ".foreign")
            self._files.sync_directory(self._directory)
        return found.bases

    def _recover_segment(
        self, base: int, data: bytearray, at: int, epoch: int, limit: int
    ) -> tuple[list[tuple[int, int]], int, int]:
        """Find the good entries of a segment from offset ``at`` on; they, the epoch, and the position behind.

        ``limit`` is the position where the next segment begins, -1 if it is the last one.
        """
        path = self._path(base)
        is_last = limit < 0
        size = len(data) if is_last else min(len(data), limit - base)
        found = survey(data, base, at, epoch, is_last=is_last)
        damaged = [gap for gap in found.gaps if gap[0] < size]
        if found.end < size:
            if is_last:
                self._files.truncate(path, found.end)
                self.report.torn.append((segment_name(base), found.end, size - found.end))
                log.warning(
                    "%s: torn tail cut at offset %d, %d octets dropped",
                    path,
                    found.end,
                    size - found.end,
                )
            else:
                damaged.append((found.end, size))
        if size < len(data):
            damaged.append((size, len(data)))
        for start, end in damaged:
            set_aside(self._files, path, data)
            self.report.damaged.append((segment_name(base), start, end - start))
            log.error("%s: damage at offset %d, %d octets skipped", path, start, end - start)
        entries = [(start, end) for start, end in found.entries if start < size]
        self.report.entries += len(entries)
        self.report.octets += size
        return entries, found.epoch, base + (found.end if is_last else size)

    def _adopt(
        self, data: bytearray, base: int, entries: list[tuple[int, int]]
    ) -> Iterator[Recovered]:
        """Cut the segment into blocks at entry boundaries."""
        table = self.buffer.table
        n = 0
        while n < len(entries):
            start = entries[n][0]
            last = n
            while last + 1 < len(entries) and entries[last + 1][1] - start <= PIECE_SIZE:
                last += 1
            end = entries[last][1]
            block = table.adopt(base + start, data[start:end])
            block.used = end - start
            block.is_durable = True
            piece = [(a - start, b - start) for a, b in entries[n : last + 1]]
            self.buffer.history.append(block)
            yield Recovered(block, piece)
            n = last + 1

    def read_back(self, base: int, data: bytearray, size: int) -> int:
        """See `posthouse.journal.local.readback.ReadBack.read`."""
        return self._read_back.read(self._bases, base, data, size)

    def read_moved(self, place: int, base: int, data: bytearray) -> int:
        """See `posthouse.journal.local.readback.ReadBack.read_moved`."""
        return self._read_back.read_moved(self._bases, place, base, data)

    def _claim(self, claimant: str) -> None:
        """Write and sync the claim of this opening's epoch."""
        text = json.dumps({"claimant": claimant, "epoch": self.buffer.epoch}).encode()
        text += b" " * (-len(text) % 8)
        frame = (8 + len(text)).to_bytes(4, "little") + bytes((KIND_CLAIM, 0, 0, 0)) + text
        self.buffer.append(frame)
        ranges = self.buffer.seal()
        block, start, _ = ranges[0]
        block.data[start + 5] |= ENTRY_FLAG_CLAIM
        self.write(list(ranges))
        self.sync()
        for block, _, _ in ranges:
            self.buffer.table.unpin(block)

    # --- writing --------------------------------------------------------------------------------

    def mark(self) -> bool:
        """Append an entry if nothing was appended since the last call, nor a mark behind what was: it says what is synced.

        Loop thread; everything appended was written and synced.
        """
        position = self.buffer.position
        is_due = self._seen_at == position != self._marked_at and not self.buffer.has_pending()
        if is_due:
            self.buffer.append(NOOP)
            self._marked_at = position = self.buffer.position
        self._seen_at = position
        return is_due

    def write(self, ranges: list[tuple[Block, int, int]]) -> None:
        """Checksum and append sealed entries, rolling to a new segment where one is full.

        What was appended is taken out of ``ranges``. Where the disk is full, what it took of a record is cut off again: called
        once more with what is left, it goes on where it stopped.

        Raises:
            NoSpace: the disk is full.
            OSError: something that is final.
        """
        while ranges:
            pieces: list[memoryview] = []
            size = 0
            for block, start, end in ranges:
                length = end - start
                if self._active_size + size and (
                    self._active_size + size + length > self._segment_size
                    or self._bases[-1] < self._roll_from <= block.base + start
                ):
                    break
                unsynced = -1 if self._synced_to < 0 else block.base + start - self._synced_to
                entry.finish(block.data, start, end, unsynced)
                pieces.append(memoryview(block.data)[start:end])
                size += length
            if not pieces:
                self._roll(ranges[0][0].base + ranges[0][1])
                continue
            self._append(pieces, size)
            del ranges[: len(pieces)]

    def _append(self, pieces: list[memoryview], size: int) -> None:
        assert self._file is not None
        self._dirty = True
        try:
            self._file.append(pieces)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            self._files.truncate(self._path(self._bases[-1]), self._active_size)
            raise NoSpace(error.errno, error.strerror) from error
        self._active_size += size

    def roll_at(self, base: int) -> None:
        """Start a new segment at ``base``, the end of the log, unless the active one is empty."""
        if self._active_size:
            self._roll(base)

    def roll_later(self, position: int) -> None:
        """Have what stands at ``position`` or behind it begin a new segment when it is written.

        Loop thread; what stands before was handed over, nothing behind it.
        """
        self._roll_from = position

    def _roll(self, base: int) -> None:
        """Seal the active segment and go on in a new one; nothing is changed if that cannot be made."""
        assert self._file is not None
        self.sync()
        path = self._path(base)
        try:
            file = self._files.create(path)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            raise NoSpace(error.errno, error.strerror) from error
        try:
            self._files.sync_directory(self._directory)
        except OSError:
            file.close()
            self._files.unlink(path)
            raise
        self._file.close()
        self._file = file
        self._bases = [*self._bases, base]
        self._active_size = 0

    def sync(self) -> None:
        """Make everything written durable (nothing to do in mode ``os``)."""
        if self._dirty:
            assert self._file is not None
            if self._sync:
                self._file.datasync()
            self._dirty = False
            self._synced_to = self._bases[-1] + self._active_size

    def trim(self, position: int) -> int:
        """Remove the segments that end at or below ``position``, never the active one; returns how many.

        One after the other: a later segment may acknowledge what an earlier one holds, so it must not be the first to go.
        """
        removed = 0
        while len(self._bases) > 1 and self._bases[1] <= position:
            self._files.unlink(self._path(self._bases[0]))
            if self._sync:
                self._files.sync_directory(self._directory)
            self._bases = self._bases[1:]
            removed += 1
        return removed

    def close(self) -> None:
        """Close the active segment; the caller has synced."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def segment_count(self) -> int:
        """How many segment files there are."""
        return len(self._bases)
