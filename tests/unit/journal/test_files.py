"""The contract of the file layer, on the disk and in memory; and what only the one in memory does: forget and fail."""

from __future__ import annotations

import errno
import os
import pathlib
import random
import stat

import pytest

from posthouse.core.errors import DataDirLocked
from posthouse.journal.files import Files
from posthouse.journal.local.disk import DiskFiles
from posthouse.testing.files import PENDING_MAX, MemoryFiles


@pytest.fixture(params=["disk", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> tuple[Files, str]:
    """A file system and a directory in it that is not there yet."""
    if request.param == "disk":
        return DiskFiles(), f"{tmp_path}/data"
    return MemoryFiles(), "/data"


def write(files: Files, path: str, *parts: bytes) -> None:
    file = files.create(path)
    file.append(parts)
    file.datasync()
    file.close()


def test_directories_are_made_with_their_parents(place: tuple[Files, str]) -> None:
    files, root = place
    files.make_directory(f"{root}/a/b")
    files.make_directory(f"{root}/a/b")
    assert files.exists(f"{root}/a/b")
    assert files.list(f"{root}/a") == ["b"]


def test_a_file_grows_at_its_end(place: tuple[Files, str]) -> None:
    files, root = place
    files.make_directory(root)
    write(files, f"{root}/f", b"one", bytearray(b"two"), memoryview(b"three"))
    file = files.open_append(f"{root}/f")
    file.append([b"", b"four"])
    file.append([])
    file.close()
    assert files.read(f"{root}/f") == b"onetwothreefour"


def test_many_and_large_pieces(place: tuple[Files, str]) -> None:
    files, root = place
    files.make_directory(root)
    parts = [bytes([n % 256]) * (n % 7) for n in range(3000)] + [bytes(3_000_000)]
    write(files, f"{root}/f", *parts)
    assert files.read(f"{root}/f") == b"".join(parts)


def test_create_wants_a_new_name_in_a_directory(place: tuple[Files, str]) -> None:
    files, root = place
    with pytest.raises(FileNotFoundError):
        files.create(f"{root}/f")
    files.make_directory(root)
    write(files, f"{root}/f")
    with pytest.raises(FileExistsError):
        files.create(f"{root}/f")


def test_what_is_missing(place: tuple[Files, str]) -> None:
    files, root = place
    files.make_directory(root)
    assert not files.exists(f"{root}/f")
    for call in (files.read, files.open_append, files.unlink):
        with pytest.raises(FileNotFoundError):
            call(f"{root}/f")
    with pytest.raises(FileNotFoundError):
        files.truncate(f"{root}/f", 0)
    with pytest.raises(FileNotFoundError):
        files.rename(f"{root}/f", f"{root}/g")
    with pytest.raises(FileNotFoundError):
        files.list(f"{root}/none")


def test_truncate_rename_unlink(place: tuple[Files, str]) -> None:
    files, root = place
    files.make_directory(root)
    write(files, f"{root}/f", b"0123456789")
    write(files, f"{root}/g", b"old")
    files.truncate(f"{root}/f", 4)
    files.rename(f"{root}/f", f"{root}/g")
    files.sync_directory(root)
    assert files.list(root) == ["g"]
    assert files.read(f"{root}/g") == b"0123"
    files.unlink(f"{root}/g")
    assert files.list(root) == []


def test_list_is_sorted(place: tuple[Files, str]) -> None:
    files, root = place
    files.make_directory(root)
    for name in ("c", "a", "b"):
        write(files, f"{root}/{name}")
    assert files.list(root) == ["a", "b", "c"]


def test_one_lock_at_a_time(place: tuple[Files, str]) -> None:
    files, root = place
    files.make_directory(root)
    lock = files.lock(f"{root}/lock")
    with pytest.raises(DataDirLocked):
        files.lock(f"{root}/lock")
    lock.release()
    files.lock(f"{root}/lock").release()


# ---- the one in memory


def crashes(files: MemoryFiles) -> list[MemoryFiles]:
    return [files.crash(random.Random(seed)) for seed in range(200)]


def test_synced_octets_survive_and_others_may_not() -> None:
    files = MemoryFiles()
    files.make_directory("/d")
    file = files.create("/d/f")
    file.append([b"x" * 2000])
    file.datasync()
    files.sync_directory("/d")
    file.append([b"y" * 2000])
    after = [bytes(f.read("/d/f")) for f in crashes(files)]
    assert all(data.startswith(b"x" * 2000) for data in after)
    sizes = {len(data) for data in after}
    assert {2000, 4000} <= sizes
    assert len(sizes) > 10  # torn in between
    assert any(b"\0" * 512 in data for data in after)  # sectors that never came


def test_names_need_their_directory_synced() -> None:
    files = MemoryFiles()
    files.make_directory("/d")
    files.create("/d/f").datasync()
    assert {f.exists("/d/f") for f in crashes(files)} == {True, False}
    files.sync_directory("/d")
    assert {f.exists("/d/f") for f in crashes(files)} == {True}
    files.rename("/d/f", "/d/g")
    assert {f.exists("/d/g") for f in crashes(files)} == {True, False}
    files.unlink("/d/g")
    files.sync_directory("/d")
    assert {f.exists("/d/f") or f.exists("/d/g") for f in crashes(files)} == {False}


def test_a_crash_leaves_the_present_alone() -> None:
    files = MemoryFiles()
    files.make_directory("/d")
    files.create("/d/f").append([b"x"])
    crashes(files)
    assert files.read("/d/f") == b"x"


def test_one_call_fails_once() -> None:
    files = MemoryFiles()
    files.make_directory("/d")
    file = files.create("/d/f")
    files.fail_at(1, errno.ENOSPC)
    file.append([b"x"])
    with pytest.raises(OSError, match="No space left") as caught:
        file.datasync()
    assert caught.value.errno == errno.ENOSPC
    file.datasync()


def test_what_a_failed_sync_gave_up_no_later_one_brings_back() -> None:
    """As on Linux since ever: the pages are clean afterwards, and the next sync says that all is well."""
    files = MemoryFiles()
    files.make_directory("/d")
    file = files.create("/d/f")
    files.sync_directory("/d")
    file.append([b"a" * 100])
    file.datasync()
    file.append([b"b" * 100])
    files.fail_at(0)
    with pytest.raises(OSError, match="Input/output"):
        file.datasync()
    file.append([b"c" * 100])
    file.datasync()
    after = {bytes(f.read("/d/f")) for f in crashes(files)}
    assert b"a" * 100 + bytes(100) + b"c" * 100 in after
    assert b"a" * 100 + b"b" * 100 + b"c" * 100 in after
    assert all(data[:100] == b"a" * 100 and data[200:] == b"c" * 100 for data in after)


def test_unsynced_writes_come_in_any_order() -> None:
    files = MemoryFiles()
    files.make_directory("/d")
    file = files.create("/d/f")
    files.sync_directory("/d")
    for letter in (b"a", b"b", b"c"):
        file.append([letter * 512])
    after = {bytes(f.read("/d/f")) for f in crashes(files)}
    assert bytes(1024) + b"c" * 512 in after
    assert b"a" * 512 + bytes(512) + b"c" * 512 in after
    assert b"a" * 512 + b"b" * 512 in after
    assert b"" in after


def test_a_cut_is_durable_and_writes_behind_it_are_not() -> None:
    files = MemoryFiles()
    files.make_directory("/d")
    write(files, "/d/f", b"0123456789")
    files.sync_directory("/d")
    file = files.open_append("/d/f")
    file.append([b"torn"])
    files.truncate("/d/f", 10)
    file.append([b"new"])
    after = {bytes(f.read("/d/f")) for f in crashes(files)}
    assert all(data.startswith(b"0123456789") for data in after)
    assert all(set(data[10:]) <= set(b"new\0") for data in after)


def test_a_synced_file_without_a_synced_name_may_be_missing_and_so_may_a_rename() -> None:
    files = MemoryFiles()
    files.make_directory("/d")
    write(files, "/d/f", b"old")
    files.sync_directory("/d")
    write(files, "/d/f.new", b"fresh")
    files.rename("/d/f.new", "/d/f")
    after = [(bytes(f.read("/d/f")), f.exists("/d/f.new")) for f in crashes(files)]
    assert set(after) == {(b"old", True), (b"old", False), (b"fresh", False)}


def test_the_oldest_unsynced_operations_reach_the_disk_by_themselves() -> None:
    files = MemoryFiles()
    files.make_directory("/d")
    file = files.create("/d/f")
    for _ in range(PENDING_MAX + 10):
        file.append([b"x"])
    assert all(len(f.read("/d/f")) >= 10 for f in crashes(files))


def test_files_and_directories_are_the_owners_alone(tmp_path: pathlib.Path) -> None:
    """Whatever the umask of the process is."""
    before = os.umask(0)
    try:
        files = DiskFiles()
        files.make_directory(str(tmp_path / "a" / "b"))
        files.create(str(tmp_path / "a" / "b" / "file")).close()
        files.reserve(str(tmp_path / "a" / "b" / "reserve"), 4096)
        files.lock(str(tmp_path / "a" / "b" / "lock")).release()
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "a").rglob("*")}
    assert modes == {"b": 0o700, "file": 0o600, "reserve": 0o600, "lock": 0o600}
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700


def test_no_name_leads_elsewhere(tmp_path: pathlib.Path) -> None:
    """A symbolic link in the place of a file of ours is not followed, to read or to write."""
    target = tmp_path / "target"
    target.write_bytes(b"somebody else's")
    link = tmp_path / "link"
    link.symlink_to(target)
    files = DiskFiles()
    path = str(link)
    for attempt in (
        lambda: files.create(path),
        lambda: files.open_append(path),
        lambda: files.reserve(path, 10),
        lambda: files.truncate(path, 0),
        lambda: files.read(path),
        lambda: files.read_at(path, 0, memoryview(bytearray(4))),
        lambda: files.lock(path),
    ):
        with pytest.raises(OSError, match=r"."):
            attempt()
    assert target.read_bytes() == b"somebody else's"
