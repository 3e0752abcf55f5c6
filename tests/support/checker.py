"""The kill test: load with confirms, SIGKILL at random moments, restart on the same directory; then every promise is checked.

    python -m tests.support.checker --kills 20 --seed 1

prints one line of JSON and ends with status 1 when a promise was broken. The load runs in this one thread: four producers with confirms
into two work queues and an archive, a producer of transactions, one that moves messages in transactions, one that changes definitions,
consumers that acknowledge, give back, hold and come back. `history` says what is checked, `roles` who does what.
"""

from __future__ import annotations

import argparse
import json
import random
import select
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support import link as amqp
from tests.support import roles
from tests.support.definer import Definer
from tests.support.history import History, Identity, Session, read_body
from tests.support.nodes import PosthouseNode
from tests.support.rabbit import RabbitNode
from tests.torture.campaign import Campaign

ROUTES = {
    "w0": ["work.0", "archive"],
    "w1": ["work.1", "archive"],
    "ta": ["tx.a"],
    "tb": ["tx.b"],
    "in": ["tx.in"],
}
QUEUES = ["work.0", "work.1", "archive", "tx.a", "tx.b", "tx.in", "tx.out"]
KILL_AFTER_S = (0.3, 1.5)
STALL_S = 20.0


class KillRun:
    """One broker, its load and its history. The node belongs to the caller, who stops it."""

    def __init__(
        self,
        node: PosthouseNode | RabbitNode,
        seed: int,
        damage: Callable[[Path], None] | None = None,
    ) -> None:
        """`damage` is done to the data directory after each kill: it shows that the checker sees what it must."""
        self.node = node
        self.seed = seed
        self.damage = damage
        self.history = History()
        self.restart_s: list[float] = []
        self.load_s = 0.0
        self._random = random.Random(seed)
        history = self.history
        self._definer = Definer(history)
        self._roles: list[roles.Role] = [
            *(roles.Producer(history, number, f"w{number // 2}") for number in range(4)),
            roles.Producer(history, 9, "in", window=50),
            roles.TxProducer(history, 20, ("ta", "tb"), seed),
            roles.Mover(history, "tx.in", "tx.out"),
            roles.Acker(history, "work.0"),
            roles.Nacker(history, "work.1", seed + 1),
            roles.Holder(history, "work.1", seed + 2),
            self._definer,
        ]

    def run(self, kills: int) -> dict[str, Any]:
        """Kill that many times, then settle everything; return the report."""
        self.node.start()
        self._declare()
        for _ in range(kills):
            self._load(self._random.uniform(*KILL_AFTER_S))
            self._kill()
            if self.damage is not None and self.node.data_dir is not None:
                self.damage(self.node.data_dir)
            self._restart()
        return self._finish(kills)

    def _restart(self) -> None:
        """Start again on what is left; the definitions must be there."""
        begin = time.monotonic()
        self.node.restart()
        self.restart_s.append(time.monotonic() - begin)
        self._definer.verify(self.node.port, with_bindings=False)

    def _finish(self, kills: int) -> dict[str, Any]:
        """Read everything, stop in order, judge."""
        self._definer.verify(self.node.port, with_bindings=True)
        left = self._drain()
        self._stop_cleanly()
        verdict = self.history.judge(left, {**ROUTES, "in": []})
        self.history.judge_groups(left["tx.a"] + left["tx.b"])
        self.history.judge_moved("in", left["tx.in"], left["tx.out"])
        figures = self.history.figures()
        return {
            "kills": kills,
            "seed": self.seed,
            "clean": verdict.is_clean,
            "lost": verdict.lost,
            "duplicates": verdict.duplicates,
            "order": verdict.order,
            "half_transactions": verdict.half_transactions,
            "definitions": verdict.definitions,
            "forgotten_acks": verdict.forgotten_acks,
            "refused": verdict.refused,
            **figures,
            "defined": len(self._definer.states),
            "confirmed_per_s": round(figures["confirmed"] / self.load_s) if self.load_s else 0,
            "restart_max_ms": round(1000 * max(self.restart_s, default=0.0)),
            "examples": verdict.examples,
        }

    def _declare(self) -> None:
        link = amqp.Link(self.node.port)
        link.declare_exchange(roles.EXCHANGE)
        for queue in QUEUES:
            link.declare_queue(queue)
        for key, queues in ROUTES.items():
            for queue in queues:
                link.bind(queue, roles.EXCHANGE, key)
        link.close()

    def _load(self, duration_s: float) -> None:
        """Let every role work for a while."""
        for role in self._roles:
            role.connect(self.node.port)
        begin = time.monotonic()
        deadline = begin + duration_s
        while time.monotonic() < deadline:
            for role in self._roles:
                role.pump()
                if isinstance(role, roles.Holder) and role.is_due:
                    role.come_back()
            unsent = [role for role in self._roles if role.link.unsent]
            readable, writable, _ = select.select(self._roles, unsent, [], 0.01)
            for role in readable:
                for event in role.link.receive():
                    role.on_event(event)
            for role in writable:
                role.link.flush()
        self.load_s += time.monotonic() - begin

    def _kill(self) -> None:
        self.node.check()
        for role in self._roles:
            role.session.end()
        self.node.kill()
        for role in self._roles:
            role.bury()

    def _drain(self) -> dict[str, list[Identity]]:
        """Read every queue to its end; return what was in those that nobody had read before."""
        left = {queue: self._read(queue) for queue in QUEUES}
        del left["work.0"], left["work.1"]
        return left

    def _read(self, queue: str) -> list[Identity]:
        """Read one queue, which nobody else uses, until it is empty, acknowledging all."""
        link = amqp.Link(self.node.port)
        session = Session()
        found: list[Identity] = []
        expected = link.declare_queue(queue, passive=True)
        if expected:
            link.consume(queue, 2000)
        while len(found) < expected:
            if not select.select([link], [], [], STALL_S)[0]:
                said = self.node.stderr()[-2000:]
                raise RuntimeError(f"{queue}: nothing after {len(found)} of {expected}: {said}")
            tag = 0
            for event in link.receive():
                if event.method == amqp.BASIC_CONSUME_OK:
                    continue
                tag, redelivered = roles.delivery(event)
                found.append(read_body(event.body))
                if queue.startswith("work."):
                    strict = queue == "work.0"
                    self.history.delivered(queue, found[-1], redelivered, session, strict)
            if tag:
                link.send(amqp.ack(tag, multiple=True))
        # The answer comes behind the last acknowledgement.
        if link.declare_queue(queue, passive=True):
            raise RuntimeError(f"{queue}: more than the {expected} messages that it had")
        link.close()
        return found

    def _stop_cleanly(self) -> None:
        """After SIGTERM and a start nothing that was acknowledged is there."""
        self.node.check()
        status = self.node.terminate()
        if status != 0:
            raise RuntimeError(f"status {status} at SIGTERM: {self.node.stderr()[-2000:]}")
        self.node.restart()
        link = amqp.Link(self.node.port)
        for queue in QUEUES:
            count = link.declare_queue(queue, passive=True)
            for _ in range(count):
                self.history.verdict.add("forgotten_acks", f"{queue}: {count} after a clean stop")
        link.close()
        self.node.terminate()


SMALL_BOUNDS = """
[log]
segment_size_bytes = 1048576
snapshot_bytes = 1048576
[limits]
message_memory_bytes = 4194304
"""


def report_of(
    kills: int,
    seed: int,
    directory: Path | None = None,
    damage: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Run the kill test on a node of its own; return the report.

    The node's bounds are small: segments end, snapshots are taken and bodies leave memory all the time.
    """
    with tempfile.TemporaryDirectory(prefix="posthouse-test-") as own:
        config = Path(own) / "posthouse.toml"
        config.write_text(SMALL_BOUNDS, encoding="utf-8")
        node = PosthouseNode(directory or Path(own) / "data", options=["--config", str(config)])
        try:
            return KillRun(node, seed, damage).run(kills)
        finally:
            node.stop()


KILLS_A_UNIT = 10


def _unit(seed: int) -> dict[str, float]:
    """Ten kills of one broker; another load with each seed."""
    report = report_of(KILLS_A_UNIT, seed)
    if not report["clean"]:
        raise AssertionError(json.dumps(report))
    sums = ("kills", "confirmed", "committed_in_tx", "transactions", "moved", "deliveries")
    counts = ("lost", "duplicates", "order", "half_transactions", "forgotten_acks")
    more = ("redeliveries", "acks", "acks_beyond_grace")
    return {
        **{name: report[name] for name in (*sums, *more, *counts)},
        "oldest_forgotten_ack_ms_max": report["oldest_forgotten_ack_ms"],
        "restart_ms_max": report["restart_max_ms"],
    }


CAMPAIGN = Campaign(
    name="kill",
    what="SIGKILL under load, ten times in a unit: nothing confirmed is lost, doubled, out of order or half (P1-P6, P8)",
    units=20,
    run=_unit,
    timeout_s=600.0,
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.checker", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data-dir", type=Path, help="kept; the default is a directory that goes")
    chosen = parser.parse_args(arguments)
    report = report_of(chosen.kills, chosen.seed, chosen.data_dir)
    print(json.dumps(report))
    return 0 if report["clean"] else 1


if __name__ == "__main__":
    sys.exit(main())
