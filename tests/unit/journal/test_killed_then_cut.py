"""The process is killed, starts again, and then the power goes: what the first one had not synced is the second one's affair (P9)."""

from __future__ import annotations

import pytest

from posthouse.testing.files import MemoryFiles
from posthouse.testing.medium import DROPPED
from tests.support.journals import SEGMENT, Store


class Killed(BaseException):
    """The process ends here."""


def cut(files: MemoryFiles) -> MemoryFiles:
    """After a power cut of which nothing survives that was not synced."""
    medium = files.medium()
    return MemoryFiles.of(medium.survivor([DROPPED] * len(medium.pending)))


@pytest.mark.parametrize("size", [10, SEGMENT - 100, 3 * SEGMENT])
def test_what_a_start_found_unsynced_is_durable_once_it_is_open(size: int) -> None:
    files = MemoryFiles()
    store = Store(files).open()
    store.append(b"x" * size)
    store.journal.commit()
    store.step.write()
    again = Store(files.kill()).open()
    assert again.bodies() == [b"x" * size]
    third = Store(cut(files)).open()
    assert third.bodies() == [b"x" * size]
    assert not third.journal.reports["shard"].damaged


@pytest.mark.parametrize("name", ["sync_directory", "append", "datasync"])
def test_what_is_confirmed_in_a_segment_that_a_killed_process_made_is_kept(name: str) -> None:
    files = MemoryFiles()
    store = Store(files).open()
    store.append(b"first" * 700)
    store.journal.commit()
    store.step.stop()

    def die(call: str, path: str) -> None:
        if call == name and "shard" in path and len(files.list("/data/shard")) > 1:
            raise Killed

    store.append(b"second" * 700)
    store.journal.commit()
    files.on_call = lambda call, path: None if call == "list" else die(call, path)
    with pytest.raises(Killed):
        store.step.stop()
    files.on_call = lambda _, __: None
    again = Store(files.kill()).open()
    again.append(b"third")
    again.journal.commit()
    again.step.stop()
    assert again.done == 1
    third = Store(cut(files)).open()
    assert third.bodies()[0] == b"first" * 700
    assert third.bodies()[-1] == b"third"
    assert not third.journal.reports["shard"].damaged


@pytest.mark.parametrize("count", range(8))
def test_what_is_confirmed_is_kept_where_directories_were_made_by_a_killed_process(
    count: int,
) -> None:
    files = MemoryFiles()
    left = count

    def die(call: str, _path: str) -> None:
        nonlocal left
        if call == "sync_directory":
            left -= 1
            if left < 0:
                raise Killed

    files.on_call = die
    with pytest.raises(Killed):
        Store(files).open()
    files.on_call = lambda _, __: None
    store = Store(files.kill()).open()
    store.append(b"confirmed")
    store.journal.commit()
    store.step.stop()
    assert store.done == 1
    assert Store(cut(files)).open().bodies() == [b"confirmed"]
