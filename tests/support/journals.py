"""A journal over files that crash, and what a naive reader finds in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from posthouse.journal.block import BlockTable
from posthouse.journal.constants import ENTRY_HEADER_SIZE, KIND_ENQ
from posthouse.journal.files import Files
from posthouse.journal.local.committer import Commit, carry_out
from posthouse.journal.local.journal import LocalJournal
from posthouse.journal.recovered import Recovered

SEGMENT = 4096


class StepCommitter:
    """Carries commits out when it is told to, and in two steps, so that a crash may fall between write and sync."""

    def __init__(
        self,
        post: Callable[[Callable[[], object]], object],
        on_done: Callable[[int], object],
        on_failed: Callable[[OSError], object],
        on_full: Callable[[], bool],
    ) -> None:
        self.on_full = on_full
        self.on_done = on_done
        self.on_failed = on_failed
        self.queue: list[Commit] = []
        self.written: list[Commit] = []
        self.failed = False

    def submit(self, commit: Commit) -> None:
        self.queue.append(commit)

    def write(self) -> None:
        """Write what is queued, without a sync."""
        if self.failed:
            return
        try:
            for commit in self.queue:
                for log, ranges in sorted(commit.parts, key=lambda part: part[0].order):
                    log.write(list(ranges))
        except OSError as error:
            self._fail(error)
            return
        self.written += self.queue
        self.queue = []

    def sync(self) -> None:
        """Sync what was written and report it."""
        if self.failed:
            return
        done, self.written = self.written, []
        try:
            for commit in done:
                for log, _ in commit.parts:
                    log.sync()
            trims = [trim for commit in done for trim in commit.trims]
            jobs = [job for commit in done for job in commit.jobs]
            carry_out([Commit(0, (), trims, jobs)])
        except OSError as error:
            self._fail(error)
            return
        numbers = [commit.number for commit in done if commit.number]
        if numbers:
            self.on_done(max(numbers))

    def _fail(self, error: OSError) -> None:
        self.failed = True
        self.on_failed(error)

    def stop(self) -> None:
        self.write()
        self.sync()


@dataclass
class Store:
    """A journal on ``files``, opened; what it reported as committed."""

    files: Files
    failures: list[OSError] = field(default_factory=list)
    done: int = 0
    recovered: list[Recovered] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.blocks = BlockTable()
        self.committer: StepCommitter | None = None
        self.journal = LocalJournal(
            self.files, "/data", self.blocks, lambda call: call(), self._make, segment_size=SEGMENT
        )
        self.journal.on_committed = self._on_committed
        self.journal.on_failed = self.failures.append

    def _make(self, *arguments: Any) -> StepCommitter:
        self.committer = StepCommitter(*arguments)
        return self.committer

    def _on_committed(self, number: int) -> None:
        self.done = number

    def open(self) -> Store:
        self.journal.open("test")
        self.recovered = list(self.journal.recover())
        return self

    def append(self, body: bytes) -> None:
        """A message for the durable queue 1."""
        assert self.journal.shard is not None
        self.journal.shard.append_message(1, b"\0\0", b"\0\0", body, b"\1\0\0\0")

    @property
    def step(self) -> StepCommitter:
        assert self.committer is not None
        return self.committer

    def bodies(self) -> list[bytes]:
        """The messages that opening found, in the order of the log."""
        return [body for piece in self.recovered for body in bodies_of(piece)]


def bodies_of(piece: Recovered) -> list[bytes]:
    """The bodies of the messages in a recovered piece, read by hand (docs/format/journal.md)."""
    found = []
    data = piece.block.data
    for start, end in piece.entries:
        at = start + ENTRY_HEADER_SIZE
        while at < end:
            size = int.from_bytes(data[at : at + 4], "little")
            if data[at + 4] == KIND_ENQ:
                route = int.from_bytes(data[at + 6 : at + 8], "little")
                props = int.from_bytes(data[at + 8 : at + 12], "little")
                length = int.from_bytes(data[at + 12 : at + 16], "little")
                first = at + 24 + route + props
                found.append(bytes(data[first : first + length]))
            at += size
        assert at == end
    return found
