"""Crashes at every I/O operation of a load over the whole broker, in every state that they may leave (C5).

`python -m tests.torture crash-states` tries millions. The controls are disks that forget one kind of sync: each must be found out, or the
test would prove nothing.
"""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.testing.files import MemoryFiles
from tests.support.crash_states import run

SEEDS = range(1, 7)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_state_after_a_crash_has_what_was_promised(seed: int) -> None:
    figures = run(seed, steps=55, used_every=10)
    print(figures)
    assert figures["states"] > 1000
    # It met what is rare.
    assert figures["octets_moved"] > 0
    assert figures["snapshots"] > 0
    assert figures["openings_recorded"] > 20


class Forgetful(MemoryFiles):
    """A disk on which one kind of sync in one directory does nothing."""

    def __init__(self, kind: str, directory: str) -> None:
        super().__init__()
        self._kind = kind
        self._directory = directory

    def sync(self, node: Any, path: str) -> None:
        if self._kind == "contents" and path.rpartition("/")[0] == self._directory:
            self.called("datasync", path)
        else:
            super().sync(node, path)

    def sync_directory(self, path: str) -> None:
        if self._kind == "names" and path == self._directory:
            self.called("sync_directory", path)
        else:
            super().sync_directory(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "directory"),
    [
        ("contents", "/data"),
        ("contents", "/data/definitions"),
        ("contents", "/data/shard"),
        ("contents", "/data/snapshots"),
        ("names", "/data"),
        ("names", "/data/definitions"),
        ("names", "/data/shard"),
    ],
)
def test_a_disk_that_forgets_a_sync_is_found_out(kind: str, directory: str) -> None:
    """All but the names of snapshots: a start without its snapshot reads more of the log, and finds the same."""
    with pytest.raises(AssertionError, match="crash after operation"):
        run_all(kind, directory)


def run_all(kind: str, directory: str) -> None:
    for seed in range(8):
        run(seed, steps=70, used_every=1000, files=Forgetful(kind, directory))
