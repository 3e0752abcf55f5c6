"""Entries of a log on disk: sealing their checksum, and finding the good ones in a segment's bytes.

Layout in ``docs/format/journal.md``. An entry is good when its magic, version, length and CRC-32C are right, its LSN is
the position it stands at, and its epoch is that of the newest claim before it. Kernel: compiled with ``entry.pxd``.
"""

from __future__ import annotations

from posthouse.core import mem
from posthouse.journal import crc

MAGIC = 0x31454850  # "PHE1"
VERSION = 1
HEADER_SIZE = 40
FLAG_CLAIM = 1
UNKNOWN = 0xFFFFFFFF
INCOMPLETE = 0
BAD = -1


def checksum(data: bytearray, start: int, end: int) -> int:
    """CRC-32C of an entry: all of it but the checksum."""
    p = mem.address(data)
    seed = crc.crc32c(p, start, 32, 0)
    return crc.crc32c(p, start + 36, end - start - 36, seed)


def crc_of(data: bytearray, start: int, end: int) -> int:
    """CRC-32C of ``data[start:end]``."""
    return crc.crc32c(mem.address(data), start, end - start, 0)


def finish(data: bytearray, start: int, end: int, unsynced: int) -> None:
    """Store what only the committer knows into a sealed entry's header: ``unsynced`` octets before it, and the checksum.

    ``unsynced`` is how far the position that the log was synced up to lies behind the entry; -1 if that is not known.
    """
    p = mem.address(data)
    if unsynced < 0 or unsynced > UNKNOWN:
        unsynced = UNKNOWN
    mem.put_le32(p, start + 36, unsynced)
    mem.put_le32(p, start + 32, checksum(data, start, end))


def synced_to(data: bytearray, at: int) -> int:
    """Up to which position the log was synced when the good entry at ``data[at]`` was written; 0 if that is not known."""
    p = mem.address(data)
    unsynced = mem.le32(p, at + 36)
    if unsynced == UNKNOWN:
        return 0
    return mem.le64(p, at + 16) - unsynced


def measure(data: bytearray, at: int, size: int, lsn: int) -> int:
    """The length of the good entry at ``data[at]`` of position ``lsn``; `INCOMPLETE` or `BAD` otherwise.

    ``size`` is how much of ``data`` is meaningful. The epoch is the caller's business.
    """
    p = mem.address(data)
    if size - at < HEADER_SIZE:
        return INCOMPLETE
    if mem.le32(p, at) != MAGIC or mem.le16(p, at + 4) & 255 != VERSION:
        return BAD
    if mem.le64(p, at + 16) != lsn:
        return BAD
    length = mem.le32(p, at + 24)
    if length & 7:
        return BAD
    if size - at - HEADER_SIZE < length:
        return INCOMPLETE
    end = at + HEADER_SIZE + length
    if mem.le32(p, at + 32) != checksum(data, at, end):
        return BAD
    return end - at


def scan(
    data: bytearray, at: int, size: int, base: int, epoch: int
) -> tuple[list[tuple[int, int]], int, int]:
    """The good entries from ``data[at]`` on, up to the first that is not good.

    ``base`` is the log position of ``data[0]``; ``epoch`` that of the newest claim so far, -1 for "the first entry decides".
    Returns the (start, end) pairs, the offset where it stopped, and the epoch reached.
    """
    p = mem.address(data)
    found = []
    while at < size:
        length = measure(data, at, size, base + at)
        if length <= 0:
            break
        entry_epoch = mem.le64(p, at + 8)
        if epoch < 0 or (p[at + 5] & FLAG_CLAIM and entry_epoch > epoch):
            epoch = entry_epoch
        elif entry_epoch != epoch:
            break
        found.append((at, at + length))
        at += length
    return found, at, epoch


def unpack_move(found: bytearray, data: bytearray) -> None:
    """Copy the records of the MOVE frame in the good entry ``found`` to their offsets in ``data``."""
    p = mem.address(found)
    d = mem.address(data)
    at = HEADER_SIZE + 24
    count = mem.le32(p, HEADER_SIZE + 20)
    record = at + ((4 * count + 7) & ~7)
    for i in range(count):
        offset = mem.le32(p, at + 4 * i)
        size = mem.le32(p, record)
        if offset + size <= len(data) and record + size <= len(found):
            mem.copy(d, offset, p, record, size)
        record += size
