"""One seed: a broker, its disk and its clients on a virtual clock, several lives long, each ended by what the seed chose."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from posthouse.broker.queues.queue import Queue
from posthouse.core.errors import StorageError
from posthouse.server.node import EX_IOERR, EX_OK, Node
from posthouse.testing.clock import VirtualClock
from tests.simulation.client import Client
from tests.simulation.disk import Died, Fault
from tests.simulation.drain import Drainer
from tests.simulation.inspector import Inspector
from tests.simulation.letters import Name
from tests.simulation.loop import SimulatedLoop
from tests.simulation.machine import MEMORY, Machine
from tests.simulation.model import Death, Model, Violation
from tests.simulation.roles import Consumer, Getter, Mover, Producer, TxProducer
from tests.simulation.switches import EIO, KILL, POWER, STOP, draw
from tests.simulation.topology import ADDRESSES, QUEUES, VOLATILE, Facts, Founder, Meddler

ROLES = ((Producer, 30), (TxProducer, 10), (Consumer, 35), (Getter, 8), (Mover, 10), (Meddler, 7))
CALLS = (
    *("", "", "", "append", "append", "append", "datasync", "datasync", "create", "sync_directory"),
    *("unlink", "truncate", "rename", "read_at", "reserve"),
)
OPENING_CALLS = (*CALLS, "read", "list", "size", "open_append", "make_directory")
# Virtual seconds within which everything must come to rest when nothing is in the way.
CALM_S = 60.0
# A block is as large as its largest message.
LARGEST = 140_000
EVENTS_MAX = 200_000


class Simulation:
    """See `run`.

    Attributes:
        sizes: of all messages ever published.
        is_calm: producers stop, consumers take what is there.
        is_founded: the queues are there.
    """

    def __init__(self, seed: int, on_note: Callable[[str], object] | None = None) -> None:
        self.seed = seed
        self.choice = random.Random(seed)
        self.switches = draw(self.choice)
        self.loop = SimulatedLoop(VirtualClock())
        self.loop.on_note = on_note
        self.machine = Machine(self.switches, self.loop, self.choice)
        self.files = self.machine.files
        self.files.on_fault = self._on_fault
        self.network = self.machine.network
        self.model = Model(self.switches.grace_s)
        self.model.tell = None if on_note is None else self._tell
        self.facts = Facts()
        self.sizes: dict[Name, int] = {}
        self.figures: Counter[str] = Counter()
        self.node: Node | None = None
        self.is_calm = False
        self.is_founded = False
        self._senders = 0
        self._client_count = 0
        self._clients: list[Client] = []
        self._has_stopped = False
        self._trouble_at = math.inf
        self._is_doubtful = False
        self._unexamined: Death | None = None

    def _tell(self, what: str) -> None:
        assert self.loop.on_note is not None
        self.loop.on_note(f"{self.loop.now:12.6f}    {what}")

    # --- for clients ----------------------------------------------------------------------------

    def next_sender(self) -> int:
        """A number for a channel."""
        self._senders += 1
        return self._senders

    def body_size(self) -> int:
        """Mostly small, seldom some frames long."""
        draw = self.choice.random()
        if draw < 0.01:
            return self.choice.choice((16_384, 20_000, 70_000, LARGEST))
        if draw < 0.1:
            return int(self.choice.random() * 20 * self.switches.body_scale)
        return int(self.choice.expovariate(1.0) * self.switches.body_scale)

    def address(self) -> tuple[str, bytes]:
        """Where to publish."""
        return self.choice.choice(ADDRESSES)

    def queue_name(self) -> str:
        """Where to consume."""
        return self.choice.choice((*QUEUES, *QUEUES, *VOLATILE, "t0"))

    def queue(self, name: str) -> Queue | None:
        """As the broker has it."""
        assert self.node is not None
        return self.node.broker.vhosts["/"].queues.get(name)

    def route(self, exchange: str, key: bytes) -> list[Queue]:
        """Where the broker would put a message now."""
        assert self.node is not None
        return self.node.broker.vhosts["/"].resolve(exchange, key, None)

    def check_close(self, client: Client, method: Any) -> None:
        """The broker closed a connection: only when it stops, or its log failed."""
        assert self.node is not None
        is_due = method.reply_code == 320 or (
            method.reply_code == 541 and self.node.journal.has_failed
        )
        if not is_due:
            raise Violation(f"{client} was closed: {method.reply_code} {method.reply_text}")

    def on_client_gone(self, client: Client) -> None:
        """Somebody else comes, after a while."""
        if client in self._clients:
            self._clients.remove(client)
            if not self.is_calm:
                self._come_later()

    # --- the population -------------------------------------------------------------------------

    def _come_later(self) -> None:
        self.loop.call_later(self.choice.expovariate(1.0) * 0.02, self._come)

    def _come(self) -> None:
        if self.is_calm or len(self._clients) >= self.switches.clients:
            return
        role = Founder if not self.is_founded else self._role()
        if not self._start(role):
            self._come_later()

    def _role(self) -> type[Client]:
        roles, weights = zip(*ROLES, strict=True)
        role: type[Client] = self.choice.choices(roles, weights)[0]
        if role is Meddler and any(isinstance(c, Meddler) for c in self._clients):
            return Producer
        return role

    def _start(self, role: type[Client]) -> Client | None:
        if role is Founder and any(isinstance(c, Founder) for c in self._clients):
            return None
        self._client_count += 1
        client = role(self, self._client_count)
        self._clients.append(client)
        if client.start():
            return client
        self._clients.remove(client)
        return None

    # --- lives ----------------------------------------------------------------------------------

    def run(self) -> Mapping[str, float]:
        """All lives; returns what there was.

        Raises:
            Violation: a promise was broken. Other exceptions of the broker are as bad.
        """
        death: Death | None = None
        for _ in range(self.switches.lives):
            kind = self._draw_death()
            death = self._live(kind, self._draw_fault(kind), death)
        self._last_life(death)
        self.figures.update(
            confirmed=self.model.confirmed,
            deliveries=self.model.delivered_count,
            messages=len(self.sizes),
            events=self.loop.events,
            forgotten_acks=self.model.forgotten,
            simulated_hours=(self.loop.now - 1000.0) / 3600,
            violations=0,
        )
        return {**self.figures, "oldest_forgotten_ack_s_max": self.model.oldest_forgotten_s}

    def _draw_death(self) -> str:
        kinds = [KILL, KILL, STOP, EIO]
        if self.switches.durability == "fsync" and not self._is_doubtful:
            kinds += [POWER, POWER, POWER]
        return self.choice.choice(kinds)

    def _draw_fault(self, kind: str) -> Fault | None:
        if kind == STOP or (kind != EIO and self.choice.random() < 0.3):
            return None
        calls = OPENING_CALLS if self.choice.random() < 0.2 else CALLS
        name = self.choice.choice(calls)
        most = self.choice.choice((3, 30, 200) if not name else (2, 10, 40))
        return Fault(kind, name, self.choice.randrange(most))

    def _live(self, kind: str, fault: Fault | None, before: Death | None) -> Death:
        self.loop.note(f"--- a life that ends by {kind}, {fault or 'at some time'}")
        if fault is not None and self.choice.random() < 0.25:
            self.files.fault = fault
        try:
            self._start_node(before)
            self.files.fault = self.files.fault or (fault if self.choice.random() < 0.9 else None)
            self._run(int(self.switches.life_events * (0.3 + self.choice.random())))
            if kind in (KILL, POWER):
                self.files.die(kind)
                raise Died
            return self._stop()
        except Died:
            return self._die()

    def _start_node(self, before: Death | None) -> None:
        self._has_stopped = False
        self._trouble_at = math.inf
        self._unexamined = before
        for _ in range(10):
            try:
                self.node = Node(self.machine.config(), self.machine.surroundings())
                break
            except StorageError as error:
                self.loop.note(f"it does not start: {error}")
                self.figures["refused_starts"] += 1
                self.files.memory.capacity = 1 << 62
                if self.files.failed.count("datasync"):
                    self._is_doubtful = True
                self.files.restart(self.choice)
                self.loop.forget_all()
        else:
            raise Violation("the broker does not start")
        if self.files.dead_by:
            raise Died
        self.node.on_stopped = self._on_stopped
        self._check_reports()
        if before is not None:
            with self.files.quietly():
                self.facts.compare(self.node.broker.vhosts["/"], before)
                self.model.found(Inspector(self.node).all_ready(), before)
        self._unexamined = None
        self.node.listen()
        for _ in range(self.switches.clients):
            self._come_later()
        self._plan_weather()

    def _check_reports(self) -> None:
        assert self.node is not None
        for name, report in self.node.journal.reports.items():
            if report.damaged and not self._is_doubtful:
                raise Violation(f"P11: {name} reports damage that nobody did: {report.damaged}")

    def _on_stopped(self) -> None:
        self._has_stopped = True

    def _run(self, events: int, end: float = math.inf) -> None:
        """So many events, at most until ``end``."""
        last = self.loop.events + events
        while self.loop.events < last and self.loop.now < end and not self._has_stopped:
            if not self.loop.step():
                break
            if self.files.dead_by:
                raise Died
        if self.loop.events > EVENTS_MAX:
            raise Violation("it does not come to an end")

    def _run_until(self, end: float) -> None:
        self._run(EVENTS_MAX, end)

    def _stop(self) -> Death:
        """The orderly end, or the one after a failure of the log."""
        node = self.node
        assert node is not None
        self.loop.note("it is told to stop")
        node.stop()
        self._run_until(self.loop.now + 5.0)
        if not self._has_stopped:
            raise Violation("P16: it does not stop within 5 s")
        code = node.close()
        if self.files.dead_by:
            raise Died
        has_failed = node.journal.has_failed
        self.loop.note(f"it ends with code {code}")
        if code != (EX_IOERR if has_failed else EX_OK):
            raise Violation(
                f"P12: it ends with code {code}, the log has {'' if has_failed else 'not '}failed"
            )
        self.figures["failures" if has_failed else "stops"] += 1
        return self._bury(STOP, is_clean=code == EX_OK)

    def _die(self) -> Death:
        self.figures["kills" if self.files.dead_by == KILL else "power_cuts"] += 1
        return self._bury(self.files.dead_by, is_clean=False)

    def _bury(self, kind: str, *, is_clean: bool) -> Death:
        self.loop.note(f"dead by {kind}")
        if self.node is not None:
            self.figures["snapshots"] += self.node.snapshotter.taken
            self.figures["octets_moved"] += self.node.cleaner.octets_moved
            self.figures["rewritten"] += self.node.rewriter.rewritten
        self.network.die()
        self.loop.forget_all()
        self._clients.clear()
        self.model.die()
        death = Death(kind, self.loop.now, is_clean, self._trouble_at)
        if self._unexamined is not None:
            # It died while it started: what the life before it left is still to be looked at.
            death = replace(self._unexamined, kind=f"{self._unexamined.kind} and {kind}")
        if not self.files.dead_by and self.switches.durability == "fsync" and not self._is_doubtful:
            if self.choice.random() < 0.5:
                # Power goes while nothing runs: after an orderly stop everything is on the disk.
                self.files.die(POWER)
        if self.files.failed.count("datasync") and self.files.dead_by != POWER:
            # What that sync had to write is in the cache only, and the next life cannot know.
            self._is_doubtful = True
        self.files.restart(self.choice)
        self.machine.memory_used = 0
        self.files.memory.capacity = 1 << 62
        self.node = None
        return death

    # --- the weather ----------------------------------------------------------------------------

    def _on_fault(self, what: str) -> None:
        self.loop.note(f"*** {what}")
        if what.startswith(EIO):
            self.figures["eio"] += 1
            self._trouble_at = min(self._trouble_at, self.loop.now)

    def _plan_weather(self) -> None:
        s = self.switches
        if s.has_alarms:
            self.loop.call_later(self.choice.random() * 3.0, self._raise_alarm)
        if s.is_short_of_disk:
            self.loop.call_later(self.choice.random() * 3.0, self._fill_disk)

    def _raise_alarm(self) -> None:
        self.figures["alarms"] += 1
        self.machine.memory_used = MEMORY
        self.loop.call_later(self.choice.random() * 3.0, self._clear_alarm)

    def _clear_alarm(self) -> None:
        self.machine.memory_used = 0
        if not self.is_calm:
            self.loop.call_later(self.choice.random() * 3.0, self._raise_alarm)

    def _fill_disk(self) -> None:
        if self.is_calm:
            return
        self.figures["full_disks"] += 1
        self._trouble_at = min(self._trouble_at, self.loop.now)
        self.loop.note("the disk becomes small")
        memory = self.files.memory
        memory.capacity = memory.used() + int(self.choice.random() * 20_000)
        self.loop.call_later(self.choice.random() * 4.0, self._free_disk)

    def _free_disk(self) -> None:
        self.loop.note("the disk is large again")
        self.files.memory.capacity = 1 << 62
        if not self.is_calm:
            self.loop.call_later(self.choice.random() * 2.0, self._fill_disk)

    # --- the last life --------------------------------------------------------------------------

    def _last_life(self, before: Death | None) -> None:
        """Nothing is in the way any more: everything comes to rest, and is counted."""
        self.loop.note("--- the last life")
        self._start_node(before)
        self._run(self.switches.life_events // 3)
        self.is_calm = True
        self.machine.memory_used = 0
        self.files.memory.capacity = 1 << 62
        self.loop.note("be calm")
        self.network.hurry()
        self._wait("clients that are stuck", lambda: not self._clients)
        self._run_until(self.loop.now + 3.0)
        self._check_contents()
        self._drain()
        self._check_rest()
        death = self._stop()
        self._start_node(death)
        assert self.node is not None
        left = {q.name: q.message_count for q in self.node.broker.vhosts["/"].queues.values()}
        if any(left.values()):
            raise Violation(f"P4: drained queues hold messages after a stop: {left}")

    def _wait(self, what: str, is_done: Callable[[], bool]) -> None:
        end = self.loop.now + CALM_S
        while not is_done():
            if self.loop.now > end:
                raise Violation(f"{what}: {', '.join(str(client) for client in self._clients)}")
            if not self.loop.step():
                raise Violation(f"{what}, and nothing is planned")

    def _queues(self) -> list[Queue]:
        assert self.node is not None
        queues: list[Queue] = list(self.node.broker.vhosts["/"].queues.values())
        return queues

    def _check_contents(self) -> None:
        """Every queue has exactly what the model has."""
        assert self.node is not None
        with self.files.quietly():
            inspector = Inspector(self.node)
            for queue in self._queues():
                there = [name for name, _ in inspector.ready(queue)]
                expected = self.model.expected(queue)
                certain = {e.letter.name for e in expected if e.is_sure}
                if self.model.shelf(queue).is_loose:
                    certain = set()
                wanted = [e.letter.name for e in expected if e.letter.name in set(there)]
                if there != wanted or not certain <= set(there):
                    all_names = [e.letter.name for e in expected]
                    extra = [name for name in there if name not in all_names]
                    missing = sorted(certain - set(there))
                    raise Violation(
                        f"P5/P6: queue '{queue.name}' has too much {extra}, not {missing}, of {there}"
                    )
            inspector.check_references()

    def _drain(self) -> None:
        for queue in self._queues():
            count = queue.ready_count
            drainer = Drainer(self, -1)
            drainer.target, drainer.count = queue.name, count
            self._clients.append(drainer)
            drainer.start()
            self._wait(f"a drain of '{queue.name}'", lambda: not self._clients)

    def _check_rest(self) -> None:
        """Nothing is left: no references, no segments, no pages."""
        node = self.node
        assert node is not None
        self._run_until(self.loop.now + 12.0)
        for queue in self._queues():
            if queue.message_count:
                raise Violation(f"queue '{queue.name}' still has {queue.message_count} messages")
        with self.files.quietly():
            Inspector(node).check_references()
            segments = self.files.memory.list("/data/shard")
            pages = self.files.memory.list("/data/pages")
        bases = [int(name[:-4]) for name in segments if name.endswith(".seg")]
        shard = node.journal.shard
        assert shard is not None
        # The block that is appended to stays, and so do its segments: a large transaction makes a large one.
        current = 0 if shard.current is None else shard.current.capacity
        if bases[-1] - bases[0] > 2 * self.switches.segment_size + max(current, LARGEST):
            raise Violation(f"segments stay though nothing is needed: {segments}")
        if pages:
            raise Violation(f"pages stay though nothing is needed: {pages}")
        if node.dispatcher.waiters or node.dispatcher.held or node.dispatcher.arrivals:
            raise Violation("somebody still waits")
        if node.dispatcher.damaged_records:
            raise Violation(
                f"P11: {node.dispatcher.damaged_records} records are said to be damaged"
            )
