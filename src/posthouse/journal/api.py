"""The journal's contracts: what the broker and the server may ask, whatever keeps the log.

Commits are numbered. Everything appended before `Journal.commit` belongs to the commit it returns; numbers are
reported as done strictly in order, and a number reported means that the commit and all before it are durable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from posthouse.journal.block import LogBuffer
from posthouse.journal.local.log import Recovered, RecoveryReport
from posthouse.journal.table import Table


class Journal(Protocol):
    """The log of a node: definitions and messages, committed together, definitions first.

    Attributes:
        table: the definitions.
        shard: where messages are appended; None where nothing is kept.
        recovered: what the shard held at opening; the broker replays it and clears it.
        next_commit: the number that the next `commit` returns.
        on_committed: called on the loop thread with the highest finished number.
        on_failed: called once on the loop thread; nothing is reported as done after it.
    """

    table: Table
    shard: LogBuffer | None
    recovered: list[Recovered]
    next_commit: int
    on_committed: Callable[[int], object]
    on_failed: Callable[[OSError], object]

    @property
    def durability(self) -> str:
        """``fsync``, ``os`` or ``none``."""

    @property
    def reports(self) -> dict[str, RecoveryReport]:
        """What opening found, by log name."""

    @property
    def is_busy(self) -> bool:
        """Whether a commit handed over now would only wait: let more gather into it first."""

    def commit(self) -> int:
        """Hand everything appended so far to the disk; returns its commit number."""

    def trim(self) -> None:
        """Let go of what nobody needs any more."""

    def stop(self) -> None:
        """Commit the rest, wait for it, close. Blocking."""
