"""The real file layer: POSIX files with restrictive modes, flock, fdatasync."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Sequence

from posthouse.core.errors import DataDirLocked
from posthouse.journal.files import Buffer

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
# Linux takes at most IOV_MAX (1024) pieces in one writev.
PIECES_MAX = 512
# Octets behind a read that the system may fetch meanwhile.
READ_AHEAD = 4 << 20


class DiskFile:
    """An append-only descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def append(self, buffers: Sequence[Buffer]) -> None:
        """See `posthouse.journal.files.File`."""
        for first in range(0, len(buffers), PIECES_MAX):
            pieces = [memoryview(b) for b in buffers[first : first + PIECES_MAX]]
            while pieces:
                written = os.writev(self._fd, pieces)
                while pieces and written >= len(pieces[0]):
                    written -= len(pieces[0])
                    pieces.pop(0)
                if written:
                    pieces[0] = pieces[0][written:]

    def datasync(self) -> None:
        """See `posthouse.journal.files.File`."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """See `posthouse.journal.files.File`."""
        os.close(self._fd)


class DiskLock:
    """A flock on a file that names the holder's pid; the kernel drops it with the process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        """Unlock; the file stays, so that two openers never lock different inodes."""
        os.close(self._fd)


class DiskFiles:
    """The `posthouse.journal.files.Files` of this machine."""

    def make_directory(self, path: str) -> None:
        """See `posthouse.journal.files.Files`."""
        parent = os.path.dirname(os.path.abspath(path))
        if os.path.isdir(path):
            # Whoever made it may have been killed before the sync. A parent that we may not read is an operator's.
            with contextlib.suppress(PermissionError):
                self.sync_directory(parent)
            return
        if not os.path.isdir(parent):
            self.make_directory(parent)
        os.mkdir(path, DIRECTORY_MODE)
        self.sync_directory(parent)

    def create(self, path: str) -> DiskFile:
        """See `posthouse.journal.files.Files`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return DiskFile(os.open(path, flags, FILE_MODE))

    def open_append(self, path: str) -> DiskFile:
        """See `posthouse.journal.files.Files`."""
        return DiskFile(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW))

    def reserve(self, path: str, size: int) -> None:
        """See `posthouse.journal.files.Files`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(path, flags, FILE_MODE)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(fd, 0, size)
            else:  # macOS
                os.ftruncate(fd, size)
        except OSError:
            os.unlink(path)
            raise
        finally:
            os.close(fd)

    def read(self, path: str) -> bytearray:
        """See `posthouse.journal.files.Files`."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with open(fd, "rb", buffering=0) as file:
            data = bytearray(os.fstat(file.fileno()).st_size)
            view = memoryview(data)
            done = 0
            while done < len(data):
                count = file.readinto(view[done:])
                if not count:
                    break
                done += count
            view.release()
            del data[done:]
            return data

    def read_at(self, path: str, offset: int, into: memoryview) -> int:
        """See `posthouse.journal.files.Files`. What follows is probably wanted next: the system reads ahead."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            done = 0
            while done < len(into):
                count = os.preadv(fd, [into[done:]], offset + done)
                if not count:
                    break
                done += count
            if hasattr(os, "posix_fadvise"):  # Linux and the BSDs
                os.posix_fadvise(fd, offset + done, READ_AHEAD, os.POSIX_FADV_WILLNEED)
            return done
        finally:
            os.close(fd)

    def size(self, path: str) -> int:
        """See `posthouse.journal.files.Files`."""
        return os.stat(path).st_size

    def exists(self, path: str) -> bool:
        """See `posthouse.journal.files.Files`."""
        return os.path.exists(path)

    def list(self, path: str) -> list[str]:
        """See `posthouse.journal.files.Files`."""
        return sorted(os.listdir(path))

    def truncate(self, path: str, size: int) -> None:
        """See `posthouse.journal.files.Files`."""
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.ftruncate(fd, size)
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, old: str, new: str) -> None:
        """See `posthouse.journal.files.Files`."""
        os.rename(old, new)

    def unlink(self, path: str) -> None:
        """See `posthouse.journal.files.Files`."""
        os.unlink(path)

    def sync_directory(self, path: str) -> None:
        """See `posthouse.journal.files.Files`."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def lock(self, path: str) -> DiskLock:
        """See `posthouse.journal.files.Files`."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = ""
            with contextlib.suppress(OSError):
                holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise DataDirLocked(os.path.dirname(path), holder) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return DiskLock(fd)
