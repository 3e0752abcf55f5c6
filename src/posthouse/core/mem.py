"""Byte helpers for kernels, in their interpreted form.

The compiled kernels use ``mem.pxd`` instead, where the same names are C inline functions over
pointers; this module is what they mean, with bounds checks. ``be`` reads and writes network order (wire),
``le`` little-endian (log). It imports nothing and is not compiled itself.
"""

from __future__ import annotations

from typing import TypeAlias

Readable: TypeAlias = "bytes | bytearray | memoryview"
Writable: TypeAlias = "bytearray | memoryview"


def _check(p: Readable, o: int, n: int) -> None:
    if o < 0 or n < 0 or o + n > len(p):
        raise IndexError(f"{n} bytes at {o} are outside a buffer of {len(p)}")


def ld16(p: Readable, o: int) -> int:
    """Big-endian u16 at offset ``o``."""
    _check(p, o, 2)
    return int.from_bytes(p[o : o + 2], "big")


def ld32(p: Readable, o: int) -> int:
    """Big-endian u32 at offset ``o``."""
    _check(p, o, 4)
    return int.from_bytes(p[o : o + 4], "big")


def ld64(p: Readable, o: int) -> int:
    """Big-endian u64 at offset ``o``."""
    _check(p, o, 8)
    return int.from_bytes(p[o : o + 8], "big")


def st16(p: Writable, o: int, v: int) -> None:
    """Store big-endian u16."""
    _check(p, o, 2)
    p[o : o + 2] = v.to_bytes(2, "big")


def st32(p: Writable, o: int, v: int) -> None:
    """Store big-endian u32."""
    _check(p, o, 4)
    p[o : o + 4] = v.to_bytes(4, "big")


def st64(p: Writable, o: int, v: int) -> None:
    """Store big-endian u64."""
    _check(p, o, 8)
    p[o : o + 8] = v.to_bytes(8, "big")


def le16(p: Readable, o: int) -> int:
    """Little-endian u16 at offset ``o``."""
    _check(p, o, 2)
    return int.from_bytes(p[o : o + 2], "little")


def le32(p: Readable, o: int) -> int:
    """Little-endian u32 at offset ``o``."""
    _check(p, o, 4)
    return int.from_bytes(p[o : o + 4], "little")


def le64(p: Readable, o: int) -> int:
    """Little-endian u64 at offset ``o``."""
    _check(p, o, 8)
    return int.from_bytes(p[o : o + 8], "little")


def put_le16(p: Writable, o: int, v: int) -> None:
    """Store little-endian u16."""
    _check(p, o, 2)
    p[o : o + 2] = v.to_bytes(2, "little")


def put_le32(p: Writable, o: int, v: int) -> None:
    """Store little-endian u32."""
    _check(p, o, 4)
    p[o : o + 4] = v.to_bytes(4, "little")


def put_le64(p: Writable, o: int, v: int) -> None:
    """Store little-endian u64."""
    _check(p, o, 8)
    p[o : o + 8] = v.to_bytes(8, "little")


def copy(d: Writable, do: int, s: Readable, so: int, n: int) -> None:
    """Copy ``n`` bytes from ``s[so]`` to ``d[do]``; the ranges may overlap."""
    _check(d, do, n)
    _check(s, so, n)
    d[do : do + n] = bytes(s[so : so + n])


def equal(a: Readable, ao: int, b: Readable, bo: int, n: int) -> bool:
    """Whether ``n`` bytes at ``a[ao]`` and ``b[bo]`` are the same."""
    _check(a, ao, n)
    _check(b, bo, n)
    return bytes(a[ao : ao + n]) == bytes(b[bo : bo + n])


def hash_bytes(p: Readable, o: int, n: int) -> int:
    """A 32-bit hash of ``n`` bytes at ``o``; only stable within one process."""
    _check(p, o, n)
    return hash(bytes(p[o : o + n])) & 0xFFFFFFFF


def take(p: Readable, o: int, n: int) -> bytes:
    """A ``bytes`` copy of ``n`` bytes at ``o``."""
    _check(p, o, n)
    return bytes(p[o : o + n])


def address(b: bytearray) -> bytearray:
    """The buffer as kernels walk it: the bytearray itself here, ``unsigned char *`` when compiled."""
    return b


def words(b: bytearray) -> memoryview:
    """The buffer as native u32 words: a memoryview here, ``unsigned int *`` when compiled."""
    return memoryview(b).cast("I")


def quads(b: bytearray) -> memoryview:
    """The buffer as native u64 words: a memoryview here, ``unsigned long long *`` when compiled."""
    return memoryview(b).cast("Q")
