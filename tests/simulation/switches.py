"""What a seed draws before anything happens: sizes at which rare branches are common, and how the machine is to behave."""

from __future__ import annotations

import random
from dataclasses import dataclass

# Node deaths: what ends a life of the broker.
KILL, POWER, EIO, STOP = "kill", "power", "eio", "stop"


@dataclass(frozen=True, kw_only=True)
class Switches:
    """The draw of one seed."""

    segment_size: int
    block_size: int
    ring_max: int
    slice_entries: int
    slice_rows: int
    batch_bytes: int
    dead_min: int
    message_memory: int
    snapshot_bytes: int
    reserve_bytes: int
    output_high: int
    queue_high: int
    unsynced_high: int
    durability: str
    on_failure: str
    ack_delay_ms: float
    heartbeat_s: int
    frame_max: int
    sync_s: float
    patience_s: float
    clients: int
    window: int
    pace_s: float
    body_scale: int
    is_short_of_disk: bool
    has_alarms: bool
    lives: int
    life_events: int

    @property
    def grace_s(self) -> float:
        """Acknowledgements older than this at a death are never forgotten (P4: a second, on a disk that keeps up)."""
        return 1.0 + 6 * self.sync_s


def draw(choice: random.Random) -> Switches:
    """Draw everything; the same random state draws the same."""
    pick = choice.choice
    durability = "os" if choice.random() < 0.15 else "fsync"
    return Switches(
        segment_size=pick((4096, 8192, 16384, 65536, 1 << 20)),
        block_size=pick((512, 1024, 4096, 8192, 65536, 0)),
        ring_max=pick((16, 16, 32, 256, 65536)),
        slice_entries=pick((1, 3, 7, 50, 65536)),
        slice_rows=pick((1, 3, 128)),
        batch_bytes=pick((1, 1000, 10_000, 4 << 20)),
        dead_min=pick((0, 0, 5, 1000)),
        message_memory=pick((1, 1, 4096, 65536, 1 << 20, 0)),
        snapshot_bytes=pick((4096, 8192, 32768, 1 << 20)),
        reserve_bytes=pick((0, 4096, 16384)),
        output_high=pick((65536, 65536, 1 << 20)),
        queue_high=pick((65536, 65536, 1 << 20)),
        unsynced_high=pick((65536, 65536, 1 << 20)),
        durability=durability,
        on_failure="block" if choice.random() < 0.25 else "stop",
        ack_delay_ms=pick((0.0, 1.0, 5.0, 50.0)),
        heartbeat_s=pick((0, 0, 1, 5)),
        frame_max=pick((4096, 8192, 131072)),
        sync_s=pick((0.0, 0.0005, 0.002, 0.01, 0.05)),
        patience_s=pick((0.0005, 0.003, 0.02)),
        clients=choice.randint(2, 7),
        window=pick((300, 4096, 65536, 1 << 20)),
        pace_s=pick((0.002, 0.01, 0.03)),
        body_scale=pick((20, 100, 100, 500, 3000)),
        is_short_of_disk=choice.random() < 0.15,
        has_alarms=choice.random() < 0.2,
        lives=choice.randint(1, 4),
        life_events=pick((40, 150, 500, 1000, 2000)),
    )
