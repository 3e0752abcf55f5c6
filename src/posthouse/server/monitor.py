"""Memory and disk alarms: publishers are blocked before the machine runs out, and let go when it has room again.

RabbitMQ: one alarm blocks every connection from its next publish on; ``connection.blocked`` says ``low on memory``,
``low on disk`` or both. Consumers go on. There is no hysteresis: an alarm clears as soon as its bound is kept.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable

from posthouse.core.config import LimitsConfig
from posthouse.server.memory import memory_total_bytes, memory_used_bytes

log = logging.getLogger(__name__)


def disk_free_bytes(directory: str) -> int:
    """Space that this user may still fill on the disk of ``directory``."""
    return shutil.disk_usage(directory).free


class Monitor:
    """Compares use with bounds whenever `check` is called, and reports changes only.

    Attributes:
        reason: what RabbitMQ says to a blocked client; empty while there is no alarm.
    """

    def __init__(
        self,
        limits: LimitsConfig,
        directory: str | None,
        on_change: Callable[[bool], object],
        *,
        memory_total: Callable[[], int] = memory_total_bytes,
        memory_used: Callable[[], int] = memory_used_bytes,
        disk_free: Callable[[str], int] = disk_free_bytes,
        is_disk_full: Callable[[], bool] = lambda: False,
    ) -> None:
        self._memory_max = int(limits.memory_high_watermark * memory_total())
        self._disk_min = limits.disk_free_limit_bytes
        self._directory = directory
        self._on_change = on_change
        self._memory_used = memory_used
        self._disk_free = disk_free
        self._is_disk_full = is_disk_full
        self.reason = ""

    def check(self) -> None:
        """Look once; calls ``on_change(is_alarmed)`` when an alarm begins or the last one ends."""
        short = []
        used = self._memory_used()
        if used > self._memory_max:
            short.append("memory")
        free = -1
        if self._directory is not None:
            free = self._disk_free(self._directory)
            if free < self._disk_min or self._is_disk_full():
                short.append("disk")
        reason = "low on " + " & ".join(short) if short else ""
        if reason == self.reason:
            return
        was_alarmed = bool(self.reason)
        self.reason = reason
        if reason:
            log.warning(
                "alarm: %s; publishers are blocked (memory %d of at most %d, disk free %d of at least %d)",
                reason,
                used,
                self._memory_max,
                free,
                self._disk_min,
            )
        else:
            log.warning("alarm cleared: publishers go on")
        if was_alarmed != bool(reason):
            self._on_change(bool(reason))
