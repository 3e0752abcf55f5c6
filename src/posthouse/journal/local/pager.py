"""Blocks outside of memory: durable ones are in the log anyway, the others go to page files.

A page file holds the bytes of one block, is never synced, and means nothing to the next start: opening removes what is left.
Loop thread only. Reading a block checks every entry again: what the disk changed meanwhile is never delivered (P7, P11).
"""

from __future__ import annotations

import logging

from posthouse.journal.block import Block
from posthouse.journal.files import Files
from posthouse.journal.local.log import LocalLog

log = logging.getLogger(__name__)

SUFFIX = ".page"


class LocalPager:
    """See `posthouse.journal.block.Pager`; ``directory`` is for page files alone.

    Attributes:
        pages_written, blocks_read: counters since start.
    """

    def __init__(self, files: Files, directory: str, shard: LocalLog) -> None:
        self._files = files
        self._directory = directory
        self._shard = shard
        self._next = 0
        self._is_full = False
        self.pages_written = 0
        self.blocks_read = 0

    def open(self) -> None:
        """Make the directory, or empty it of an earlier life's pages.

        Raises:
            OSError: it cannot be used.
        """
        self._files.make_directory(self._directory)
        for name in self._files.list(self._directory):
            if name.endswith(SUFFIX):
                self._files.unlink(f"{self._directory}/{name}")

    def _path(self, page: int) -> str:
        return f"{self._directory}/{page:012d}{SUFFIX}"

    def write(self, block: Block) -> int:
        """See `Pager.write`."""
        page = self.keep(memoryview(block.data)[: block.used])
        return page

    def keep(self, data: memoryview) -> int:
        """Write ``data`` to a page of its own; returns its number, -1 when the disk does not take it."""
        page = self._next
        path = self._path(page)
        try:
            file = self._files.create(path)
            try:
                file.append([data])
            finally:
                file.close()
        except OSError as error:
            if not self._is_full:
                log.error("%s: cannot write: %s; messages stay in memory", path, error)
            self._is_full = True
            self._remove(path)
            return -1
        self._is_full = False
        self._next += 1
        self.pages_written += 1
        return page

    def load(self, page: int, data: bytearray, size: int) -> bool:
        """Read a page back into ``data[:size]``; False if it cannot be read."""
        path = self._path(page)
        try:
            count = self._files.read_at(path, 0, memoryview(data)[:size])
        except OSError as error:
            log.error("%s: cannot read: %s", path, error)
            return False
        return count == size

    def read(self, block: Block, data: bytearray) -> int:
        """See `Pager.read`."""
        self.blocks_read += 1
        if block.page >= 0:
            return 1 if self.load(block.page, data, block.used) else -1
        if block.place != block.base:
            return self._shard.read_moved(block.place, block.base, data)
        return self._shard.read_back(block.base, data, block.used)

    def forget(self, page: int) -> None:
        """See `Pager.forget`."""
        self._remove(self._path(page))

    def _remove(self, path: str) -> None:
        try:
            if self._files.exists(path):
                self._files.unlink(path)
        except OSError as error:
            log.warning("%s: cannot remove: %s", path, error)
