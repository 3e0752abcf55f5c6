"""Alarms under load (L7, P13, P14): memory and disk run short and are given back, again and again.

Each time every publisher hears ``connection.blocked``, one that goes on sending nevertheless too; consumers go on and take everything that
was confirmed; every publisher hears ``connection.unblocked`` and goes on. Nobody else hears anything, and nothing is lost or stuck.

The disk runs short by a foreign file on a small file system (needs root, to mount it), the memory by a backlog above a low watermark, with
bodies kept in memory.
"""

from __future__ import annotations

import os
import pathlib
import select
import tempfile
import time
from collections.abc import Callable
from typing import Any

from posthouse.server.memory import memory_total_bytes
from tests.load.ledger import Ledger
from tests.load.soak_roles import Consumer, Producer
from tests.support import link as amqp
from tests.support.full_disk import small_disk
from tests.support.load import MB
from tests.support.nodes import PosthouseNode
from tests.torture.campaign import Campaign

DISK_MB = 512
DISK_LIMIT_MB = 128
MEMORY_MB = 110
QUEUES = 3
WAIT_S = 30.0
BLOCKED = ("connection.blocked",)


class Publisher(Producer):
    """Counts alarms; a polite one stops sending while it is blocked.

    Attributes:
        blocked, unblocked: how often it heard of it.
    """

    def __init__(self, port: int, number: int, ledger: Ledger, *, is_polite: bool) -> None:
        super().__init__(port, number, ledger, 1 << 40, "mixed")
        self.link.close()
        self.link = amqp.Link(port, capabilities=BLOCKED)
        self.link.select_confirms()
        self.blocked = self.unblocked = 0
        self._is_polite = is_polite

    @property
    def is_blocked(self) -> bool:
        return self.blocked > self.unblocked

    def pump(self) -> None:
        if not (self._is_polite and self.is_blocked):
            super().pump()

    def on_event(self, event: amqp.Event) -> None:
        if event.method == amqp.CONNECTION_BLOCKED:
            assert not self.is_blocked, "blocked twice"
            self.blocked += 1
        elif event.method == amqp.CONNECTION_UNBLOCKED:
            assert self.is_blocked, "unblocked without being blocked"
            self.unblocked += 1
        else:
            super().on_event(event)


class Reader(Consumer):
    """Announces that it understands alarms, and must never hear of one: it publishes nothing.

    Attributes:
        is_paused: it leaves what comes in the socket.
    """

    is_paused = False

    def connect(self) -> None:
        super().connect()
        self.link.close()
        self.link = amqp.Link(self._port, capabilities=BLOCKED)
        self.link.consume(self.ledger.queue, self.prefetch)


class AlarmRun:
    """One node and its load."""

    def __init__(self, node: PosthouseNode, disk: pathlib.Path) -> None:
        self.node = node
        self.raise_s_max = self.clear_s_max = 0.0
        self._foreign = disk / "foreign"
        self.ledgers = [Ledger(f"q{number}") for number in range(QUEUES)]
        link = amqp.Link(node.port)
        for ledger in self.ledgers:
            link.declare_queue(ledger.queue)
        link.close()
        self.publishers = [
            Publisher(node.port, number, ledger, is_polite=number > 0)
            for number, ledger in enumerate(self.ledgers)
        ]
        self.readers = [Reader(node.port, ledger) for ledger in self.ledgers]

    def disk(self) -> None:
        """Too little space, then enough."""
        self._run("flow", self._has_flowed())
        self._pause_readers(True)
        self._run("backlog", lambda: all(len(ledger.open) > 500 for ledger in self.ledgers))
        room = os.statvfs(self._foreign.parent)
        with self._foreign.open("wb") as file:
            octets = room.f_bavail * room.f_frsize - (DISK_LIMIT_MB // 2) * MB
            os.posix_fallocate(file.fileno(), 0, octets)
        self._wait_blocked()
        self._pause_readers(False)
        self._run("drain while alarmed", self._is_confirmed_drained)
        assert all(publisher.is_blocked for publisher in self.publishers)
        self._foreign.unlink()
        self._wait_unblocked()

    def memory(self) -> None:
        """A backlog above the watermark, then none."""
        self._run("flow", self._has_flowed())
        self._pause_readers(True)
        self._wait_blocked()
        self._pause_readers(False)
        self._wait_unblocked()

    def finish(self) -> dict[str, float]:
        """All that was published arrives; the figures."""
        for publisher in self.publishers:
            publisher.is_active = False
        self._run("the end", lambda: not any(ledger.open for ledger in self.ledgers))
        self._run("the last confirms", lambda: all(p.is_idle for p in self.publishers))
        self.node.check()
        for actor in (*self.publishers, *self.readers):
            actor.link.close()
        pairs = [(publisher.blocked, publisher.unblocked) for publisher in self.publishers]
        assert all(blocked == unblocked for blocked, unblocked in pairs), pairs
        return {
            "alarms": min(blocked for blocked, _ in pairs),
            "blocked_heard": sum(pair[0] for pair in pairs),
            "unblocked_heard": sum(pair[1] for pair in pairs),
            "confirmed": sum(publisher.confirmed for publisher in self.publishers),
            "lost": 0,
            "stuck": 0,
            "raise_s_max": round(self.raise_s_max, 2),
            "clear_s_max": round(self.clear_s_max, 2),
        }

    def _has_flowed(self) -> Callable[[], bool]:
        """Every publisher gets 500 more confirms, every queue 500 more deliveries."""
        confirmed = [publisher.confirmed + 500 for publisher in self.publishers]
        delivered = [ledger.deliveries + 500 for ledger in self.ledgers]
        return lambda: (
            all(p.confirmed >= n for p, n in zip(self.publishers, confirmed, strict=True))
            and all(q.deliveries >= n for q, n in zip(self.ledgers, delivered, strict=True))
        )

    def _is_confirmed_drained(self) -> bool:
        """Consumers have all that was confirmed; what is not confirmed waits before the broker."""
        return all(
            ledger.published - len(ledger.open) >= publisher.confirmed
            for publisher, ledger in zip(self.publishers, self.ledgers, strict=True)
        )

    def _pause_readers(self, is_paused: bool) -> None:
        for reader in self.readers:
            reader.is_paused = is_paused

    def _wait_blocked(self) -> None:
        seconds = self._run("blocked", lambda: all(p.is_blocked for p in self.publishers))
        self.raise_s_max = max(self.raise_s_max, seconds)

    def _wait_unblocked(self) -> None:
        seconds = self._run("unblocked", lambda: not any(p.is_blocked for p in self.publishers))
        self.clear_s_max = max(self.clear_s_max, seconds)

    def _run(self, what: str, is_done: Callable[[], bool]) -> float:
        """Let everyone work until it is done; returns how long that took.

        Raises:
            AssertionError: it takes too long.
        """
        begin = time.monotonic()
        while not is_done():
            if time.monotonic() - begin > WAIT_S:
                open_ = [len(ledger.open) for ledger in self.ledgers]
                blocked = [p.is_blocked for p in self.publishers]
                raise AssertionError(f"{what}: stuck; open {open_}, blocked {blocked}")
            readers = [reader for reader in self.readers if not reader.is_paused]
            actors: list[Any] = [*self.publishers, *readers]
            for actor in actors:
                actor.pump()
            unsent = [actor for actor in actors if actor.link.unsent]
            readable, writable, _ = select.select(actors, unsent, [], 0.02)
            for actor in readable:
                for event in actor.link.receive():
                    actor.on_event(event)
            for actor in writable:
                actor.link.flush()
        return time.monotonic() - begin


def alarms(rounds: int) -> dict[str, float]:
    """So many disk alarms and as many memory alarms, in turn, on a node of our own."""
    settings = (
        f"[limits]\ndisk_free_limit_bytes = {DISK_LIMIT_MB * MB}\nmessage_memory_bytes = 0\n"
        f"memory_high_watermark = {MEMORY_MB * MB / memory_total_bytes():.6f}\n"
        "[log]\nsegment_size_bytes = 4194304\n"
    )
    with tempfile.TemporaryDirectory() as own, small_disk(DISK_MB) as disk:
        config = pathlib.Path(own) / "posthouse.toml"
        config.write_text(settings, encoding="utf-8")
        node = PosthouseNode(disk / "data", options=["--config", str(config)]).start()
        try:
            run = AlarmRun(node, disk)
            for _ in range(rounds):
                run.disk()
                run.memory()
            figures = run.finish()
            assert node.terminate() == 0
        finally:
            node.stop()
    assert figures["alarms"] >= 2 * rounds, figures
    return figures


CAMPAIGN = Campaign(
    name="alarms",
    what="ten disk and ten memory alarms in a unit, under load: blocked and unblocked in pairs, consumers go on, nothing lost (L7)",
    units=10,
    run=lambda seed: alarms(10),
    timeout_s=600.0,
)
