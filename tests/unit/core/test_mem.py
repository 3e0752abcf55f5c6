"""The byte helpers, interpreted: values, byte order, and that every access is checked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.core import mem

DATA = bytes(range(16))


@pytest.mark.parametrize(
    ("load", "size", "order"),
    [
        (mem.ld16, 2, "big"),
        (mem.ld32, 4, "big"),
        (mem.ld64, 8, "big"),
        (mem.le16, 2, "little"),
        (mem.le32, 4, "little"),
        (mem.le64, 8, "little"),
    ],
)
def test_loads(load: Callable[[bytes, int], int], size: int, order: str) -> None:
    for at in range(16 - size + 1):
        assert load(DATA, at) == int.from_bytes(DATA[at : at + size], order)  # type: ignore[arg-type]
    for at in (-1, 16 - size + 1, 100):
        with pytest.raises(IndexError):
            load(DATA, at)


@pytest.mark.parametrize(
    ("store", "load", "size"),
    [
        (mem.st16, mem.ld16, 2),
        (mem.st32, mem.ld32, 4),
        (mem.st64, mem.ld64, 8),
        (mem.put_le16, mem.le16, 2),
        (mem.put_le32, mem.le32, 4),
        (mem.put_le64, mem.le64, 8),
    ],
)
def test_stores(
    store: Callable[[bytearray, int, int], None], load: Callable[[bytes, int], int], size: int
) -> None:
    for value in (0, 1, 0x0102, (1 << 8 * size) - 1):
        data = bytearray(b"\xaa" * 16)
        store(data, 3, value)
        assert load(bytes(data), 3) == value
        assert data[:3] == b"\xaa" * 3
        assert data[3 + size :] == b"\xaa" * (13 - size)
    for at in (-1, 16 - size + 1):
        with pytest.raises(IndexError):
            store(bytearray(16), at, 1)
    with pytest.raises(OverflowError):
        store(bytearray(16), 0, 1 << 8 * size)


@pytest.mark.parametrize(("target", "source"), [(0, 4), (4, 0), (2, 2)])
def test_copies_overlapping_ranges(target: int, source: int) -> None:
    data = bytearray(DATA)
    mem.copy(data, target, data, source, 8)
    assert data[target : target + 8] == DATA[source : source + 8]


@pytest.mark.parametrize(
    ("do", "so", "n"), [(-1, 0, 1), (0, -1, 1), (9, 0, 8), (0, 9, 8), (0, 0, -1)]
)
def test_refuses_to_copy_outside(do: int, so: int, n: int) -> None:
    with pytest.raises(IndexError):
        mem.copy(bytearray(16), do, DATA, so, n)


def test_compares_and_takes() -> None:
    assert mem.equal(DATA, 3, DATA, 3, 5)
    assert not mem.equal(DATA, 3, DATA, 4, 5)
    assert mem.equal(DATA, 3, b"", 0, 0)
    assert mem.take(DATA, 3, 5) == DATA[3:8]
    for call in (mem.take, mem.hash_bytes):
        with pytest.raises(IndexError):
            call(DATA, 12, 5)
    with pytest.raises(IndexError):
        mem.equal(DATA, 0, DATA, 9, 8)


def test_hashes_by_content() -> None:
    assert mem.hash_bytes(b"xxabc", 2, 3) == mem.hash_bytes(b"abcyy", 0, 3)
    assert 0 <= mem.hash_bytes(DATA, 0, 16) <= 0xFFFFFFFF


def test_words_and_quads_share_the_buffer() -> None:
    data = bytearray(16)
    mem.words(data)[1] = 0x01020304
    assert mem.le32(data, 4) == 0x01020304
    mem.quads(data)[1] = 7
    assert mem.le64(data, 8) == 7
    assert mem.address(data) is data
