"""The soak (L8): mixed load for half an hour; memory, descriptors, threads and disk must not grow with time.

Bodies of 0 to 2,000,000 octets, persistent and transient, with confirms and in transactions; consumers that acknowledge, give back, are
slow, come and go; connections, channels, exchanges, queues and bindings that are made and let go; and a backlog that breathes: it fills to
`DEEP_OCTETS` and is drained. The broker's bounds are small, so snapshots, cleaner and paging work all the time.

Each breath ends at rest: publishers pause, everything is drained, and after `REST_S` the broker is looked at. The verdict compares these
moments, which are alike:

- resident memory: slope (least squares) below 1 MB a minute after the first quarter, in a run of half an hour or more;
- descriptors and threads: none more than at the beginning, but for `PASSING` descriptors of files that are just being written;
- disk: three segments, two snapshots, the reserve and the definitions' log, at most `DEFINITIONS` octets; under load the message log is at
  most twice what is needed and three segments, besides what was published in the last `LAG_S` seconds;
- every message was delivered and acknowledged, the queues are empty, and after an orderly restart they still are.

``POSTHOUSE_SOAK_S`` is the time, ``POSTHOUSE_SOAK_BREATH_S`` that of a breath.
"""

from __future__ import annotations

import os
import pathlib
import select
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from tests.load.churner import Churner
from tests.load.ledger import Ledger
from tests.load.soak_roles import Comer, Consumer, Empties, Nacker, Producer, Slow, TxProducer
from tests.support import link as amqp
from tests.support.load import MB
from tests.support.nodes import PosthouseNode
from tests.torture.campaign import Campaign

SOAK_S = float(os.environ.get("POSTHOUSE_SOAK_S", "1800"))
BREATH_S = float(os.environ.get("POSTHOUSE_SOAK_BREATH_S", "30"))
SEGMENT = 1 << 20
RESERVE = 1 << 20
DEEP_OCTETS = 64 * MB
FLOW_OCTETS = 8 * MB
DEFINITIONS = 1 << 19
PASSING = 2
REST_S = 3.0
DRAIN_S_MAX = 120.0
CHURN_EVERY_S = 0.05
SAMPLE_EVERY_S = 1.0
LAG_S = 5
SLOPE_MB_PER_MIN_MAX = 1.0
SETTINGS = f"""
[log]
segment_size_bytes = {SEGMENT}
snapshot_bytes = 1048576
reserve_bytes = {RESERVE}
[limits]
message_memory_bytes = 16777216
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """The broker at one moment."""

    at: float
    resident: int
    descriptors: int
    threads: int
    disk: dict[str, int]  # by subdirectory; "" is the data directory itself


def sample_of(node: PosthouseNode) -> Sample:
    process = pathlib.Path(f"/proc/{node.pid}")
    disk: dict[str, int] = {}
    assert node.data_dir is not None
    for path in node.data_dir.rglob("*"):
        try:
            octets = path.stat().st_blocks * 512 if path.is_file() else 0
        except FileNotFoundError:
            continue  # trimmed meanwhile
        part = path.relative_to(node.data_dir).parent.as_posix().strip(".")
        disk[part] = disk.get(part, 0) + octets
    descriptors = len(list((process / "fd").iterdir()))
    threads = len(list((process / "task").iterdir()))
    return Sample(time.monotonic(), node.resident_bytes(), descriptors, threads, disk)


class Soak:
    """One broker, its load, and what was seen of it. The node belongs to the caller."""

    def __init__(self, node: PosthouseNode, seed: int) -> None:
        self.node = node
        self.rests: list[Sample] = []
        self.samples: list[Sample] = []
        self.excess_max = 0
        queues = ("flow", "back", "light", "tx", "slow", "deep")
        self.ledgers = {queue: Ledger(queue) for queue in queues}
        link = amqp.Link(node.port)
        for queue in (*queues, "empty"):
            link.declare_queue(queue)
        link.close()
        port, ledgers = node.port, self.ledgers
        self.producers = [
            Producer(port, 1, ledgers["flow"], FLOW_OCTETS),
            Producer(port, 2, ledgers["back"], FLOW_OCTETS),
            Producer(port, 3, ledgers["light"], FLOW_OCTETS, "transient"),
            TxProducer(port, 4, ledgers["tx"], FLOW_OCTETS),
            Producer(port, 5, ledgers["slow"], FLOW_OCTETS // 8, "mixed"),
        ]
        self.breather = Producer(port, 6, ledgers["deep"], DEEP_OCTETS, "mixed")
        self.slow = Slow(port, ledgers["slow"])
        self.empties = Empties(port, "empty")
        self.consumers: list[Consumer] = [
            Consumer(port, ledgers["flow"]),
            Nacker(port, ledgers["back"], seed),
            Comer(port, ledgers["back"], seed + 1),
            Consumer(port, ledgers["light"]),
            Consumer(port, ledgers["tx"]),
            self.slow,
        ]
        self.churner = Churner(port, seed)
        self._churn_at = self._sample_at = time.monotonic()
        self._needed: list[tuple[int, int]] = []  # written, needed; of the last seconds
        self._is_resting = False

    # ---- the load

    def breathe(self, duration_s: float) -> None:
        """Fill, drain, rest."""
        self._activate(True)
        self._run(0.6 * duration_s, lambda: False)
        deep = Consumer(self.node.port, self.ledgers["deep"])
        self.consumers.append(deep)
        self.breather.is_active = False
        self._run(0.2 * duration_s, lambda: False)
        self._activate(False)
        assert self._run(DRAIN_S_MAX, self._is_drained), self._left()
        # Polite: it waits for what it acknowledged, so that nothing comes back.
        self.node.check()
        self.consumers.remove(deep)
        deep.cut()
        self._is_resting = True
        self._run(REST_S, lambda: False)
        self._is_resting = False
        self.rests.append(sample_of(self.node))

    def _activate(self, is_active: bool) -> None:
        for producer in (*self.producers, self.breather):
            producer.is_active = is_active
        self.empties.is_active = is_active
        self.slow.is_slow = is_active

    def _is_drained(self) -> bool:
        return (
            all(not ledger.open for ledger in self.ledgers.values())
            and all(producer.is_idle for producer in (*self.producers, self.breather))
            and self.empties.is_idle
        )

    def _left(self) -> str:
        left = {queue: len(ledger.open) for queue, ledger in self.ledgers.items()}
        open_confirms = {p.number: p.published - p.confirmed for p in self.producers}
        empties = self.empties.published - self.empties.delivered
        return f"not delivered: {left}, empty {empties}; not confirmed: {open_confirms}"

    def _run(self, duration_s: float, is_done: Any) -> bool:
        """Let everyone work until the time is up or it is done; returns which."""
        deadline = time.monotonic() + duration_s
        while time.monotonic() < deadline:
            actors: list[Any] = [*self.producers, self.breather, self.empties, *self.consumers]
            for actor in actors:
                actor.pump()
            unsent = [actor for actor in actors if actor.link.unsent]
            readable, writable, _ = select.select(actors, unsent, [], 0.01)
            for actor in readable:
                for event in actor.link.receive():
                    actor.on_event(event)
            for actor in writable:
                actor.link.flush()
            self._now_and_then()
            if is_done():
                return True
        return False

    def _now_and_then(self) -> None:
        now = time.monotonic()
        if now >= self._churn_at and not self._is_resting:
            self._churn_at = now + CHURN_EVERY_S
            self.churner.round()
        if now >= self._sample_at:
            self._sample_at = now + SAMPLE_EVERY_S
            self._sample()

    def _sample(self) -> None:
        sample = sample_of(self.node)
        self.samples.append(sample)
        written = sum(p.octets for p in (*self.producers, self.breather))
        needed = sum(ledger.octets for ledger in self.ledgers.values())
        self._needed = [*self._needed[-LAG_S:], (written, needed)]
        # What was needed within the last seconds may still be there, twice, and so may what came since.
        lately = max(needed for _, needed in self._needed) + written - self._needed[0][0]
        excess = sample.disk.get("shard", 0) - 2 * lately - 3 * SEGMENT
        self.excess_max = max(self.excess_max, excess)

    # ---- the end

    def finish(self) -> None:
        """Everybody goes; queues are empty, and stay so over an orderly restart."""
        for consumer in self.consumers:
            consumer.cut()
        for producer in (*self.producers, self.breather):
            producer.link.close()
        self.empties.link.close()
        self._look()
        assert self.node.terminate() == 0, self.node.stderr()[-2000:]
        self.node.restart()
        self._look()

    def _look(self) -> None:
        self.node.check()
        link = amqp.Link(self.node.port)
        for queue, ledger in self.ledgers.items():
            count = link.declare_queue(queue, passive=True)
            assert count <= len(ledger.unsure), f"{queue}: {count} after the end"
        assert link.declare_queue("empty", passive=True) == 0
        link.close()

    def figures(self) -> dict[str, float]:
        """What was done, and what was seen."""
        everyone = (*self.producers, self.breather)
        shards = [sample.disk.get("shard", 0) for sample in self.rests]
        rests = [sum(sample.disk.values()) for sample in self.rests]
        later = self.rests[len(self.rests) // 4 :]
        return {
            "breaths": len(self.rests),
            "published": sum(p.published for p in everyone) + self.empties.published,
            "confirmed": sum(p.confirmed for p in everyone),
            "mb_published": round(sum(p.octets for p in everyone) / MB),
            "redeliveries": sum(ledger.redeliveries for ledger in self.ledgers.values()),
            "churn_rounds": self.churner.rounds,
            "lost": 0,
            "resident_mb_max": round(max(s.resident for s in self.samples) / MB, 1),
            "rest_resident_mb_max": round(max(s.resident for s in self.rests) / MB, 1),
            "rest_slope_mb_per_min_max": round(slope(later), 2),
            "rest_descriptors_max": max(s.descriptors for s in self.rests),
            "rest_descriptors_min": min(s.descriptors for s in self.rests),
            "threads_max": max(s.threads for s in self.rests),
            "disk_mb_max": round(max(sum(s.disk.values()) for s in self.samples) / MB, 1),
            "rest_disk_mb_max": round(max(rests) / MB, 1),
            "rest_log_mb_max": round(max(shards) / MB, 1),
            "log_excess_mb_max": round(self.excess_max / MB, 1),
        }


def slope(samples: list[Sample]) -> float:
    """Growth of resident memory in MB a minute, by least squares; 0 for less than three samples."""
    if len(samples) < 3:
        return 0.0
    times = [sample.at / 60.0 for sample in samples]
    values = [sample.resident / MB for sample in samples]
    mean_time = sum(times) / len(times)
    mean_value = sum(values) / len(values)
    above = sum((t - mean_time) * (v - mean_value) for t, v in zip(times, values, strict=True))
    return above / sum((t - mean_time) ** 2 for t in times)


def soak(duration_s: float, breath_s: float, seed: int) -> dict[str, float]:
    """Run it on a node of its own; returns the figures.

    Raises:
        AssertionError: something grew, was lost or came twice.
    """
    with tempfile.TemporaryDirectory() as own:
        config = pathlib.Path(own) / "posthouse.toml"
        config.write_text(SETTINGS, encoding="utf-8")
        node = PosthouseNode(pathlib.Path(own) / "data", options=["--config", str(config)]).start()
        try:
            run = Soak(node, seed)
            end = time.monotonic() + duration_s
            while time.monotonic() < end:
                run.breathe(breath_s)
            figures = run.figures()
            if os.environ.get("POSTHOUSE_SOAK_TRACE"):
                for s in run.rests:
                    print(f"{s.at - run.rests[0].at:.0f} s: {s.resident / MB:.1f} MB, {s}")
            run.finish()
        except BaseException as error:
            error.add_note(f"the broker said: {node.stderr()[-4000:]}")
            raise
        finally:
            node.stop()
    judge(run, figures, duration_s)
    return figures


def judge(run: Soak, figures: dict[str, float], duration_s: float) -> None:
    """The rules of this module's text."""
    if duration_s >= 1800:
        assert figures["rest_slope_mb_per_min_max"] < SLOPE_MB_PER_MIN_MAX, figures
    first = run.rests[0]
    for rest in run.rests:
        assert rest.descriptors <= first.descriptors + PASSING, (first, rest)
        assert rest.threads <= first.threads, (first, rest)
        assert rest.disk.get("shard", 0) <= 3 * SEGMENT, rest
        assert rest.disk.get("definitions", 0) <= DEFINITIONS, rest
        assert rest.disk.get("pages", 0) == 0, rest
    assert figures["log_excess_mb_max"] <= 0, figures


CAMPAIGN = Campaign(
    name="soak",
    what="half an hour of mixed load: memory, descriptors and disk do not grow beyond the backlog, nothing is lost (L8)",
    units=1,
    run=lambda seed: soak(SOAK_S, BREATH_S, seed),
    is_alone=True,
    timeout_s=2 * SOAK_S + 600,
)
