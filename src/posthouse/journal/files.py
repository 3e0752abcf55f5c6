"""The file layer: everything the journal asks of a disk, small enough to be faked whole.

`posthouse.journal.local.disk` is the real one; `posthouse.testing.files` has one in memory that loses unsynced writes
and fails calls on demand. Paths are plain strings with ``/``. Every method may raise OSError; nobody retries a failed
sync.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

Buffer = bytes | bytearray | memoryview


class File(Protocol):
    """An open file that is only appended to."""

    def append(self, buffers: Sequence[Buffer]) -> None:
        """Write all of ``buffers`` behind the end; short writes are continued."""

    def datasync(self) -> None:
        """Force the contents (and the size) to the medium. A failure is final."""

    def close(self) -> None:
        """Close without syncing."""


class Lock(Protocol):
    """A held lock."""

    def release(self) -> None:
        """Give it up."""


class Files(Protocol):
    """A file system."""

    def make_directory(self, path: str) -> None:
        """Create ``path`` with mode 0700 where it is missing, parents included, and sync its parent in every case."""

    def create(self, path: str) -> File:
        """Create a new file (it must not exist), mode 0600. Durable by name only after `sync_directory`."""

    def open_append(self, path: str) -> File:
        """Open an existing file for appending."""

    def reserve(self, path: str, size: int) -> None:
        """Create a file of ``size`` octets whose space is really taken."""

    def read(self, path: str) -> bytearray:
        """The whole contents."""

    def read_at(self, path: str, offset: int, into: memoryview) -> int:
        """Fill ``into`` from ``offset`` on; returns how many octets there were, fewer only at the end of the file."""

    def size(self, path: str) -> int:
        """Octets of a file."""

    def exists(self, path: str) -> bool:
        """Whether there is a file or directory."""

    def list(self, path: str) -> list[str]:
        """The names in a directory, sorted."""

    def truncate(self, path: str, size: int) -> None:
        """Cut a file to ``size`` and sync it."""

    def rename(self, old: str, new: str) -> None:
        """Rename, replacing; durable only after `sync_directory`."""

    def unlink(self, path: str) -> None:
        """Remove a file; durable only after `sync_directory`."""

    def sync_directory(self, path: str) -> None:
        """Force the names in a directory to the medium."""

    def lock(self, path: str) -> Lock:
        """Take the lock file ``path``; raises `posthouse.core.errors.DataDirLocked` when it is held."""
