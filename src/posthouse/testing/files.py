"""A file system in memory that forgets what was not synced, and fails when it is told to.

It keeps what the running process sees, and beside it what a disk is certain to have (`posthouse.testing.medium`).
`MemoryFiles.crash` gives the file system as it may look after a power cut: each unsynced write kept, dropped or torn,
each unsynced name kept or not. `fail_at` makes one call raise, `capacity` a full disk. What a failed sync
should have made durable stays uncertain for ever, whatever later ones say, as on Linux. The same contract tests run over this and the
real disk.
"""

from __future__ import annotations

import errno
import os
import random
from collections import deque
from collections.abc import Callable, Sequence

from posthouse.core.errors import DataDirLocked
from posthouse.journal.files import Buffer
from posthouse.testing.medium import (
    KEPT,
    Cut,
    Link,
    Make,
    Medium,
    Move,
    Operation,
    Remove,
    Tree,
    Write,
    apply_data,
    apply_name,
)

# More unsynced operations than this are not remembered: the system has written the oldest by then.
PENDING_MAX = 512


class _Node:
    """A file's contents: what is there, and how much of it survives for certain."""

    __slots__ = ("data", "durable", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.data = bytearray()
        self.durable = b""


class MemoryFile:
    """An open file of `MemoryFiles`."""

    def __init__(self, files: MemoryFiles, node: _Node, path: str) -> None:
        self._files = files
        self._node = node
        self._path = path

    def append(self, buffers: Sequence[Buffer]) -> None:
        """See `posthouse.journal.files.File`. A failing append may have written a part."""
        data = b"".join(bytes(b) for b in buffers)
        try:
            self._files.called("append", self._path)
        except BaseException:  # the end of the process too
            self._files.write(self._node, data[: len(data) // 2])
            raise
        room = self._files.room()
        self._files.write(self._node, data[:room])
        if room < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def datasync(self) -> None:
        """See `posthouse.journal.files.File`. A failing sync makes nothing durable, nor does a later one."""
        self._files.sync(self._node, self._path)

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
        on_operation: called after everything that changes what may be on the disk.
        on_call: called with the name of each call and the path before it is counted; it may raise OSError.
    """

    def __init__(self) -> None:
        self.names: dict[str, _Node] = {}
        self.directories: set[str] = set()
        self.durable_names: dict[str, int] = {}
        self.durable_directories: set[str] = set()
        self.locks: set[str] = set()
        self.capacity = 1 << 62
        self.reserved: dict[str, int] = {}
        self.calls = 0
        self.on_operation: Callable[[], object] = lambda: None
        self.on_call: Callable[[str, str], object] = lambda _, __: None
        self._nodes: dict[int, _Node] = {}
        self._next_node = 0
        self._pending: deque[Operation] = deque()
        # By identity: writes that a failed sync gave up.
        self._lost: set[int] = set()
        self._fail_call = -1
        self._fail_errno = errno.EIO

    # --- faults ---------------------------------------------------------------------------------

    def fail_at(self, call: int, number: int = errno.EIO) -> None:
        """Make the ``call``-th call from now on (0: the next) raise OSError ``number``, once."""
        self._fail_call = self.calls + call
        self._fail_errno = number

    def called(self, name: str, path: str) -> None:
        """Count a call; raise if it is the one that fails."""
        self.on_call(name, path)
        self.calls += 1
        if self.calls - 1 == self._fail_call:
            raise OSError(self._fail_errno, f"{os.strerror(self._fail_errno)} ({name})")

    def medium(self) -> Medium:
        """What the disk has at this moment, certainly and perhaps."""
        contents = {node.number: node.durable for node in self._nodes.values() if node.durable}
        return Medium(
            frozenset(self.durable_directories),
            dict(self.durable_names),
            contents,
            tuple(self._pending),
        )

    @classmethod
    def of(cls, tree: Tree) -> MemoryFiles:
        """A file system that has ``tree``, all of it durable."""
        files = cls()
        files.directories = set(tree.directories)
        files.durable_directories = set(tree.directories)
        for path, content in tree.contents.items():
            node = files._new_node(path)
            node.data = bytearray(content)
            node.durable = bytes(content)
            files.durable_names[path] = node.number
        return files

    def crash(self, choice: random.Random) -> MemoryFiles:
        """The file system after a power cut at this moment; this one is left as it is."""
        return MemoryFiles.of(self.medium().crash(choice))

    def kill(self) -> MemoryFiles:
        """The file system after the process died: all that was written is there; this one is given up."""
        self.locks.clear()
        return self

    # --- what the disk has ----------------------------------------------------------------------

    def _new_node(self, path: str) -> _Node:
        node = _Node(self._next_node)
        self._next_node += 1
        self._nodes[node.number] = node
        self.names[path] = node
        return node

    def _note(self, operation: Operation) -> None:
        self._pending.append(operation)
        if len(self._pending) > PENDING_MAX:
            self._settle(self._pending.popleft())
        self.on_operation()

    def _settle(self, operation: Operation) -> None:
        """The disk has it."""
        if isinstance(operation, Make):
            self.durable_directories.add(operation.path)
        elif isinstance(operation, Write | Cut):
            if id(operation) in self._lost:
                self._lost.discard(id(operation))
                return
            node = self._nodes.get(operation.node)
            if node is None:
                return
            if isinstance(operation, Write) and operation.offset == len(node.durable):
                node.durable += operation.data
                return
            content = bytearray(node.durable)
            apply_data(content, operation, KEPT)
            node.durable = bytes(content)
        else:
            apply_name(self.durable_names, operation)

    def _settle_all(self, is_synced: Callable[[Operation], bool]) -> None:
        pending, self._pending = self._pending, deque()
        for operation in pending:
            if is_synced(operation):
                self._settle(operation)
            else:
                self._pending.append(operation)
        self.on_operation()

    def write(self, node: _Node, data: bytes) -> None:
        """Append to a file."""
        offset = len(node.data)
        node.data += data
        if data:
            self._note(Write(node.number, offset, data))

    def sync(self, node: _Node, path: str) -> None:
        """Make the contents of the file at ``path`` durable."""
        mine = [
            op for op in self._pending if isinstance(op, Write | Cut) and op.node == node.number
        ]
        try:
            self.called("datasync", path)
        except OSError:
            self._lost.update(id(op) for op in mine)
            raise
        synced = {id(op) for op in mine} - self._lost
        self._settle_all(lambda op: id(op) in synced)

    # --- Files ----------------------------------------------------------------------------------

    def make_directory(self, path: str) -> None:
        """See `posthouse.journal.files.Files`."""
        parent = path.rpartition("/")[0]
        if path in self.directories:
            self.sync_directory(parent)
            return
        self.called("make_directory", path)
        if parent and parent not in self.directories:
            self.make_directory(parent)
        self.directories.add(path)
        self._note(Make(path))
        self.sync_directory(parent)

    def create(self, path: str) -> MemoryFile:
        """See `posthouse.journal.files.Files`."""
        self.called("create", path)
        if path in self.names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        if path.rpartition("/")[0] not in self.directories:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        node = self._new_node(path)
        self._note(Link(path, node.number))
        return MemoryFile(self, node, path)

    def _find(self, path: str) -> _Node:
        node = self.names.get(path)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return node

    def open_append(self, path: str) -> MemoryFile:
        """See `posthouse.journal.files.Files`."""
        self.called("open_append", path)
        return MemoryFile(self, self._find(path), path)

    def reserve(self, path: str, size: int) -> None:
        """See `posthouse.journal.files.Files`."""
        self.create(path)
        try:
            self.called("reserve", path)
            if self.used() + size > self.capacity:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._drop_name(path)
            raise
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
        self.called("read", path)
        return bytearray(self._find(path).data)

    def read_at(self, path: str, offset: int, into: memoryview) -> int:
        """See `posthouse.journal.files.Files`."""
        self.called("read_at", path)
        found = self._find(path).data[offset : offset + len(into)]
        into[: len(found)] = found
        return len(found)

    def size(self, path: str) -> int:
        """See `posthouse.journal.files.Files`."""
        self.called("size", path)
        return len(self._find(path).data)

    def exists(self, path: str) -> bool:
        """See `posthouse.journal.files.Files`."""
        return path in self.names or path in self.directories

    def list(self, path: str) -> list[str]:
        """See `posthouse.journal.files.Files`."""
        self.called("list", path)
        if path not in self.directories:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        everything = [*self.names, *self.directories]
        return sorted(p.rpartition("/")[2] for p in everything if p.rpartition("/")[0] == path)

    def truncate(self, path: str, size: int) -> None:
        """See `posthouse.journal.files.Files`."""
        self.called("truncate", path)
        node = self._find(path)
        del node.data[size:]
        node.data.extend(bytes(size - len(node.data)))
        self._note(Cut(node.number, size))
        self.sync(node, path)

    def rename(self, old: str, new: str) -> None:
        """See `posthouse.journal.files.Files`."""
        self.called("rename", new)
        node = self._find(old)
        del self.names[old]
        self.names[new] = node
        self._note(Move(old, new, node.number))

    def unlink(self, path: str) -> None:
        """See `posthouse.journal.files.Files`."""
        self.called("unlink", path)
        self._find(path)
        self._drop_name(path)

    def _drop_name(self, path: str) -> None:
        del self.names[path]
        self._note(Remove(path))

    def sync_directory(self, path: str) -> None:
        """See `posthouse.journal.files.Files`."""
        self.called("sync_directory", path)
        self._settle_all(lambda op: _directory_of(op) == path)
        self._forget_nodes()

    def _forget_nodes(self) -> None:
        """Contents that no name leads to, nor may lead to after a crash, are gone."""
        wanted = {node.number for node in self.names.values()} | set(self.durable_names.values())
        wanted.update(op.node for op in self._pending if isinstance(op, Link | Move))
        self._nodes = {number: node for number, node in self._nodes.items() if number in wanted}

    def lock(self, path: str) -> MemoryLock:
        """See `posthouse.journal.files.Files`."""
        if path in self.locks:
            raise DataDirLocked(path.rpartition("/")[0], "another")
        self.locks.add(path)
        return MemoryLock(self, path)


def _directory_of(operation: Operation) -> str | None:
    """The directory whose sync makes a change of names durable."""
    match operation:
        case Link() | Remove() | Make():
            return operation.path.rpartition("/")[0]
        case Move():
            return operation.new.rpartition("/")[0]
    return None
