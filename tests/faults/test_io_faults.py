"""Each I/O call fails once: with EIO, with ENOSPC, with EMFILE (C7; P12, P13). Nothing is reported that is not there afterwards.

Over the whole broker in process (`tests.support.io_faults`; `python -m tests.torture io-faults` has every call of many loads fail). What a
journal alone shows better is here as well: that a failure is final, and that an opening may be repeated.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator

import pytest

from posthouse.journal.local.log import LocalLog
from posthouse.testing.files import MemoryFiles
from tests.support.io_faults import EXPENDABLE, FINISHED, STOPPED, Fault, try_all
from tests.support.journals import Store

STEPS = 30


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EMFILE])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_call_that_fails_makes_a_false_confirm(seed: int, number: int) -> None:
    figures = try_all(seed, 20, [number], first=number % 2, stride=2)
    print(figures)
    assert figures["points"] > 50
    assert figures[FINISHED] > 3
    assert figures[STOPPED] > 3


def faults_at(name: str, directories: tuple[str, ...], number: int) -> Iterator[Fault]:
    """The first load with each of these calls failing; to be run."""
    calls: list[int] = []
    probe = Fault(4, -1, number)
    probe.files.on_call = lambda what, path: (
        calls.append(probe.files.calls) if what == name and path.startswith(directories) else None
    )
    probe.run(STEPS)
    return (Fault(4, call, number) for call in calls)


def ends_of(faults: Iterator[Fault]) -> list[str]:
    """How they end."""
    ends = []
    for fault in faults:
        fault.run(STEPS)
        ends.append(fault.end)
    return ends


@pytest.mark.slow
def test_a_full_disk_at_an_append_costs_nothing() -> None:
    """What was written of it is cut off, and written again when there is space: the load goes on, all of it is confirmed."""
    ends = ends_of(faults_at("append", ("/data/shard",), errno.ENOSPC))
    assert len(ends) > 10
    assert ends.count(FINISHED) > 0.9 * len(ends)  # the rest: the claim of an opening


@pytest.mark.slow
def test_a_snapshot_or_page_that_cannot_be_written_costs_only_itself() -> None:
    ends = ends_of(faults_at("append", EXPENDABLE, errno.EIO))
    assert len(ends) > 3
    assert set(ends) == {FINISHED}


@pytest.mark.slow
def test_a_log_that_syncs_once_more_after_a_failure_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control: what everybody did until 2018."""
    sync = LocalLog.sync

    def sync_twice(log: LocalLog) -> None:
        try:
            sync(log)
        except OSError:
            sync(log)

    faults = faults_at("datasync", ("/data/shard",), errno.EIO)
    monkeypatch.setattr(LocalLog, "sync", sync_twice)
    found = []
    for fault in faults:
        with pytest.raises(AssertionError) as broken:
            fault.run(STEPS)
        found.append("was confirmed and is lost" in str(broken.value))
    assert any(found)


def test_after_a_failure_nothing_more_is_reported() -> None:
    """Not even if the next sync succeeds: the kernel may have dropped what it could not write (P12)."""
    files = MemoryFiles()
    store = Store(files).open()
    store.append(b"lost")
    store.journal.commit()
    store.step.write()
    files.fail_at(0)
    store.step.sync()
    assert [error.errno for error in store.failures] == [errno.EIO]
    store.append(b"later")
    store.journal.commit()
    store.step.write()
    store.step.sync()
    assert store.done == 0
    assert len(store.failures) == 1
    assert store.journal.has_failed


def stored() -> tuple[MemoryFiles, list[bytes]]:
    """A journal with a dozen segments, stopped in good order, and what is in it."""
    files = MemoryFiles()
    store = Store(files).open()
    bodies = [b"%d:" % turn + bytes(1000) for turn in range(24)]
    for turn, body in enumerate(bodies):
        store.append(body)
        store.journal.table.put("row", ("k",), {"n": turn})
        store.journal.commit()
        store.step.stop()
    store.journal.stop()
    return files, bodies


@pytest.mark.parametrize("seed", range(10))
def test_a_failed_opening_can_be_repeated(seed: int) -> None:
    """Each call of an opening fails once, the power goes, and the next opening finds everything."""
    whole, bodies = stored()
    probe = whole.crash(random.Random(0))
    Store(probe).open()
    assert probe.calls > 20
    for call in range(probe.calls):
        files = whole.crash(random.Random(0))
        files.fail_at(call)
        with pytest.raises(OSError, match="Input/output"):
            Store(files).open()
        assert Store(files.crash(random.Random(seed))).open().bodies() == bodies
