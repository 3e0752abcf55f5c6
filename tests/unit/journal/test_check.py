"""Offline check: it sees every kind of damage, changes nothing by itself, and what it repaired opens clean."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.journal.local.check import Check
from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.inmemory import World

PERSISTENT = BasicProperties(delivery_mode=2)


def directory(*, is_stopped: bool = True) -> MemoryFiles:
    """Forty messages of a kilobyte in two queues, in segments of 8 KiB, and snapshots."""
    files = MemoryFiles()
    world = World("/data", files=files, segment_size=8192)
    peer = world.peer()
    for queue in ("a", "b"):
        peer.call(methods.QueueDeclare(queue=queue, durable=True))
    for n in range(40):
        peer.publish(b"ab"[n % 2 : n % 2 + 1], b"%04d" % n + bytes(1000), properties=PERSISTENT)
    if is_stopped:
        peer.close()
        world.stop()
    return files.kill()


def contents(files: MemoryFiles) -> dict[str, bytes]:
    return {path: bytes(node.data) for path, node in files.names.items()}


def checked(files: MemoryFiles) -> Check:
    check = Check(files, "/data")
    for _ in check.run():
        pass
    return check


def served(files: MemoryFiles) -> list[bytes]:
    """What a start serves of both queues."""
    world = World("/data", files=files, segment_size=8192)
    assert all(report.is_clean for report in world.journal.reports.values())
    peer = world.peer()
    found = []
    for queue in ("a", "b"):
        while True:
            peer.send(methods.BasicGet(queue=queue, no_ack=True))
            got = peer.messages()
            if not got:
                break
            found.append(got[0][1][:4])
    return sorted(found)


def segments(files: MemoryFiles, log: str = "shard") -> list[str]:
    return [n for n in sorted(files.names) if n.startswith(f"/data/{log}/") and n.endswith(".seg")]


def test_a_good_directory_is_clean() -> None:
    files = directory()
    before = contents(files)
    check = checked(files)
    assert check.findings == []
    assert check.logs["shard"].messages == 40
    assert check.logs["shard"].segments == len(segments(files))
    assert contents(files) == before


def flip(files: MemoryFiles) -> None:
    files.names[segments(files)[2]].data[3000] ^= 4


def tear(files: MemoryFiles) -> None:
    last = files.names[segments(files)[-1]].data
    del last[-17:]


def zero(files: MemoryFiles) -> None:
    files.names[segments(files)[1]].data[1024:5120] = bytes(4096)


def lose(files: MemoryFiles) -> None:
    del files.names[segments(files)[2]]


def empty(files: MemoryFiles) -> None:
    files.names[segments(files)[2]].data.clear()


def cut(files: MemoryFiles) -> None:
    data = files.names[segments(files)[1]].data
    del data[len(data) // 2 :]


def spoil_snapshot(files: MemoryFiles) -> None:
    name = max(n for n in files.names if n.endswith(".snap"))
    files.names[name].data[60] ^= 1


def leave(files: MemoryFiles) -> None:
    files.create("/data/snapshots/00000000000000000001.snap.new")


@pytest.mark.parametrize(
    ("damage", "is_loss"),
    [
        (flip, True),
        (zero, True),
        (lose, True),
        (empty, True),
        (cut, True),
        (spoil_snapshot, False),
        (leave, False),
    ],
)
def test_damage_is_found_and_what_is_left_is_served_after_the_repair(
    damage: Callable[[MemoryFiles], None], is_loss: bool
) -> None:
    files = directory()
    damage(files)
    before = contents(files)
    check = checked(files)
    assert check.findings
    assert any(finding.is_loss for finding in check.findings) == is_loss
    assert contents(files) == before
    assert all(finding.act is not None for finding in check.findings)
    for finding in check.findings:
        assert finding.act is not None
        finding.act()
    assert checked(files).findings == []
    hit = sum(check.queues_hit.values())
    assert (hit > 0) == is_loss
    assert len(served(files)) == 40 - hit


def test_a_torn_tail_is_no_loss() -> None:
    files = directory(is_stopped=False)
    tear(files)
    check = checked(files)
    assert [finding.is_loss for finding in check.findings] == [False]
    assert "torn tail" in check.findings[0].text
    for finding in check.findings:
        assert finding.act is not None
        finding.act()
    assert checked(files).findings == []
    assert len(served(files)) == 39


def test_the_copy_is_kept_before_anything_changes() -> None:
    files = directory()
    flip(files)
    name = segments(files)[2]
    before = bytes(files.names[name].data)
    for finding in checked(files).findings:
        assert finding.act is not None
        finding.act()
    assert bytes(files.names[name + ".damaged"].data) == before


def test_it_names_the_queues_that_are_hit() -> None:
    files = directory()
    lose(files)
    check = checked(files)
    assert {check.queue_name(number) for number in check.queues_hit} == {
        "queue 'a' in vhost '/'",
        "queue 'b' in vhost '/'",
    }


def test_damage_in_the_definitions_is_reported() -> None:
    files = directory()
    files.names[segments(files, "definitions")[0]].data[200] ^= 1
    findings = checked(files).findings
    assert any(f.path.startswith("definitions/") and f.is_loss for f in findings)


def test_an_entry_that_fills_a_gap_has_the_epoch_of_its_log() -> None:
    """The whole of a segment of a later life is gone: what was put there once was of epoch 0, and found again as damage."""
    files = directory()
    World("/data", files=files, segment_size=8192).stop()
    files.kill()
    world = World("/data", files=files, segment_size=8192)
    peer = world.peer()
    for n in range(40):
        peer.publish(b"a", b"%04d" % n + bytes(1000), properties=PERSISTENT)
    files.kill()
    name = segments(files)[-2]
    files.names[name].data[:] = bytes(len(files.names[name].data))
    repair(checked(files))
    assert checked(files).findings == []


def repair(check: Check) -> None:
    for finding in check.findings:
        assert finding.act is not None
        finding.act()


def test_what_a_snapshot_shows_to_be_synced_is_no_torn_tail() -> None:
    files = directory()
    data = files.names[segments(files)[-1]].data
    data[-20] ^= 1
    check = checked(files)
    assert [finding.is_loss for finding in check.findings] == [True]
    assert "damage at offset" in check.findings[0].text


def test_a_log_that_ends_before_its_snapshot_has_lost_something() -> None:
    files = directory()
    last = segments(files)[-1]
    del files.names[last]
    check = checked(files)
    assert any("missing at its end" in f.text and f.is_loss for f in check.findings)
    repair(check)
    assert checked(files).findings == []


def test_files_that_only_look_like_segments_are_renamed() -> None:
    files = directory()
    for name in ("notes.seg", "00000000000000099999.seg"):
        files.create(f"/data/shard/{name}").append([b"text"])
    check = checked(files)
    assert len(check.findings) == 2
    repair(check)
    assert checked(files).findings == []
    assert "/data/shard/notes.seg.foreign" in files.names
    assert len(served(files)) == 40


def test_damaged_definitions_are_left_to_the_start() -> None:
    """It must see that they are damaged, to keep messages of queues that they no longer have."""
    files = directory()
    files.names[segments(files, "definitions")[0]].data[200] ^= 1
    assert [finding.act for finding in checked(files).findings] == [None]


def test_messages_without_definitions_and_an_unknown_format_are_found() -> None:
    files = directory()
    for name in segments(files, "definitions"):
        del files.names[name]
    files.names["/data/format"].data[-2:] = b"9\n"
    assert {finding.path for finding in checked(files).findings} == {"definitions", "format"}
