"""A slow disk (C12): syncs take 0.1 to 5 s. Persistent messages wait for it; transient ones, heartbeats and everything else do not.

One publisher with confirms keeps the disk busy. Beside it `posthouse perf` sends transient messages at a steady rate through a queue of its
own, a connection waits for heartbeats, and another asks for a queue's size again and again: its slowest answer is the longest that the
broker's loop was away.
"""

from __future__ import annotations

import concurrent.futures
import pathlib
import select
import subprocess
import tempfile
import time
from typing import Any

from tests.load.ledger import Ledger
from tests.load.soak_roles import Producer
from tests.support import link as amqp
from tests.support.load import perf
from tests.support.nodes import PosthouseNode, require
from tests.torture.campaign import Campaign

DELAYS_MS = (100, 300, 1000, 2500, 5000)
SECONDS = 20.0
RATE = 2000
P99_MS_MAX = 50.0
HEARTBEAT_S = 1
# A sender is silent for half of the interval; the rest is the loop, and this program.
HEARTBEAT_GAP_S_MAX = 1.5
HEARTBEAT = b"\x08\0\0\0\0\0\0\xce"


def preloaded(directory: pathlib.Path) -> pathlib.Path:
    """Compile the library that delays syncs."""
    library = directory / "slow_sync.so"
    source = pathlib.Path(__file__).parents[1] / "support" / "slow_sync.c"
    command = [require("cc", "Debian: apt-get install gcc libc6-dev"), "-shared", "-fPIC", "-O1"]
    subprocess.run([*command, "-o", str(library), str(source), "-ldl"], check=True)
    return library


class Watch:
    """What goes on while the disk is slow."""

    def __init__(self, port: int) -> None:
        self.ledger = Ledger("persistent")
        self._probe = amqp.Link(port)
        self._probe.declare_queue(self.ledger.queue)
        self.producer = Producer(port, 1, self.ledger, 1 << 30)
        self._beating = amqp.Link(port, heartbeat_s=HEARTBEAT_S)
        self.heartbeats = 0
        self.gap_s_max = self.round_trip_s_max = self.confirm_s_max = 0.0
        self.round_trips: list[float] = []

    def until(self, done: concurrent.futures.Future[Any]) -> None:
        """Go on until the load beside is through."""
        heard = sent = progressed = time.monotonic()
        while not done.done():
            self.producer.pump()
            for link in select.select([self.producer.link, self._beating], [], [], 0.002)[0]:
                for event in link.receive():
                    self.producer.on_event(event)
                    now = time.monotonic()
                    self.confirm_s_max = max(self.confirm_s_max, now - progressed)
                    progressed = now
            self.producer.link.flush()
            begin = time.monotonic()
            self._probe.declare_queue(self.ledger.queue, passive=True)
            now = time.monotonic()
            self.round_trips.append(now - begin)
            if self._beating.heartbeats > self.heartbeats:
                self.heartbeats = self._beating.heartbeats
                heard = now
            self.gap_s_max = max(self.gap_s_max, now - heard)
            if now - sent > HEARTBEAT_S / 2:
                sent = now
                self._beating.send(HEARTBEAT)

    def settle(self, deadline_s: float) -> None:
        """The disk is fast again: everything is confirmed."""
        self.producer.is_active = False
        deadline = time.monotonic() + deadline_s
        while not self.producer.is_idle:
            assert time.monotonic() < deadline, "confirms are missing"
            select.select([self.producer.link], [], [], 0.1)
            self.producer.link.flush()
            for event in self.producer.link.receive():
                self.producer.on_event(event)
        for link in (self.producer.link, self._beating, self._probe):
            link.close()


def slow_disk(delay_ms: int, seconds: float = SECONDS) -> dict[str, float]:
    """One run with syncs delayed by so much."""
    with tempfile.TemporaryDirectory() as own:
        knob = pathlib.Path(own) / "delay"
        knob.write_text("0")
        library = preloaded(pathlib.Path(own))
        environment = {"LD_PRELOAD": str(library), "POSTHOUSE_SLOW_SYNC": str(knob)}
        node = PosthouseNode(pathlib.Path(own) / "data", environment=environment).start()
        try:
            watch = Watch(node.port)
            knob.write_text(str(delay_ms))
            options = ["--mode", "latency", "--rate", str(RATE), "--seconds", str(seconds)]
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                load = pool.submit(perf, node, *options)
                watch.until(load)
                latency = load.result()
            confirmed_slowly = watch.producer.confirmed
            knob.write_text("0")
            watch.settle(3 * delay_ms / 1000 + 30)
            node.check()
            assert node.terminate() == 0
            node.restart()
            link = amqp.Link(node.port)
            assert link.declare_queue("persistent", passive=True) == watch.producer.published
            link.close()
        finally:
            node.stop()
    ordered = sorted(watch.round_trips)
    return {
        "delay_ms_max": delay_ms,
        "transient_p99_ms_max": round(latency["p99_us"] / 1000, 2),
        "transient_max_ms_max": round(latency["max_us"] / 1000, 2),
        "round_trips": len(ordered),
        "round_trip_p99_ms_max": round(1000 * ordered[int(len(ordered) * 0.99)], 2),
        "round_trip_max_ms_max": round(1000 * ordered[-1], 2),
        "heartbeats": watch.heartbeats,
        "heartbeat_gap_s_max": round(watch.gap_s_max, 2),
        "confirmed_while_slow": confirmed_slowly,
        "confirm_wait_s_max": round(watch.confirm_s_max, 2),
        "lost": 0,
    }


def judged(delay_ms: int, seconds: float = SECONDS) -> dict[str, float]:
    """The same, held against the bounds.

    Raises:
        AssertionError: one of them is broken, or the disk was not slow.
    """
    figures = slow_disk(delay_ms, seconds)
    assert figures["transient_p99_ms_max"] < P99_MS_MAX, figures
    assert figures["heartbeat_gap_s_max"] < HEARTBEAT_GAP_S_MAX, figures
    assert figures["heartbeats"] >= seconds, figures
    assert figures["confirm_wait_s_max"] >= 0.9 * delay_ms / 1000, figures
    return figures


CAMPAIGN = Campaign(
    name="slow-disk",
    what="syncs take 0.1 to 5 s: transient messages, heartbeats and other clients do not wait for them (C12)",
    units=len(DELAYS_MS),
    run=lambda seed: judged(DELAYS_MS[seed % len(DELAYS_MS)]),
    is_alone=True,
)
