"""Opening a log: torn tails at every octet, damage in the middle, claims, trimming."""

from __future__ import annotations

import random

import pytest

from posthouse.core.errors import StorageError
from posthouse.journal.local.segments import segment_name
from posthouse.testing.files import MemoryFiles
from tests.support.journals import Store

SHARD = "/data/shard/"
FIRST = SHARD + segment_name(0)


def stored(*bodies: bytes) -> tuple[MemoryFiles, list[int]]:
    """A log with an entry for each body, closed; and the sizes of the file after each."""
    files = MemoryFiles()
    store = Store(files).open()
    sizes = [len(files.read(FIRST))]
    for body in bodies:
        store.append(body)
        store.journal.commit()
        store.step.stop()
        sizes.append(len(files.read(FIRST)))
    assert store.done == len(bodies)
    return files, sizes


def replaced(files: MemoryFiles, path: str, data: bytes) -> MemoryFiles:
    """The same file system with other contents in one file."""
    copy = files.crash(random.Random(0))
    copy.names[path].data[:] = data
    copy.names[path].durable = bytes(data)
    return copy


BODIES = [b"first", b"second" * 9, b"", b"third", b"x" * 70]


@pytest.mark.parametrize("rest", ["cut", "zeros", "ones", "noise"])
def test_a_torn_tail_is_cut_at_every_octet(rest: str) -> None:
    """All whole entries come back, nothing else, and what is appended then is there at the next two openings."""
    files, sizes = stored(*BODIES)
    whole = bytes(files.read(FIRST))
    noise = random.Random(7)
    for cut in range(sizes[2], len(whole)):
        missing = len(whole) - cut
        tail = {
            "cut": b"",
            "zeros": bytes(missing),
            "ones": b"\xff" * missing,
            "noise": noise.randbytes(missing),
        }[rest]
        data = whole[:cut] + tail
        copy = replaced(files, FIRST, data)
        # By content: what was cut off may have been zeros, too.
        ends = [size for size in sizes if data[:size] == whole[:size] and size <= len(data)]
        kept = BODIES[: len(ends) - 1]
        store = Store(copy).open()
        assert store.bodies() == kept
        report = store.journal.reports["shard"]
        assert report.is_clean == (len(data) == ends[-1])
        assert not report.damaged
        store.append(b"later")
        store.journal.stop()
        for _ in range(2):
            store = Store(copy).open()
            assert store.bodies() == [*kept, b"later"]
            assert store.journal.reports["shard"].is_clean
            store.journal.stop()


def test_a_tail_that_is_right_by_chance_but_not_ours() -> None:
    """An entry of an older epoch behind the end: the log was cut there once and goes on elsewhere."""
    files, sizes = stored(*BODIES)
    whole = bytes(files.read(FIRST))
    shorter = replaced(files, FIRST, whole[: sizes[3]])
    store = Store(shorter).open()
    store.append(b"new")
    store.journal.stop()
    now = bytes(shorter.read(FIRST))
    both = replaced(files, FIRST, now + whole[len(now) :])
    assert Store(both).open().bodies() == [*BODIES[:3], b"new"]


@pytest.mark.parametrize("octet", [0, 5, 8, 17, 25, 29, 33, 41, 60])
def test_damage_in_the_middle_is_reported_and_the_rest_served(octet: int) -> None:
    files, sizes = stored(*BODIES)
    data = bytearray(files.read(FIRST))
    data[sizes[1] + octet] ^= 0x40
    copy = replaced(files, FIRST, bytes(data))
    for _ in range(2):
        store = Store(copy).open()
        assert store.bodies() == [BODIES[0], *BODIES[2:]]
        report = store.journal.reports["shard"]
        assert report.damaged == [(segment_name(0), sizes[1], sizes[2] - sizes[1])]
        assert not report.torn
        store.journal.stop()
        # The damaged file is kept as it was.
        assert copy.read(FIRST + ".damaged")[: len(data)] == data


def written_at_once() -> tuple[MemoryFiles, list[int]]:
    """A log whose last three messages were written, each in an entry, and not synced; and where each begins."""
    files, _sizes = stored(*BODIES[:2])
    store = Store(files.crash(random.Random(0))).open()
    starts = []
    for body in BODIES[2:]:
        starts.append(store.journal._shard.buffer.position)
        store.append(body)
        store.journal.commit()
    store.step.write()
    assert isinstance(store.files, MemoryFiles)
    return store.files, starts


@pytest.mark.parametrize("lost", [0, 1])
def test_a_hole_in_what_was_never_synced_is_the_end(lost: int) -> None:
    """A power cut leaves writes in any order: a later one may be there without an earlier one (P10)."""
    files, starts = written_at_once()
    data = bytearray(files.read(FIRST))
    data[starts[lost] : starts[lost + 1]] = bytes(starts[lost + 1] - starts[lost])
    copy = replaced(files, FIRST, bytes(data))
    store = Store(copy).open()
    assert store.bodies() == BODIES[: 2 + lost]
    report = store.journal.reports["shard"]
    assert report.torn == [(segment_name(0), starts[lost], len(data) - starts[lost])]
    assert not report.damaged
    store.append(b"new")
    store.journal.stop()
    assert Store(copy).open().bodies() == [*BODIES[: 2 + lost], b"new"]


def test_damage_before_what_was_never_synced_is_still_damage() -> None:
    files, starts = written_at_once()
    data = bytearray(files.read(FIRST))
    first = data.index(BODIES[0]) - 40 - 24 - 4  # headers of entry and record, route, properties
    data[first] ^= 1
    data[starts[1]] ^= 1
    store = Store(replaced(files, FIRST, bytes(data))).open()
    assert store.bodies() == BODIES[1:3]
    report = store.journal.reports["shard"]
    assert [start for _, start, _ in report.damaged] == [first]
    assert [start for _, start, _ in report.torn] == [starts[1]]


def test_an_idle_log_says_once_that_it_is_durable() -> None:
    """So damage at its end is not taken for a torn tail."""
    files, _ = stored(*BODIES)
    store = Store(files.crash(random.Random(0))).open()
    assert not store.journal.mark()  # what was there is looked at first
    assert store.journal.mark()
    store.journal.commit()
    store.step.stop()
    assert [store.journal.mark() for _ in range(3)] == [False] * 3
    store.append(b"one")
    store.append(b"two")
    store.journal.commit()
    assert not store.journal.mark()  # not durable yet
    store.step.stop()
    assert [store.journal.mark() for _ in range(2)] == [False, True]
    store.journal.commit()
    store.step.stop()
    assert isinstance(store.files, MemoryFiles)
    data = bytearray(store.files.read(FIRST))
    data[data.index(b"one")] ^= 1
    again = Store(replaced(store.files, FIRST, bytes(data))).open()
    assert again.bodies() == BODIES
    assert again.journal.reports["shard"].damaged
    assert not again.journal.reports["shard"].torn


def two_openings() -> tuple[MemoryFiles, int, int]:
    """Messages of two epochs in one segment; where the second claim stands and where it ends."""
    files, sizes = stored(b"one", b"two")
    store = Store(files.crash(random.Random(0))).open()
    at, end = sizes[-1], len(store.files.read(FIRST))
    for body in (b"three", b"four"):
        store.append(body)
        store.journal.commit()
        store.step.stop()
    assert isinstance(store.files, MemoryFiles)
    return store.files, at, end


def test_a_damaged_claim_does_not_lose_its_epoch() -> None:
    files, at, end = two_openings()
    data = bytearray(files.read(FIRST))
    data[at + 44] ^= 1
    copy = replaced(files, FIRST, bytes(data))
    for _ in range(2):
        store = Store(copy).open()
        assert store.bodies() == [b"one", b"two", b"three", b"four"]
        report = store.journal.reports["shard"]
        assert report.damaged == [(segment_name(0), at, end - at)]
        assert not report.torn
        store.journal.stop()


def test_left_overs_of_an_older_epoch_are_a_torn_tail() -> None:
    """A good entry behind the end, but of before a cut: neither served nor called damage, and cut off once and for all."""
    files, sizes = stored(b"one", b"two", b"x" * 120, b"four")
    whole = bytes(files.read(FIRST))
    shorter = replaced(files, FIRST, whole[: sizes[2]])
    store = Store(shorter).open()
    store.journal.stop()
    now = bytes(shorter.read(FIRST))
    assert len(now) < sizes[3]
    both = replaced(files, FIRST, now + whole[len(now) :])
    store = Store(both).open()
    assert store.bodies() == [b"one", b"two"]
    report = store.journal.reports["shard"]
    assert not report.damaged
    assert report.torn == [(segment_name(0), len(now), len(whole) - len(now))]


def test_a_lost_segment_with_the_claim_loses_only_itself() -> None:
    files = MemoryFiles()
    bodies = []
    for opening in range(2):
        store = Store(files).open()
        for n in range(20):
            bodies.append(b"%d.%d:" % (opening, n) + bytes(600))
            store.append(bodies[-1])
            store.journal.commit()
            store.step.stop()
        store.journal.stop()
    segments = files.list("/data/shard")
    assert len(segments) > 5
    for name in segments[1:-1]:
        copy = files.crash(random.Random(0))
        lost = [body for body in bodies if body in bytes(copy.read(SHARD + name))]
        assert lost
        copy.unlink(SHARD + name)
        store = Store(copy).open()
        assert store.bodies() == [body for body in bodies if body not in lost], name
        assert store.journal.reports["shard"].damaged


def test_every_single_bit_is_noticed() -> None:
    """A flipped bit anywhere in an entry loses that entry and nothing else."""
    files, sizes = stored(*BODIES)
    data = bytes(files.read(FIRST))
    for at in range(sizes[1], sizes[2]):
        flipped = bytearray(data)
        flipped[at] ^= 1 << (at % 8)
        store = Store(replaced(files, FIRST, bytes(flipped))).open()
        assert store.bodies() == [BODIES[0], *BODIES[2:]], at - sizes[1]


def test_a_lost_segment_is_reported() -> None:
    files, sizes = many_segments()
    names = files.list("/data/shard")
    copy = files.crash(random.Random(0))
    copy.unlink(SHARD + names[1])
    store = Store(copy).open()
    assert store.journal.reports["shard"].damaged
    assert len(store.bodies()) < len(sizes)
    assert store.bodies()[0] == b"0:" + bytes(600)


def many_segments() -> tuple[MemoryFiles, list[bytes]]:
    files = MemoryFiles()
    store = Store(files).open()
    bodies = [b"%d:" % n + bytes(600) for n in range(40)]
    for body in bodies:
        store.append(body)
        store.journal.commit()
        store.step.stop()
    store.journal.stop()
    return files, bodies


def test_epochs_rise_with_every_opening() -> None:
    files = MemoryFiles()
    epochs = []
    for _ in range(4):
        store = Store(files).open()
        assert store.journal.shard is not None
        epochs.append(store.journal.shard.epoch)
        store.journal.stop()
    assert epochs == sorted(set(epochs))


def test_a_format_of_somebody_else_is_refused() -> None:
    files = MemoryFiles()
    files.make_directory("/data")
    file = files.create("/data/format")
    file.append([b"posthouse 9\n"])
    file.close()
    with pytest.raises(StorageError, match=r"posthouse 9.*use the version that wrote"):
        Store(files).open()


def test_trimming_removes_the_oldest_first_and_syncs_in_between() -> None:
    """A crash within a trim leaves a log without a gap."""
    files, bodies = many_segments()
    store = Store(files).open()
    log = store.journal._shard
    base = int(files.list("/data/shard")[3].split(".")[0])
    calls = files.calls
    assert log.trim(base) == 3
    assert files.calls - calls == 6
    for call in range(6):
        copy = files_before_trim(bodies)
        victim = Store(copy).open()
        copy.fail_at(call)
        with pytest.raises(OSError, match="Input/output"):
            victim.journal._shard.trim(base)
        for seed in range(20):
            again = Store(copy.crash(random.Random(seed))).open()
            assert again.journal.reports["shard"].is_clean
            found = again.bodies()
            assert found == bodies[len(bodies) - len(found) :]


def files_before_trim(bodies: list[bytes]) -> MemoryFiles:
    files, same = many_segments()
    assert same == bodies
    return files


@pytest.mark.parametrize("is_written", [False, True])
def test_an_old_copy_goes_only_when_the_new_one_is_durable(is_written: bool) -> None:
    """A dead-lettered message: its segment may not go while its copy is only in memory or in the page cache."""
    files, bodies = many_segments()
    store = Store(files).open()
    count = len(files.list("/data/shard"))
    for piece in store.recovered:
        store.blocks.unpin(piece.block)
    store.append(b"the copy")
    store.journal.trim()
    if is_written:
        store.journal.commit()
        store.step.write()
    else:
        store.step.stop()  # all that was handed over so far is done
    assert len(files.list("/data/shard")) == count
    for seed in range(20):
        found = Store(files.crash(random.Random(seed))).open().bodies()
        assert found[: len(bodies)] == bodies
    store.journal.commit()
    store.step.stop()
    assert len(files.list("/data/shard")) == 1
    for seed in range(20):
        assert Store(files.crash(random.Random(seed))).open().bodies()[-1] == b"the copy"


def test_definitions_are_rewritten_when_mostly_dead() -> None:
    files = MemoryFiles()
    store = Store(files).open()
    for number in range(1200):
        store.journal.table.put("row", ("k",), {"n": number})
    store.journal.table.put("row", ("other",), {"n": -1})
    store.journal.stop()
    store = Store(files).open()
    assert store.journal.table.get("row", ("k",)) == {"n": 1199}
    assert store.journal.table.changes == 2
    store.journal.stop()
    store = Store(files).open()
    assert list(store.journal.table.items("row")) == [
        (("k",), {"n": 1199}),
        (("other",), {"n": -1}),
    ]
    assert (
        sum(len(files.read(f"/data/definitions/{n}")) for n in files.list("/data/definitions"))
        < 2000
    )


def test_segments_may_be_trimmed_while_a_block_is_read_back() -> None:
    """The committer's thread trims while the loop's reads: what is read must not shift."""
    files = MemoryFiles()
    store = Store(files).open()
    for n in range(12):
        store.append(b"%04d" % n + bytes(1500))
        store.journal.commit()
        store.step.write()
        store.step.sync()
    log = store.journal._shard
    bases = list(log._bases)
    assert len(bases) >= 4
    start, end = bases[1], bases[3]
    good = bytearray(end - start)
    assert log.read_back(start, good, len(good)) == 1
    read_at = files.read_at

    def trims_meanwhile(path: str, offset: int, into: memoryview) -> int:
        count = read_at(path, offset, into)
        log.trim(bases[1])
        return count

    files.read_at = trims_meanwhile  # type: ignore[method-assign]
    again = bytearray(end - start)
    assert log.read_back(start, again, len(again)) == 1
    assert log.segment_count == len(bases) - 1
    assert again == good
