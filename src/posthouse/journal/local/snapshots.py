"""Snapshot files: which messages were in which durable queue when the log was at some position (`docs/format/snapshot.md`).

A snapshot saves reading the log from its beginning; it is never the only place of anything. It is written beside the running
broker, chunk by chunk, and gets its name when it is whole, on disk, and the log is durable up to where it ended. Two are
kept: when the newest turns out bad, the older one and a longer replay take its place, and in the end the whole log.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator

from posthouse.core.errors import CorruptRecord
from posthouse.journal import entry
from posthouse.journal.constants import SNAPSHOT_END
from posthouse.journal.files import File, Files

log = logging.getLogger(__name__)

SUFFIX = ".snap"
FRESH = ".new"
KEPT = 2
HEADER = struct.Struct("<4sIQQQQII")
CHUNK = struct.Struct("<IIII")
MAGIC = b"PHS1"
VERSION = 1
FLAG_FINAL = 1
ENTRY_SIZE = 16
# Most entries of a chunk: what is read at a time.
# An epoch is one more than the one before it.
EPOCH_MAX = 1 << 62
CHUNK_MAX = 65536


class SnapshotWriter:
    """One snapshot being written. `add` on the loop thread, `finish` on the committer's."""

    def __init__(self, store: SnapshotStore, start: int, epoch: int, is_final: bool) -> None:
        self._store = store
        self._path = store.path(start)
        self._file: File | None = None
        self._chunks = 0
        self.start = start
        self.octets = 0
        try:
            self._file = store.create(self._path + FRESH)
            head = HEADER.pack(MAGIC, VERSION, start, epoch, FLAG_FINAL if is_final else 0, 0, 0, 0)
            crc = entry.crc_of(bytearray(head), 0, 40)
            self._append(head[:40] + struct.pack("<II", crc, 0))
        except OSError as error:
            self.abandon(error)

    @property
    def has_failed(self) -> bool:
        """The disk did not take it; the next one may do better."""
        return self._file is None

    def add(self, kind: int, queue: int, data: bytes | bytearray) -> None:
        """Write the entries in ``data``, 16 octets each."""
        for first in range(0, len(data), CHUNK_MAX * ENTRY_SIZE):
            self._chunk(kind, queue, data[first : first + CHUNK_MAX * ENTRY_SIZE])

    def _chunk(self, kind: int, queue: int, part: bytes | bytearray) -> None:
        if self._file is None:
            return
        chunk = bytearray(CHUNK.pack(kind, queue, len(part) // ENTRY_SIZE, 0) + part)
        struct.pack_into("<I", chunk, 12, entry.crc_of(chunk, 0, len(chunk)))
        try:
            self._append(chunk)
        except OSError as error:
            self.abandon(error)
        self._chunks += 1

    def _append(self, data: bytes | bytearray) -> None:
        assert self._file is not None
        self._file.append([data])
        self.octets += len(data)

    def finish(self) -> None:
        """Sync it, give it its name, remove older ones. A disk that refuses costs only this snapshot."""
        self._chunk(SNAPSHOT_END, self._chunks, b"")
        if self._file is None:
            return
        try:
            self._file.datasync()
        except OSError as error:
            self.abandon(error)
            return
        try:
            self._file.close()
            self._store.accept(self._path)
        except OSError as error:
            # Closed once, whatever failed: a descriptor that is closed twice may be somebody else's by then.
            self._file = None
            self.abandon(error)

    def abandon(self, error: OSError) -> None:
        """Give it up, and remove what was written of it."""
        log.warning("%s: cannot write the snapshot: %s", self._path, error)
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
            self._store.discard(self._path + FRESH)
        except OSError:
            log.warning("%s: cannot remove what was written of it", self._path)


class Snapshot:
    """A snapshot that was found good.

    Attributes:
        start: position from which on the log counts.
        epoch: of the log at that time.
        is_final: written at an orderly stop, after the last entry.
    """

    def __init__(self, files: Files, path: str) -> None:
        self._files = files
        self._path = path
        head = bytearray(HEADER.size)
        count = files.read_at(path, 0, memoryview(head))
        magic, version, self.start, self.epoch, flags, _, crc, _ = HEADER.unpack(head)
        if (
            count < len(head)
            or magic != MAGIC
            or version != VERSION
            or crc != entry.crc_of(head, 0, 40)
        ):
            raise CorruptRecord("the header is damaged")
        if self.epoch > EPOCH_MAX:
            raise CorruptRecord(f"no log has the epoch {self.epoch}")
        self.is_final = bool(flags & FLAG_FINAL)

    def chunks(self) -> Iterator[tuple[int, int, bytearray]]:
        """Kind, queue number and entries of each chunk, in the order of the file.

        Raises:
            CorruptRecord: a chunk is damaged, or the end is missing.
            OSError: it cannot be read.
        """
        at = HEADER.size
        chunks = 0
        while True:
            head = bytearray(CHUNK.size)
            if self._files.read_at(self._path, at, memoryview(head)) < len(head):
                raise CorruptRecord(f"it ends at offset {at}")
            kind, queue, count, crc = CHUNK.unpack(head)
            if count > CHUNK_MAX:
                raise CorruptRecord(f"the chunk at offset {at} is damaged")
            data = head + bytes(count * ENTRY_SIZE)
            view = memoryview(data)[CHUNK.size :]
            got = self._files.read_at(self._path, at + CHUNK.size, view) if count else 0
            view.release()
            data[12:16] = b"\0\0\0\0"
            if got < count * ENTRY_SIZE or crc != entry.crc_of(data, 0, len(data)):
                raise CorruptRecord(f"the chunk at offset {at} is damaged")
            if kind == SNAPSHOT_END:
                if queue != chunks:
                    raise CorruptRecord(f"{chunks} chunks instead of {queue}")
                return
            yield kind, queue, data[CHUNK.size :]
            at += len(data)
            chunks += 1

    def verify(self) -> None:
        """Read all of it.

        Raises:
            CorruptRecord, OSError: as `chunks`.
        """
        for _ in self.chunks():
            pass


class SnapshotStore:
    """The directory of snapshots.

    Attributes:
        farthest: where the log once ended at least, by good snapshots that begin behind its end; 0 if there are none.
    """

    def __init__(self, files: Files, directory: str) -> None:
        self.farthest = 0
        self._files = files
        self._directory = directory

    def path(self, start: int) -> str:
        """The file name of the snapshot that begins at ``start``."""
        return f"{self._directory}/{start:020d}{SUFFIX}"

    def open(self) -> None:
        """Make the directory; remove what an earlier life did not finish."""
        self._files.make_directory(self._directory)
        for name in self._files.list(self._directory):
            if name.endswith(FRESH):
                self._files.unlink(f"{self._directory}/{name}")

    def create(self, path: str) -> File:
        """A new file, in place of what an earlier attempt left."""
        self.discard(path)
        return self._files.create(path)

    def discard(self, path: str) -> None:
        """Remove a file if it is there."""
        if self._files.exists(path):
            self._files.unlink(path)

    def accept(self, path: str) -> None:
        """A whole one: give it its name, and let older ones go."""
        self._files.rename(path + FRESH, path)
        self._files.sync_directory(self._directory)
        names = [n for n in self._files.list(self._directory) if n.endswith(SUFFIX)]
        for name in names[:-KEPT]:
            self._files.unlink(f"{self._directory}/{name}")

    def newest(self, log_end: int) -> Snapshot | None:
        """The newest good one of a log that ends at ``log_end``; bad ones are reported, put aside and passed over.

        Put aside, for one that is refused now because the log is shorter would look good when the log has grown again.
        """
        for path, found in self._by_start():
            try:
                found.verify()
                if found.start > log_end:
                    self.farthest = max(self.farthest, found.start)
                    raise CorruptRecord(f"it begins behind the end of the log at {log_end}")
            except (CorruptRecord, OSError) as error:
                self._put_aside(path, error)
                continue
            return found
        return None

    def _by_start(self) -> list[tuple[str, Snapshot]]:
        """Path and snapshot of the files with a good header, the newest first, whatever their names say."""
        found: list[tuple[str, Snapshot]] = []
        for name in self._files.list(self._directory):
            path = f"{self._directory}/{name}"
            if name.endswith(SUFFIX):
                try:
                    found.append((path, Snapshot(self._files, path)))
                except (CorruptRecord, OSError) as error:
                    self._put_aside(path, error)
        return sorted(found, key=lambda one: one[1].start, reverse=True)

    def _put_aside(self, path: str, why: Exception) -> None:
        log.error("snapshot %s is not usable: %s; an older one or the whole log is read", path, why)
        try:
            self._files.rename(path, path + ".damaged")
            self._files.sync_directory(self._directory)
        except OSError as error:
            log.warning("%s: cannot rename: %s", path, error)
