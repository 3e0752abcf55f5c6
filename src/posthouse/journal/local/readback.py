"""Octets of a log that left memory: read again from its segments, and checked again. Loop thread only."""

from __future__ import annotations

import bisect
import logging
from collections.abc import Sequence

from posthouse.journal import entry
from posthouse.journal.constants import ENTRY_HEADER_SIZE
from posthouse.journal.files import Files
from posthouse.journal.local.segments import segment_name
from posthouse.journal.local.survey import find_good
from posthouse.journal.recovered import RecoveryReport

log = logging.getLogger(__name__)


class ReadBack:
    """Reads what was written and is not trimmed. ``bases`` are always the positions of the segments at that moment.

    Damage goes to ``report``, and to the log.
    """

    def __init__(self, files: Files, directory: str, report: RecoveryReport) -> None:
        self._files = files
        self._directory = directory
        self._report = report

    def _path(self, base: int) -> str:
        return f"{self._directory}/{segment_name(base)}"

    def read(self, bases: Sequence[int], base: int, data: bytearray, size: int) -> int:
        """Read the ``size`` octets at position ``base``, whole entries, into ``data``, and check them.

        Loop thread; the octets were written and are not trimmed. Returns as `posthouse.journal.block.Pager.read`: what is
        damaged is zeroed, reported, and its file set aside.
        """
        position, end = base, base + size
        view = memoryview(data)
        n = bisect.bisect_right(bases, base) - 1
        try:
            while position < end:
                limit = min(end, bases[n + 1]) if n + 1 < len(bases) else end
                part = view[position - base : limit - base]
                count = self._files.read_at(self._path(bases[n]), position - bases[n], part)
                part[count:] = bytes(len(part) - count)
                position = limit
                n += 1
        except OSError as error:
            log.error("%s: cannot read position %d: %s", self._directory, position, error)
            return -1
        finally:
            view.release()
        return 0 if self._blank_damage(bases, base, data, size) else 1

    def read_moved(self, bases: Sequence[int], place: int, base: int, data: bytearray) -> int:
        """Put the records that the MOVE frame in the entry at ``place`` holds into ``data``, which begins at position ``base``.

        As `read`; what was not moved stays zero.
        """
        first = bases[bisect.bisect_right(bases, place) - 1]
        path, offset = self._path(first), place - first
        try:
            head = bytearray(ENTRY_HEADER_SIZE)
            self._files.read_at(path, offset, memoryview(head))
            # A damaged length must not make us take memory for it.
            most = max(0, self._files.size(path) - offset - len(head))
            found = head + bytes(min(int.from_bytes(head[24:28], "little"), most))
            self._files.read_at(path, offset, memoryview(found))
        except OSError as error:
            log.error("%s: cannot read position %d: %s", self._directory, place, error)
            return -1
        data[:] = bytes(len(data))
        if entry.measure(found, 0, len(found), place) == len(found):
            entry.unpack_move(found, data)
            return 1
        log.error("%s: damage at position %d, %d octets", self._directory, place, len(found))
        self._report.damaged.append((self._directory, place, len(found)))
        self._try_set_aside(path)
        return 0

    def _blank_damage(self, bases: Sequence[int], base: int, data: bytearray, size: int) -> bool:
        """Zero what is not a good entry; whether there was any."""
        at, is_damaged = 0, False
        while True:
            _, at, _ = entry.scan(data, at, size, base, -1)
            if at >= size:
                return is_damaged
            resume = find_good(data, at, base, 0)
            resume = resume if 0 <= resume < size else size
            log.error(
                "%s: damage at position %d, %d octets", self._directory, base + at, resume - at
            )
            self._report.damaged.append((self._directory, base + at, resume - at))
            self._try_set_aside(self._path(bases[bisect.bisect_right(bases, base + at) - 1]))
            data[at:resume] = bytes(resume - at)
            at, is_damaged = resume, True

    def _try_set_aside(self, path: str) -> None:
        """Messages are being served: they do not wait for a disk that refuses a copy."""
        try:
            set_aside(self._files, path, None)
        except OSError as error:
            log.error("%s: cannot keep a copy of the damaged file: %s", path, error)


def set_aside(files: Files, path: str, data: bytearray | None) -> None:
    """Keep a copy of a damaged file, whose content is ``data`` if that is known, before anything changes it.

    Raises:
        OSError: it cannot be kept.
    """
    aside = path + ".damaged"
    if files.exists(aside):
        return
    content = files.read(path) if data is None else data
    file = files.create(aside)
    file.append([content])
    file.datasync()
    file.close()
    files.sync_directory(path.rpartition("/")[0])
