"""The journal's contracts: what the broker and the server may ask, whatever keeps the log.

Commits are numbered. Everything appended before `Journal.commit` belongs to the commit it returns; numbers are
reported as done strictly in order, and a number reported means that the commit and all before it are durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from posthouse.journal.block import LogBuffer
from posthouse.journal.recovered import Recovered, RecoveryReport
from posthouse.journal.table import Table


class SnapshotWriter(Protocol):
    """A snapshot that is being written. A disk that refuses costs only this snapshot."""

    start: int
    octets: int

    @property
    def has_failed(self) -> bool:
        """Nothing more needs to be added."""

    def add(self, kind: int, queue: int, data: bytes | bytearray) -> None:
        """Write entries, 16 octets each (`docs/format/snapshot.md`)."""

    def finish(self) -> None:
        """Make it count; the journal calls this."""

    def abandon(self, error: OSError) -> None:
        """Give it up: not all that belongs into it can be had."""


class Snapshot(Protocol):
    """A snapshot that was found good."""

    start: int
    epoch: int
    is_final: bool

    def chunks(self) -> Iterator[tuple[int, int, bytearray]]:
        """Kind, queue number and entries of each chunk, as they were added."""


class Journal(Protocol):
    """The log of a node: definitions and messages, committed together, definitions first.

    Attributes:
        table: the definitions.
        shard: where messages are appended; None where nothing is kept.
        snapshot: the newest good one, for `recover` to begin behind; None if there is none.
        shard_bounds: where the log of messages begins and ends, as it was found.
        segment_size: octets of a full segment.
        next_commit: the number that the next `commit` returns.
        on_committed: called on the loop thread with the highest finished number.
        on_failed: called once on the loop thread; nothing is reported as done after it.
        on_full: called on the loop thread when the disk is full.
        has_failed: a write or a sync failed; nothing that is committed now will be reported.
        is_full: commits wait, or live on the reserve; publishers should be blocked.
    """

    table: Table
    shard: LogBuffer | None
    snapshot: Snapshot | None
    shard_bounds: tuple[int, int]
    segment_size: int
    next_commit: int
    on_committed: Callable[[int], object]
    on_failed: Callable[[OSError], object]
    on_full: Callable[[], object]
    is_full: bool
    has_failed: bool

    @property
    def durability(self) -> str:
        """``fsync``, ``os`` or ``none``."""

    @property
    def reports(self) -> dict[str, RecoveryReport]:
        """What opening found, by log name."""

    def recover(self) -> Iterator[Recovered]:
        """Yield what the log of messages holds behind the snapshot, pinned for the caller; to be taken to its end."""

    @property
    def is_busy(self) -> bool:
        """Whether a commit handed over now would only wait: let more gather into it first."""

    @property
    def unsynced_bytes(self) -> int:
        """Octets that were appended and are not durable yet."""

    def commit(self) -> int:
        """Hand everything appended so far to the disk; returns its commit number."""

    def begin_snapshot(self, *, is_final: bool = False) -> SnapshotWriter:
        """Begin a snapshot of what stands before the position reached; ``is_final`` at an orderly stop.

        Everything appended was handed over with `commit` just now.
        """

    def end_snapshot(self, writer: SnapshotWriter) -> None:
        """The snapshot counts once it is on disk, behind the next `commit`, which the caller makes now."""

    def begin_rewrite(self) -> int:
        """The definitions go on in a new segment; returns where. Everything appended was handed over with `commit` just now."""

    def end_rewrite(self, start: int) -> None:
        """All of the definitions stand behind ``start``: what is before goes, behind the next `commit`, which the caller makes now."""

    def mark(self) -> bool:
        """Once a second: whether something was appended that says that what came before is durable; to be committed.

        An idle log does so once: only what stands before such an entry can be told from a torn tail if it is damaged later.
        """

    def check_space(self) -> None:
        """Look whether a full disk has space again; the owner calls it once a second."""

    def trim(self) -> None:
        """Let go of what nobody needs any more."""

    def stop(self) -> None:
        """Commit the rest, wait for it, close. Blocking. `has_failed` says whether that worked; nobody is called back."""
