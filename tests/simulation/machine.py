"""The machine under the simulated broker: what `posthouse.server.surroundings` asks for, as the seed wants it."""

from __future__ import annotations

import random
from typing import Any

from posthouse.core.config import AmqpConfig, Config, LimitsConfig, LogConfig, NodeConfig
from posthouse.server.surroundings import Surroundings
from tests.simulation.committer import SimulatedCommitter
from tests.simulation.disk import FaultyFiles
from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import Network, SimulatedListener
from tests.simulation.switches import Switches

MEMORY = 1 << 30


class Machine:
    """One machine over all lives of its broker.

    Attributes:
        memory_used: what the gauge shows; above 40 % of `MEMORY` is an alarm.
        disk_free: likewise, unless the disk's capacity counts.
    """

    def __init__(self, switches: Switches, loop: SimulatedLoop, choice: random.Random) -> None:
        self._switches = switches
        self._loop = loop
        self._choice = choice
        self.files = FaultyFiles()
        self.network = Network(loop, choice, switches.patience_s, switches.window)
        self.memory_used = 0
        self.disk_free = 1 << 40
        self.lives = 0

    def config(self) -> Config:
        """The broker's configuration."""
        s = self._switches
        return Config(
            node=NodeConfig(data_dir="/data", durability=s.durability),
            amqp=AmqpConfig(heartbeat_s=s.heartbeat_s),
            limits=LimitsConfig(
                message_memory_bytes=s.message_memory,
                output_high_water_bytes=s.output_high,
                queue_high_water_bytes=s.queue_high,
                unsynced_high_water_bytes=s.unsynced_high,
                disk_free_limit_bytes=0 if s.is_short_of_disk else 50_000_000,
            ),
            log=LogConfig(
                segment_size_bytes=s.segment_size,
                reserve_bytes=s.reserve_bytes,
                snapshot_bytes=s.snapshot_bytes,
                on_failure=s.on_failure,
                ack_delay_ms=s.ack_delay_ms,
            ),
        )

    def surroundings(self) -> Surroundings:
        """For one life."""
        s = self._switches
        self.lives += 1
        files: Any = self.files
        return Surroundings(
            loop=self._loop,
            clock=self._loop.clock,
            files=files,
            make_committer=lambda *callbacks: SimulatedCommitter(
                self._loop, self._choice, s.sync_s, *callbacks
            ),
            random=random.Random(self._choice.getrandbits(64)),
            make_door=self._make_door,
            memory_total=lambda: MEMORY,
            memory_used=lambda: self.memory_used,
            disk_free=lambda _: self.files.memory.room() if s.is_short_of_disk else self.disk_free,
            ring_max=s.ring_max,
            slice_entries=s.slice_entries,
            slice_rows=s.slice_rows,
            batch_bytes=s.batch_bytes,
            dead_min=s.dead_min,
            block_size=s.block_size,
            process_id=self.lives,
        )

    def _make_door(
        self, loop: Any, tick: Any, clock: Any, make_session: Any, **bounds: Any
    ) -> SimulatedListener:
        self.network.settle = tick.settle
        poller: Any = self.network
        return SimulatedListener(loop, tick, clock, make_session, poller=poller, **bounds)
