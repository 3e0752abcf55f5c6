"""What a start on a damaged data directory must still serve, and what it must say (P7, P10, P11).

The oracle compares the damaged copy with the log as it was (`entries`): a message must be served if every entry that holds it is intact,
and its queue's definition too; it may be missing otherwise, but not in silence. What was acknowledged may come back only if an entry
with the acknowledgement is not intact. Nothing else may be served, nothing twice, nothing out of order.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from posthouse.core.errors import StorageError
from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from tests.support.entries import DIRECTORY, SEGMENT_NAME, Contents, Entry, damaged_entries
from tests.support.inmemory import Peer, World
from tests.support.sample import Sample


def files_of(contents: Contents) -> MemoryFiles:
    """A file system with these files, all of them durable."""
    files = MemoryFiles()
    files.make_directory(DIRECTORY)
    for path, data in contents.items():
        files.make_directory(path.rpartition("/")[0])
        files.create(path)
        files.names[path].data[:] = data
        files.names[path].durable = bytes(data)
    files.durable_names = dict(files.names)
    return files


def contents_of(files: MemoryFiles) -> dict[str, bytes]:
    """What is in the files."""
    return {path: bytes(node.data) for path, node in sorted(files.names.items())}


class Heard(logging.Handler):
    """What Posthouse logged at warning or above, while it listens."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._logger = logging.getLogger("posthouse")

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def __enter__(self) -> Heard:
        self._logger.addHandler(self)
        self._was = self._logger.propagate
        self._logger.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._was


@dataclass
class Seen:
    """What a start on a directory gave.

    Attributes:
        refusal: why the broker did not start; nothing else is set then.
        queues: what each queue served, in order: body, and the redelivered flag.
        ranges: by log, what was reported as torn or damaged: first and last position.
        lines: what was logged.
        damaged_records: messages that were found damaged when they were to be delivered.
        snapshot_start: where reading the log of messages began.
    """

    refusal: str = ""
    queues: dict[str, list[tuple[bytes, bool]]] = field(default_factory=dict)
    ranges: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    damaged_records: int = 0
    snapshot_start: int = 0
    users: int = 0


def start(files: MemoryFiles, **options: int) -> World:
    """A broker on the directory; a small block size where memory is bounded, so that blocks leave it."""
    return World(DIRECTORY, files=files, segment_size=4096, durability="fsync", **options)


def look(files: MemoryFiles, **options: int) -> Seen:
    """Start, read every queue to its end without acknowledging, and leave the process as if killed.

    Raises:
        Exception: the broker did not behave; it may only refuse with `StorageError`.
    """
    with Heard() as heard:
        try:
            world = start(files, **options)
        except StorageError as error:
            files.kill()
            return Seen(refusal=str(error), lines=heard.lines)
        seen = Seen(lines=heard.lines, users=sum(1 for _ in world.journal.table.items("user")))
        snapshot = world.journal.snapshot
        seen.snapshot_start = snapshot.start if snapshot is not None else 0
        for log, report in world.journal.reports.items():
            seen.ranges[log] = [
                (int(name[:20]) + at, int(name[:20]) + at + size)
                for name, at, size in (*report.torn, *report.damaged)
                if name.endswith(".seg")
            ]
        peer = reader(world)
        names = sorted(world.broker.vhosts["/"].queues) if "/" in world.broker.vhosts else []
        for queue in names:
            seen.queues[queue] = read(peer, queue)
        seen.damaged_records = world.dispatcher.damaged_records
    files.kill()
    return seen


def look_later(files: MemoryFiles, spoil: Callable[[MemoryFiles], None]) -> Seen:
    """Start on an undamaged directory, spoil the files under the running broker, then read: nothing was in memory."""
    with Heard() as heard:
        world = start(files, memory_max=1)
        peer = reader(world)
        spoil(files)
        seen = Seen(lines=heard.lines)
        for queue in sorted(world.broker.vhosts["/"].queues):
            seen.queues[queue] = read(peer, queue)
        seen.damaged_records = world.dispatcher.damaged_records
    files.kill()
    return seen


def reader(world: World) -> Peer:
    """A client that may read, whatever became of the users."""
    if "/" not in world.broker.vhosts:
        world.broker.add_vhost("/")
    world.users.add_user("reader", "reader")
    world.users.set_permissions("reader", "/", ".*", ".*", ".*")
    return world.peer(user="reader", password="reader")


def read(peer: Peer, queue: str) -> list[tuple[bytes, bool]]:
    """All messages of a queue, held without acknowledgement."""
    peer.take()
    peer.send(methods.BasicConsume(queue=queue, consumer_tag=f"c.{queue}"))
    return [
        (body, method.redelivered)
        for method, body in peer.messages()
        if isinstance(method, methods.BasicDeliver)
    ]


def ends_of(damaged: Contents, log: str) -> tuple[int, int]:
    """Where the log begins and ends in the damaged copy, as far as file names and sizes say."""
    prefix = f"{DIRECTORY}/{log}/"
    runs = [
        (int(path[-24:-4]), int(path[-24:-4]) + len(data))
        for path, data in damaged.items()
        if path.startswith(prefix) and SEGMENT_NAME.fullmatch(path.removeprefix(prefix))
    ]
    return min(runs, default=(0, 0))[0], max((end for _, end in runs), default=0)


def leaves_a_trace(entry: Entry, damaged: Contents, seen: Seen) -> bool:
    """Whether a start can know that the entry was there.

    What is cut off at the end leaves no trace in the log; what is missing at its beginning only in a snapshot that begins behind that.
    """
    first, end = ends_of(damaged, entry.log)
    is_known = first <= seen.snapshot_start and entry.log == "shard"
    return entry.position < end and (is_known or entry.position >= first)


def judge(sample: Sample, damaged: Contents, seen: Seen) -> list[str]:
    """Which promises a start on the damaged copy broke; the empty list if none."""
    return judge_served(sample, damaged, seen) + judge_said(sample, damaged, seen)


def served_of(sample: Sample, seen: Seen, queue: str) -> list[tuple[bytes, bool]]:
    """What a queue served, also if its definition was lost."""
    return seen.queues.get(queue) or seen.queues.get(f"amq.salvaged.{sample.numbers[queue]}", [])


def judge_served(sample: Sample, damaged: Contents, seen: Seen) -> list[str]:
    """Which promises about messages were broken."""
    bad = damaged_entries(sample.entries, damaged)
    broken: list[str] = []
    for queue, number in sample.numbers.items():
        served = served_of(sample, seen, queue)
        bodies = [body for body, _ in served]
        places = [sample.order[queue].get(body, -1) for body in bodies]
        if -1 in places:
            broken.append(f"{queue}: a wrong body: {bodies[places.index(-1)][:40]!r}")
        if any(b <= a for a, b in itertools.pairwise(places)):
            broken.append(f"{queue}: order")
        hit = {body for entry in bad for (n, _), body in entry.messages.items() if n == number}
        missing = sample.live[queue].difference(bodies)
        if missing - hit and sample.is_known(queue, bad, ends_of(damaged, "definitions")[1]):
            broken.append(f"{queue}: undamaged, but not served: {len(missing - hit)}")
        if sample.unexcused(queue, bodies, bad):
            broken.append(f"{queue}: acknowledged, but served again")
        for body, redelivered in served:
            if body in sample.delivered[queue] and not redelivered:
                broken.append(f"{queue}: delivered before, but not flagged")
    return broken


def lost_of(sample: Sample, seen: Seen) -> int:
    """How many messages are missing, in all queues together."""
    return sum(
        len(sample.live[queue].difference(body for body, _ in served_of(sample, seen, queue)))
        for queue in sample.live
    )


def judge_said(sample: Sample, damaged: Contents, seen: Seen) -> list[str]:
    """What was not reported."""
    entries = sample.entries
    bad = damaged_entries(entries, damaged)
    broken: list[str] = []
    lost = lost_of(sample, seen)
    # A file that was put aside, and named, is no part of the log any more.
    aside = [line.partition(": ")[0] for line in seen.lines if "put aside" in line]
    damaged = {path: data for path, data in damaged.items() if path not in aside}
    visible = [entry for entry in bad if leaves_a_trace(entry, damaged, seen)]
    hit = {body for entry in visible for body in entry.messages.values()}
    is_known = any(entry.queues for entry in visible) or any(
        hit.intersection(sample.live[queue]).difference(
            body for body, _ in served_of(sample, seen, queue)
        )
        for queue in sample.live
    )
    if lost and is_known and not seen.lines:
        broken.append(f"{lost} messages lost in silence")
    for entry in visible:
        end = entry.end
        is_read = entry.log == "definitions" or entry.position >= seen.snapshot_start
        if is_read and not any(a < end and entry.position < b for a, b in seen.ranges[entry.log]):
            broken.append(f"{entry.log}: damage at {entry.position} was not reported")
    return broken
