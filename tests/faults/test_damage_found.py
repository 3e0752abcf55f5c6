"""Damage that once was passed over in silence, stopped a start, or did harm later; each found by the campaigns of `test_damage`."""

from __future__ import annotations

from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.damage import Heard, files_of, judge, look, read, reader, start
from tests.support.entries import DIRECTORY
from tests.support.sample import large_sample, small_sample

PERSISTENT = BasicProperties(delivery_mode=2)


def segments(contents: dict[str, bytes], log: str = "shard") -> list[str]:
    return [p for p in sorted(contents) if p.startswith(f"{DIRECTORY}/{log}/") and ".seg" in p]


def test_files_that_are_no_segments_are_named_and_passed_over() -> None:
    sample = large_sample()
    for name in ("notes.seg", "12.seg", "-0000000000000000001.seg"):
        damaged = {**sample.contents, f"{DIRECTORY}/shard/{name}": b"text"}
        seen = look(files_of(damaged))
        assert judge(sample, damaged, seen) == []
        assert any(name in line for line in seen.lines)


def test_a_copy_of_a_segment_in_the_place_of_another_is_put_aside() -> None:
    """It once was taken for the log's last segment, cut, and written behind; it hid the messages of the real one."""
    sample = large_sample(is_stopped=True)
    last = segments(dict(sample.contents))[-1]
    copy = f"{DIRECTORY}/shard/{int(last[-24:-4]) + 1296:020d}.seg"
    damaged = {**sample.contents, copy: sample.contents[last]}
    files = files_of(damaged)
    assert judge(sample, damaged, look(files)) == []
    assert bytes(files.names[copy + ".foreign"].data) == sample.contents[last]


def test_a_missing_segment_at_the_beginning_is_no_trimmed_one() -> None:
    sample = large_sample()
    missing = segments(dict(sample.contents))[:4]
    damaged = {path: data for path, data in sample.contents.items() if path not in missing}
    seen = look(files_of(damaged))
    assert judge(sample, damaged, seen) == []
    lost = sum(len(sample.live[q]) - len(seen.queues[q]) for q in sample.live)
    assert lost > 0
    said = [line for line in seen.lines if "nothing says that they were settled" in line]
    assert sum(int(line.split(": ")[1].split()[0]) for line in said) == lost
    files = files_of(damaged)
    assert start(files).lost == lost


def test_what_was_trimmed_in_order_is_not_missing() -> None:
    """Everything is settled and trimmed behind the snapshot; some was moved."""
    files = files_of(large_sample().contents)
    with Heard() as heard:
        world = start(files)
        peer = reader(world)
        for queue in ("a", "b", "c"):
            read(peer, queue)
        peer.send(methods.BasicAck(delivery_tag=0, multiple=True))
        world.run_later()
        world.journal.trim()
        world.settle()
        files.kill()
        world = start(files)
    assert world.recovered == world.lost == 0
    assert heard.lines == []


def test_a_snapshot_beyond_the_log_is_not_believed_when_the_log_has_grown_again() -> None:
    """It was refused once, stayed, and was taken for good by a later start."""
    sample = large_sample(is_stopped=True)
    last = segments(dict(sample.contents))[-1]
    damaged = {path: data for path, data in sample.contents.items() if path != last}
    files = files_of(damaged)
    world = start(files)
    assert not world.journal.reports["shard"].is_clean
    peer = reader(world)
    peer.call(methods.QueueDeclare(queue="new", durable=True))
    end = max(int(p[-25:-5]) for p in sample.contents if p.endswith(".snap"))
    bodies = []
    while world.journal.shard.position < end + 5000:
        bodies.append(b"new %d " % len(bodies) + bytes(100))
        peer.publish(b"new", bodies[-1], properties=PERSISTENT)
    files.kill()
    seen = look(files)
    assert [body for body, _ in seen.queues["new"]] == bodies
    assert judge(sample, damaged, look(files_of(damaged))) == []
    for queue in sample.live:
        assert {body for body, _ in seen.queues[queue]} <= sample.live[queue]


def without_declare(queue: str) -> tuple[MemoryFiles, dict[str, bytes]]:
    """A directory where one octet of the definition of a queue is wrong."""
    sample = large_sample()
    entry = next(e for e in sample.entries if queue in e.queues)
    path = segments(dict(sample.contents), "definitions")[0]
    at = entry.position - int(path[-24:-4]) + 50
    data = bytearray(sample.contents[path])
    data[at] ^= 1
    damaged = {**sample.contents, path: bytes(data)}
    return files_of(damaged), damaged


def test_messages_of_a_queue_whose_definition_is_lost_are_served_from_another_one() -> None:
    """They once were passed over, and trimmed soon after."""
    sample = large_sample()
    for queue in ("a", "b"):
        files, damaged = without_declare(queue)
        seen = look(files)
        name = f"amq.salvaged.{sample.numbers[queue]}"
        assert {body for body, _ in seen.queues[name]} == sample.live[queue]
        assert "gone" not in seen.queues
        assert judge(sample, damaged, seen) == []
        # It is a queue like others, also without the damage in the way.
        assert {body for body, _ in look(files).queues[name]} == sample.live[queue]


def test_a_new_queue_does_not_get_the_number_of_one_that_has_messages() -> None:
    """The counter's row was in the damage: numbers began at 1 again, and the next start gave the old messages to the new queue."""
    sample = large_sample()
    files, _ = without_declare("a")  # the first declare, which also wrote the counter
    world = start(files)
    peer = reader(world)
    for n in range(5):
        peer.call(methods.QueueDeclare(queue=f"new.{n}", durable=True))
    numbers = [q.queue_id for q in world.broker.vhosts["/"].queues.values()]
    assert len(set(numbers)) == len(numbers)
    files.kill()
    seen = look(files)
    assert all(seen.queues[f"new.{n}"] == [] for n in range(5))
    assert {body for body, _ in seen.queues["b"]} == sample.live["b"]


def test_messages_without_any_definitions_are_not_thrown_away() -> None:
    """A start once made a default user, served nothing, and trimmed everything."""
    sample = large_sample()
    path = segments(dict(sample.contents), "definitions")[0]
    damaged = {**sample.contents, path: b""}
    files = files_of(damaged)
    for _ in range(2):
        seen = look(files)
        assert "definitions holds nothing" in seen.refusal
    for segment in segments(dict(sample.contents)):
        assert (
            bytes(files.names[segment].data[: len(sample.contents[segment])])
            == (sample.contents[segment])
        )
    # The definitions come back from a copy.
    for name in segments(dict.fromkeys(files.names, b""), "definitions"):
        del files.names[name]
    files.create(path)
    files.names[path].data[:] = sample.contents[path]
    assert {q: {b for b, _ in s} for q, s in look(files).queues.items()} == sample.live


def test_a_segment_of_the_other_log_is_not_believed() -> None:
    """Both logs once began at position 0, so that an entry of one was good in the other."""
    sample = small_sample()
    shard, definitions = (
        segments(dict(sample.contents), log)[0] for log in ("shard", "definitions")
    )
    damaged = {**sample.contents}
    for log, source in (("shard", definitions), ("definitions", shard)):
        damaged[f"{DIRECTORY}/{log}/{0:020d}.seg"] = sample.contents[source]
    del damaged[definitions]
    seen = look(files_of(damaged))
    assert "definitions holds nothing" in seen.refusal
    assert any("damage at offset 0" in line or "torn tail" in line for line in seen.lines)
