"""Alarms: when they begin and end, and what they are called."""

from __future__ import annotations

import pathlib

import pytest

from posthouse.core.config import LimitsConfig
from posthouse.server.monitor import (
    Monitor,
    disk_free_bytes,
)


class Machine:
    """A machine of 1000 bytes of memory and a disk, with a monitor on it."""

    def __init__(self, directory: str | None = "d") -> None:
        self.used = 100
        self.free = 1000
        self.changes: list[bool] = []
        self.monitor = Monitor(
            LimitsConfig(memory_high_watermark=0.4, disk_free_limit_bytes=500),
            directory,
            self.changes.append,
            memory_total=lambda: 1000,
            memory_used=lambda: self.used,
            disk_free=lambda _: self.free,
        )


def test_all_is_well() -> None:
    machine = Machine()
    machine.monitor.check()
    assert (machine.monitor.reason, machine.changes) == ("", [])


def test_at_the_bound_there_is_no_alarm() -> None:
    machine = Machine()
    machine.used, machine.free = 400, 500
    machine.monitor.check()
    assert machine.changes == []


def test_an_alarm_is_reported_once_and_clears() -> None:
    machine = Machine()
    machine.used = 401
    machine.monitor.check()
    machine.monitor.check()
    assert (machine.monitor.reason, machine.changes) == ("low on memory", [True])
    machine.used = 400
    machine.monitor.check()
    assert (machine.monitor.reason, machine.changes) == ("", [True, False])


def test_a_second_alarm_changes_the_reason_only() -> None:
    machine = Machine()
    machine.free = 499
    machine.monitor.check()
    assert machine.monitor.reason == "low on disk"
    machine.used = 1000
    machine.monitor.check()
    assert machine.monitor.reason == "low on memory & disk"
    machine.free = 1000
    machine.monitor.check()
    assert (machine.monitor.reason, machine.changes) == ("low on memory", [True])


def test_without_a_directory_the_disk_does_not_matter() -> None:
    machine = Machine(directory=None)
    machine.free = 0
    machine.monitor.check()
    assert machine.changes == []


def test_the_watermark_zero_blocks_at_once() -> None:
    changes: list[bool] = []
    Monitor(LimitsConfig(memory_high_watermark=0.0), None, changes.append).check()
    assert changes == [True]


def test_reads_the_real_machine(tmp_path: pathlib.Path) -> None:
    assert disk_free_bytes(str(tmp_path)) > 0


def test_warns_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine()
    machine.used = 999
    machine.monitor.check()
    assert "low on memory" in caplog.text
    assert "memory 999 of at most 400" in caplog.text
