"""A file system in memory that forgets what was not synced, and fails when it is told to.

It keeps for every file what was written and what a sync made durable, and for every directory which names are durable.
`MemoryFiles.crash` gives the file system as it may look after a power cut: each unsynced append kept, dropped or torn at
512 octets, each unsynced name kept or not. `fail_at` makes one call raise,
`capacity` a full disk. The same contract tests run over this and the
real disk.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Sequence

from posthouse.core.errors import DataDirLocked
from posthouse.journal.files import Buffer

SECTOR = 512


class _Node:
    """A file's contents: what is there, and how much of it survives for certain."""

    __slots__ = ("data", "durable")

    def __init__(self) -> None:
        self.data = bytearray()
        self.durable = b""


class MemoryFile:
    """An open file of `MemoryFiles`."""

    def __init__(self, files: MemoryFiles, node: _Node) -> None:
        self._files = files
        self._node = node

    def append(self, buffers: Sequence[Buffer]) -> None:
        """See `posthouse.journal.files.File`. A failing append may have written a part."""
        data = b"".join(bytes(b) for b in buffers)
        try:
            self._files.called("append")
        except OSError:
            self._node.data += data[: len(data) // 2]
            raise
        room = self._files.room()
        self._node.data += data[:room]
        if room < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def datasync(self) -> None:
        """See `posthouse.journal.files.File`. A failing sync makes nothing durable."""
        self._files.called("datasync")
        self._node.durable = bytes(self._node.data)

    def close(self) -> None:
        """See `posthouse.journal.files.File`."""


class MemoryLock:
    """A held lock."""

    def __init__(self, files: MemoryFiles, path: str) -> None:
        self._files = files
        self._path = path

    def release(self) -> None:
        """See `posthouse.journal.files.Lock`."""
        self._files.locks.discard(self._path)


class MemoryFiles:
    """See `posthouse.journal.files.Files`.

    Attributes:
        capacity: octets of all files together; more is a full disk.
        calls: how many calls were made so far that a disk may fail.
        names: path to contents, as the running process sees it; ``durable_names`` as the medium has it.
    """

    def __init__(self) -> None:
        self.names: dict[str, _Node] = {}
        self.durable_names: dict[str, _Node] = {}
        self.directories: set[str] = set()
        self.durable_directories: set[str] = set()
        self.locks: set[str] = set()
        self.capacity = 1 << 62
        self.reserved: dict[str, int] = {}
        self.calls = 0
        self._fail_call = -1
        self._fail_errno = errno.EIO

    # --- faults ---------------------------------------------------------------------------------

    def fail_at(self, call: int, number: int = errno.EIO) -> None:
        """Make the ``call``-th call from now on (0: the next) raise OSError ``number``, once."""
        self._fail_call = self.calls + call
        self._fail_errno = number

    def called(self, name: str) -> None:
        """Count a call; raise if it is the one that fails."""
        self.calls += 1
        if self.calls - 1 == self._fail_call:
            raise OSError(self._fail_errno, f"{os.strerror(self._fail_errno)} ({name})")

    def crash(self, choice: random.Random) -> MemoryFiles:
        """The file system after a power cut at this moment; this one is left as it is."""
        after = MemoryFiles()
        after.directories = set(self.durable_directories)
        for path in self.directories - self.durable_directories:
            if choice.random() < 0.5:
                after.directories.add(path)
        paths = set(self.names) | set(self.durable_names)
        for path in sorted(paths):
            node = self._surviving_name(path, choice)
            if node is None or path.rpartition("/")[0] not in after.directories:
                continue
            kept = _Node()
            kept.data = bytearray(_torn(node, choice))
            kept.durable = bytes(kept.data)
            after.names[path] = kept
        after.durable_names = dict(after.names)
        after.durable_directories = set(after.directories)
        return after

    def kill(self) -> MemoryFiles:
        """The file system after the process died: all that was written is there; this one is given up."""
        self.locks.clear()
        return self

    def _surviving_name(self, path: str, choice: random.Random) -> _Node | None:
        now, durable = self.names.get(path), self.durable_names.get(path)
        return now if now is durable or choice.random() < 0.5 else durable

    # --- Files ----------------------------------------------------------------------------------

    def make_directory(self, path: str) -> None:
        """See `posthouse.journal.files.Files`."""
        if path in self.directories:
            return
        self.called("make_directory")
        parent = path.rpartition("/")[0]
        if parent:
            self.make_directory(parent)
        self.directories.add(path)
        self.durable_directories.add(path)

    def create(self, path: str) -> MemoryFile:
        """See `posthouse.journal.files.Files`."""
        self.called("create")
        if path in self.names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        if path.rpartition("/")[0] not in self.directories:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self.names[path] = _Node()
        return MemoryFile(self, self.names[path])

    def _find(self, path: str) -> _Node:
        node = self.names.get(path)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return node

    def open_append(self, path: str) -> MemoryFile:
        """See `posthouse.journal.files.Files`."""
        self.called("open_append")
        return MemoryFile(self, self._find(path))

    def reserve(self, path: str, size: int) -> None:
        """See `posthouse.journal.files.Files`."""
        self.create(path)
        if self.used() + size > self.capacity:
            del self.names[path]
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.reserved[path] = size

    def room(self) -> int:
        """Octets that can still be written."""
        return max(0, self.capacity - self.used()) if self.capacity < 1 << 62 else 1 << 62

    def used(self) -> int:
        """Octets taken of the capacity."""
        held = sum(size for path, size in self.reserved.items() if path in self.names)
        return held + sum(len(node.data) for node in self.names.values())

    def read(self, path: str) -> bytearray:
        """See `posthouse.journal.files.Files`."""
        self.called("read")
        return bytearray(self._find(path).data)

    def read_at(self, path: str, offset: int, into: memoryview) -> int:
        """See `posthouse.journal.files.Files`."""
        self.called("read_at")
        found = self._find(path).data[offset : offset + len(into)]
        into[: len(found)] = found
        return len(found)

    def size(self, path: str) -> int:
        """See `posthouse.journal.files.Files`."""
        self.called("size")
        return len(self._find(path).data)

    def exists(self, path: str) -> bool:
        """See `posthouse.journal.files.Files`."""
        return path in self.names or path in self.directories

    def list(self, path: str) -> list[str]:
        """See `posthouse.journal.files.Files`."""
        self.called("list")
        if path not in self.directories:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        everything = [*self.names, *self.directories]
        return sorted(p.rpartition("/")[2] for p in everything if p.rpartition("/")[0] == path)

    def truncate(self, path: str, size: int) -> None:
        """See `posthouse.journal.files.Files`."""
        self.called("truncate")
        node = self._find(path)
        del node.data[size:]
        node.durable = bytes(node.data)

    def rename(self, old: str, new: str) -> None:
        """See `posthouse.journal.files.Files`."""
        self.called("rename")
        node = self._find(old)
        del self.names[old]
        self.names[new] = node

    def unlink(self, path: str) -> None:
        """See `posthouse.journal.files.Files`."""
        self.called("unlink")
        self._find(path)
        del self.names[path]

    def sync_directory(self, path: str) -> None:
        """See `posthouse.journal.files.Files`."""
        self.called("sync_directory")
        for known in [p for p in self.durable_names if p.rpartition("/")[0] == path]:
            if known not in self.names:
                del self.durable_names[known]
        for name, node in self.names.items():
            if name.rpartition("/")[0] == path:
                self.durable_names[name] = node

    def lock(self, path: str) -> MemoryLock:
        """See `posthouse.journal.files.Files`."""
        if path in self.locks:
            raise DataDirLocked(path.rpartition("/")[0], "another")
        self.locks.add(path)
        return MemoryLock(self, path)


def _torn(node: _Node, choice: random.Random) -> bytes:
    """What is left of a file: the durable part, and of the rest all, nothing, or some sectors (the others zero)."""
    durable, data = node.durable, bytes(node.data)
    if len(data) <= len(durable) or choice.random() < 0.25:
        return durable if choice.random() < 0.5 or len(data) < len(durable) else data
    end = choice.randrange(len(durable), len(data) + 1)
    rest = bytearray(data[len(durable) : end])
    if choice.random() < 0.5:
        for at in range(0, len(rest), SECTOR):
            if choice.random() < 0.3:
                size = min(SECTOR, len(rest) - at)
                rest[at : at + size] = bytes(size)
    return durable + bytes(rest)
