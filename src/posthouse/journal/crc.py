"""CRC-32C (Castagnoli, RFC 3720 B.4) for kernels, in its interpreted form; ``crc.pxd`` is the compiled one."""

from __future__ import annotations


def _table() -> list[int]:
    rows = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        rows.append(n)
    return rows


_ROWS = _table()


def crc32c(p: bytes | bytearray | memoryview, o: int, n: int, seed: int) -> int:
    """The checksum of ``n`` bytes at ``p[o]``, continuing from ``seed`` (0 to start)."""
    crc = seed ^ 0xFFFFFFFF
    rows = _ROWS
    for octet in bytes(p[o : o + n]):
        crc = crc >> 8 ^ rows[(crc ^ octet) & 255]
    return crc ^ 0xFFFFFFFF
