"""The power cut: the load of the kill test, on a disk whose image is copied at a random moment; the node goes on with the copy.

    python -m tests.support.powercut --cuts 5 --seed 0 [--young] [--durability os] [--rabbitmq]

prints one line of JSON and ends with status 1 when a promise was broken (P9: as after a kill, though what was not synced may be missing).

At a cut the broker is stopped, the image is copied as the device has it (`loopdisk`), and the broker is killed. Whatever it had
confirmed, it had said before it was stopped, so before the copy: all of it must be in the copy. There are two kinds of runs. A
*continuing* one begins on an empty file system and cuts its first, young node; after that it always goes on with the survivor, so that a
chain of cuts and recoveries is passed over one history, and some of the recoveries are cut too. A *young* one makes a new file system for
each cut, within three seconds of the very first start, often before that start is done. Odd seeds of the campaign are young runs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support import link as amqp
from tests.support import roles
from tests.support.checker import QUEUES, SMALL_BOUNDS, KillRun
from tests.support.loopdisk import LoopDisk
from tests.support.nodes import PosthouseNode
from tests.support.rabbit import RabbitNode
from tests.torture.campaign import Campaign, Figures, add_up

Node = PosthouseNode | RabbitNode

LOAD_S = (0.2, 0.9)
YOUNG_S = (0.0, 3.0)
# Half of the young nodes are cut about when their first start is done.
STARTING_S = (0.0, 0.5)
RECOVERY_CUT = 0.25  # so often a recovery is cut as well
RECOVERING_S = (0.0, 0.4)
# What ext4 promises about unsynced data differs; nothing that was synced may depend on it.
MOUNT_OPTIONS = ("", "", "commit=1", "data=writeback", "data=journal", "nodelalloc")
CUTS = 5


class PowerCutRun(KillRun):
    """The kill test with a power cut in place of the kill. Node and disk belong to the caller.

    Attributes:
        cuts: how many there were, those of recoveries among them.
        unready_cuts: how many fell before the node was ready.
    """

    def __init__(self, node: Node, disk: LoopDisk, seed: int) -> None:
        super().__init__(node, seed)
        self.disk = disk
        self.cuts = 0
        self.unready_cuts = 0
        self.recovery_cut = RECOVERY_CUT
        self._is_declared = False

    def run(self, kills: int) -> dict[str, Any]:
        """Cut a young node, then the survivor, that many cuts in all without those of recoveries; settle; return the report."""
        self.cut_young(self._random.uniform(*YOUNG_S))
        self.go_on(kills - 1)
        return self.finish()

    def go_on(self, cuts: int) -> None:
        """Load and cut."""
        for _ in range(cuts):
            self._load(self._random.uniform(*LOAD_S))
            self._kill()
            self._restart()

    def run_grown_up(self, cuts: int) -> dict[str, Any]:
        """`run` for a broker that does not get over its first seconds: all that its first start wrote is synced before the load."""
        self.node.start()
        self._declare()
        self._is_declared = True
        os.sync()
        self.recovery_cut = 0.0
        self.go_on(cuts)
        return self.finish()

    def cut_young(self, age_s: float, *, from_ready: bool = False) -> None:
        """Start for the very first time, cut the power ``age_s`` after the process began, or was ready, and start again."""
        self.node.launch()
        if from_ready and not self.node.wait_ready(90.0):
            raise RuntimeError(f"the node did not start: {self.node.stderr()[-1500:]}")
        end = time.monotonic() + age_s
        if from_ready or self.node.wait_ready(age_s):
            self._declare()
            self._is_declared = True
            self._load(max(0.0, end - time.monotonic()))
            self._kill()
        else:
            self.unready_cuts += 1
            self._cut()
        self._restart()

    def finish(self) -> dict[str, Any]:
        """Settle everything; return the report."""
        cuts = {"cuts": self.cuts, "unready_cuts": self.unready_cuts}
        return {**cuts, "copies_repeated": self.disk.copies_repeated, **self._finish(self.cuts)}

    def _kill(self) -> None:
        self.node.check()
        for role in self._roles:
            role.session.end()
        self._cut()
        for role in self._roles:
            role.bury()

    def _cut(self) -> None:
        self.node.freeze()
        copy = self.disk.cut()
        self.node.kill()
        self.disk.replace(copy)
        self.cuts += 1

    def _restart(self) -> None:
        while self._random.random() < self.recovery_cut:
            self.node.launch()
            self.unready_cuts += not self.node.wait_ready(self._random.uniform(*RECOVERING_S))
            self._cut()
        super()._restart()
        if self._is_declared:
            self._look_at_definitions()
        # Where the control lost them the rest goes on all the same.
        self._declare()
        self._is_declared = True

    def _look_at_definitions(self) -> None:
        """What was declared before any load, and answered."""
        for queue in QUEUES:
            link = amqp.Link(self.node.port)
            try:
                link.declare_queue(queue, passive=True)
            except amqp.Broken:
                self.history.verdict.add("definitions", f"queue {queue} is gone")
            link.close()


def run_continuing(
    seed: int, cuts: int, make_node: Callable[[Path], Node], *, is_grown_up: bool = False
) -> dict[str, Any]:
    """A chain of cuts on one file system; returns the report."""
    options = random.Random(seed).choice(MOUNT_OPTIONS)
    with LoopDisk(options) as disk:
        node = make_node(disk.mount_point / "data")
        try:
            run = PowerCutRun(node, disk, seed)
            report = run.run_grown_up(cuts) if is_grown_up else run.run(cuts)
            return {"options": options, **report}
        finally:
            node.stop()


def run_young(
    seed: int,
    cuts: int,
    make_node: Callable[[Path], Node],
    ages_s: Sequence[tuple[float, float]] = (STARTING_S, YOUNG_S),
    *,
    from_ready: bool = False,
) -> list[dict[str, Any]]:
    """As many nodes on new file systems, each cut once at an age out of one of ``ages_s`` in turn; returns a report of each."""
    choice = random.Random(seed)
    reports = []
    for n in range(cuts):
        options, age_s = choice.choice(MOUNT_OPTIONS), choice.uniform(*ages_s[n % len(ages_s)])
        with LoopDisk(options) as disk:
            node = make_node(disk.mount_point / "data")
            try:
                run = PowerCutRun(node, disk, seed * 1000 + n)
                run.recovery_cut = 0.0
                run.cut_young(age_s, from_ready=from_ready)
                about = {"options": options, "age_s": round(age_s, 3)}
                reports.append({**about, **run.finish()})
            finally:
                node.stop()
    return reports


def posthouse(config: Path, durability: str = "fsync") -> Callable[[Path], PosthouseNode]:
    """Makes nodes whose bounds are small: segments end, snapshots are taken and bodies leave memory all the time."""
    config.write_text(SMALL_BOUNDS, encoding="utf-8")
    options = ["--config", str(config)]
    return lambda data_dir: PosthouseNode(data_dir, durability=durability, options=options)


def reports_of(seed: int, cuts: int, *, durability: str = "fsync") -> list[dict[str, Any]]:
    """A young run for an odd seed, a continuing one for an even seed."""
    with tempfile.TemporaryDirectory(prefix="posthouse-test-") as own:
        make_node = posthouse(Path(own) / "posthouse.toml", durability)
        if seed % 2:
            return run_young(seed, cuts, make_node)
        return [run_continuing(seed, cuts, make_node)]


SUMMED = ("cuts", "unready_cuts", "lost", "confirmed", "committed_in_tx", "defined", "acks")


def run(seed: int) -> Figures:
    """One unit of the campaign.

    Raises:
        AssertionError: a promise was broken; has the report.
    """
    total: dict[str, float] = {}
    for report in reports_of(seed, CUTS):
        assert report["clean"], json.dumps(report)
        add_up(total, {key: report[key] for key in (*SUMMED, "restart_max_ms")})
    total["restart_ms_max"] = total.pop("restart_max_ms")
    return total


CAMPAIGN = Campaign(
    name="powercut",
    what=f"{CUTS} power cuts under load of nodes on a loop-mounted ext4, a half of them seconds old: P1 to P6 and P9",
    units=10,
    run=run,
)


def rabbitmq_reports(seed: int, cuts: int, *, is_young: bool) -> list[dict[str, Any]]:
    """The same with RabbitMQ, whose confirms come in any order. A node that does not boot again is a report, too."""

    def make_node(data_dir: Path) -> RabbitNode:
        return RabbitNode(data_dir=data_dir)

    roles.Producer.in_order = False
    found: list[dict[str, Any]] = []
    for n in range(cuts if is_young else 1):
        try:
            if is_young:
                # It takes four seconds and more to be ready: every second one is cut within three seconds after that.
                is_ready = n % 2 == 0
                ages_s = [YOUNG_S if is_ready else (1.0, 6.0)]
                found += run_young(seed + 2 * n, 1, make_node, ages_s, from_ready=is_ready)
            else:
                found.append(run_continuing(seed, cuts, make_node, is_grown_up=True))
        except (RuntimeError, AssertionError, amqp.Broken) as error:
            found.append({"clean": False, "failed": f"{type(error).__name__}: {error}"[:2000]})
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.powercut", description=__doc__)
    parser.add_argument("--cuts", type=int, default=CUTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--young", action="store_true", help="nodes seconds old (an odd seed)")
    parser.add_argument("--durability", default="fsync")
    parser.add_argument("--rabbitmq", action="store_true")
    chosen = parser.parse_args(arguments)
    seed = chosen.seed | 1 if chosen.young else chosen.seed
    if chosen.rabbitmq:
        reports = rabbitmq_reports(seed, chosen.cuts, is_young=chosen.young)
    else:
        reports = reports_of(seed, chosen.cuts, durability=chosen.durability)
    for report in reports:
        print(json.dumps(report))
    return 0 if all(report["clean"] for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
