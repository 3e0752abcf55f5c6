"""Every I/O call of a session fails once, with EIO and with ENOSPC: nothing is reported that is not there afterwards."""

from __future__ import annotations

import errno
import random

import pytest

from posthouse.testing.files import MemoryFiles
from tests.support.journals import Store


def session(files: MemoryFiles) -> tuple[list[bytes], dict[str, int], Store | None]:
    """Open, write, trim, stop; returns what was reported as durable until something failed."""
    messages: dict[int, list[bytes]] = {}
    rows: dict[int, int] = {}
    store = Store(files)
    try:
        store.open()
        for turn in range(12):
            bodies = [b"%d.%d:" % (turn, n) + bytes(500) for n in range(2)]
            for body in bodies:
                store.append(body)
            store.journal.table.put("row", ("k",), {"n": turn})
            number = store.journal.commit()
            messages[number] = bodies
            rows[number] = turn
            store.step.write()
            if turn % 3 == 2:
                store.step.sync()
        store.journal.stop()
    except OSError:
        pass  # at opening: the broker does not start, and says why
    done = [body for number, bodies in messages.items() if number <= store.done for body in bodies]
    row = max([turn for number, turn in rows.items() if number <= store.done], default=-1)
    return done, {"k": row}, store


def calls_of_a_session() -> int:
    files = MemoryFiles()
    done, rows, _ = session(files)
    assert len(done) == 24
    assert rows == {"k": 11}
    return files.calls


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_no_call_that_fails_makes_a_false_report(number: int) -> None:
    total = calls_of_a_session()
    assert total > 40
    reported = 0
    for call in range(total):
        files = MemoryFiles()
        files.fail_at(call, number)
        done, rows, store = session(files)
        assert store is not None
        reported += len(done)
        assert len(done) == 24 or store.failures or files.calls <= total
        for seed in range(4):
            again = Store(files.crash(random.Random(seed))).open()
            found = again.bodies()
            assert found[: len(done)] == done, f"call {call}, crash {seed}"
            row = again.journal.table.get("row", ("k",))
            assert row is None or row["n"] >= rows["k"]
            assert row is not None or rows["k"] < 0
    assert reported > 0


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


@pytest.mark.parametrize("seed", range(10))
def test_a_failed_opening_can_be_repeated(seed: int) -> None:
    """Each call of an opening fails once, the power goes, and the next opening finds everything."""
    whole = MemoryFiles()
    done, _, _ = session(whole)
    whole = whole.crash(random.Random(seed))
    probe = whole.crash(random.Random(0))
    Store(probe).open()
    for call in range(probe.calls):
        files = whole.crash(random.Random(0))
        files.fail_at(call)
        with pytest.raises(OSError, match="Input/output"):
            Store(files).open()
        assert Store(files.crash(random.Random(seed))).open().bodies() == done
