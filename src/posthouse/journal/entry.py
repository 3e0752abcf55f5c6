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
RECORD_HEADER = 24
KIND_ENQ = 1
KIND_ACK = 2
KIND_MOVE = 3
KIND_DEF = 6
# Typed constants: a literal in an expression would make Cython compute with objects.
ALIGN_4 = ~3
ALIGN_8 = ~7


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
    position = mem.le64(p, at + 16)
    if unsynced == UNKNOWN or unsynced > position:
        return 0
    return position - unsynced


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
    if not frames_fit(p, at + HEADER_SIZE, end):
        return BAD
    return end - at


def record_fits(p: bytearray, at: int, end: int) -> bool:
    """Whether what stands at ``p[at:end]`` begins with a message's record that is as long as its parts.

    Whoever reads records does not look again, so nothing that is not one may pass, whatever its checksum says.
    """
    if end - at < RECORD_HEADER:
        return False
    size = mem.le32(p, at)
    if size < RECORD_HEADER or size & 7 or size > end - at:
        return False
    route = mem.le16(p, at + 6)
    parts = RECORD_HEADER + route
    parts += mem.le32(p, at + 8)
    parts += mem.le32(p, at + 12)
    parts = (parts + 3) & ALIGN_4
    if parts > size or mem.le32(p, at + 16) > (size - parts) >> 2:
        return False
    exchange = p[at + RECORD_HEADER]
    if exchange + 2 > route:
        return False
    return exchange + 2 + p[at + RECORD_HEADER + 1 + exchange] == route


def move_fits(p: bytearray, at: int, end: int) -> bool:
    """The same for a MOVE frame that ends at ``end``."""
    if end - at < RECORD_HEADER:
        return False
    run = mem.le32(p, at + 16)
    count = mem.le32(p, at + 20)
    if count > (end - at - RECORD_HEADER) >> 2:
        return False
    record = at + RECORD_HEADER + ((4 * count + 7) & ALIGN_8)
    for i in range(count):
        if not record_fits(p, record, end) or p[record + 4] != KIND_ENQ:
            return False
        size = mem.le32(p, record)
        if size > run or mem.le32(p, at + RECORD_HEADER + 4 * i) > run - size:
            return False
        record += size
    return record <= end


def frames_fit(p: bytearray, at: int, end: int) -> bool:
    """Whether the frames at ``p[at:end]`` fill it and are as long as their parts; kinds that are not known need only a size."""
    while at < end:
        if end - at < 8:
            return False
        size = mem.le32(p, at)
        if size < 8 or size & 7 or size > end - at:
            return False
        kind = p[at + 4]
        if kind == KIND_ENQ:
            if not record_fits(p, at, at + size):
                return False
        elif kind == KIND_ACK:
            if size < 16 or mem.le32(p, at + 12) > (size - 16) >> 4:
                return False
        elif kind == KIND_MOVE:
            if not move_fits(p, at, at + size):
                return False
        elif kind == KIND_DEF:
            if size < 12 or mem.le32(p, at + 8) > size - 12:
                return False
        at += size
    return True


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
