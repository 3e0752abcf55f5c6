"""Short forms of the long tests of load: the same code with small numbers and generous bounds; `python -m tests.torture` runs those."""

from __future__ import annotations

import os

import pytest

from tests.load.alarms import alarms
from tests.load.backlog import posthouse_depth
from tests.load.descriptors import crowds
from tests.load.restart import posthouse_restarts
from tests.load.slow_disk import slow_disk
from tests.load.soak import soak
from tests.support.nodes import lacks

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("is_killed", [True, False])
def test_a_backlog_comes_back_soon(is_killed: bool) -> None:
    figures = posthouse_restarts(20_000, is_killed=is_killed, rounds=2, start_s_max=10)
    assert figures["messages"] == 20_000


@pytest.mark.parametrize("persistent", [False, True])
def test_a_deep_queue_costs_little_memory(persistent: bool) -> None:
    """Without paging it would take 80 MB more than an empty broker, which has 40."""
    posthouse_depth(
        300_000,
        persistent=persistent,
        size=200,
        shallow=30_000,
        resident_mb_max=85,
        slowdown_max=10.0,
        settings="[limits]\nmessage_memory_bytes = 8388608\n",
    )


def test_alarms_stop_publishers_and_let_them_go() -> None:
    if os.geteuid() != 0:
        lacks("root and mount: tests/unit/server looks at alarms without a disk that fills")
    figures = alarms(1)
    assert figures["raise_s_max"] < 10
    assert figures["alarms"] >= 2


def test_clients_beyond_the_limit_of_open_files_wait() -> None:
    figures = crowds(1)
    assert figures["let_in_later"] == 20
    assert figures["descriptors_max"] <= 256 - 32
    assert figures["confirmed"] > 2000


def test_a_slow_disk_delays_only_who_waits_for_it() -> None:
    figures = slow_disk(1500, seconds=3)
    assert figures["confirm_wait_s_max"] >= 1.4
    assert figures["transient_p99_ms_max"] < 700
    assert figures["heartbeat_gap_s_max"] < 2.5


def test_a_mixed_load_leaves_nothing_behind() -> None:
    figures = soak(8, 4, seed=0)
    assert figures["breaths"] >= 2
    assert figures["published"] > 5_000
    assert figures["churn_rounds"] > 15
    assert figures["redeliveries"] > 20
    assert figures["resident_mb_max"] < 150
    assert figures["rest_resident_mb_max"] < 80
