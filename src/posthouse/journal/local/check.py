"""Offline check and repair of a data directory: what is wrong, what would be lost, what can be done (promises P10 and P11).

`check` only reads. `repair` does what each finding proposes; before a file that holds messages or definitions is changed, a copy
is kept beside it (``*.damaged``). One segment is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from posthouse.core.errors import CorruptRecord
from posthouse.journal import entry
from posthouse.journal.constants import (
    ENTRY_FLAG_CLAIM,
    ENTRY_HEADER_SIZE,
    ENTRY_MAGIC_BYTES,
    KIND_ENQ,
    KIND_NOOP,
    SNAPSHOT_HELD,
    SNAPSHOT_READY,
)
from posthouse.journal.files import Files
from posthouse.journal.local.journal import FORMAT
from posthouse.journal.local.segments import find_segments, segment_name
from posthouse.journal.local.snapshots import Snapshot
from posthouse.journal.local.survey import Survey, survey, survey_known
from posthouse.journal.table import Table

LOGS = ("definitions", "shard")
# The smallest run that an entry with a NOOP frame can fill, and the largest that is worth it.
FILL_MIN = ENTRY_HEADER_SIZE + 8
FILL_MAX = 1 << 30


@dataclass
class Finding:
    """One thing that is wrong.

    Attributes:
        path: relative to the data directory.
        text: what it is, with offset and octets.
        repair: what `repair` does about it; empty if nothing can be done.
        is_loss: something that was stored is gone, whatever is done.
        act: does it.
    """

    path: str
    text: str
    repair: str
    is_loss: bool = False
    act: Callable[[], None] | None = None


@dataclass
class LogState:
    """What a log holds: counts, and the positions of its damaged runs."""

    segments: int = 0
    octets: int = 0
    entries: int = 0
    messages: int = 0
    epoch: int = 0
    end: int = 0
    damaged: list[tuple[int, int]] = field(default_factory=list)


class Check:
    """Looks at one directory, which nobody else may have open.

    Attributes:
        findings: what is wrong, after `run`.
        logs: by name.
        queues_hit: messages of the last good snapshot that lie in damage, by queue number.
    """

    def __init__(self, files: Files, directory: str) -> None:
        self._files = files
        self._directory = directory
        self._table = Table(None)
        self._snapshots: list[tuple[int, str, Snapshot]] = []
        self.findings: list[Finding] = []
        self.logs = {name: LogState() for name in LOGS}
        self.queues_hit: dict[int, int] = {}

    def octets(self) -> int:
        """How much there is to read, for a progress bar."""
        return sum(
            self._files.size(path)
            for name in (*LOGS, "snapshots")
            for path in self._paths(name, (".seg", ".snap"))
        )

    def run(self) -> Iterator[int]:
        """Check everything; yields octets as they are done.

        Raises:
            OSError: something cannot be read.
        """
        self._check_format()
        yield from self._read_snapshots()
        for name in LOGS:
            yield from self._check_log(name)
        self._judge_snapshots()
        self._judge_definitions()
        for name in (*LOGS, "snapshots", "pages"):
            self._check_leftovers(name)

    def queue_name(self, number: int) -> str:
        """The queue with this number, as people know it."""
        for key, row in self._table.items("queue"):
            if row.get("id") == number:
                return f"queue '{key[1]}' in vhost '{key[0]}'"
        return f"a queue that no longer exists (number {number})"

    def _paths(self, name: str, suffixes: tuple[str, ...]) -> list[str]:
        directory = f"{self._directory}/{name}"
        if not self._files.exists(directory):
            return []
        return [f"{directory}/{n}" for n in self._files.list(directory) if n.endswith(suffixes)]

    def _relative(self, path: str) -> str:
        return path[len(self._directory) + 1 :]

    # --- logs -----------------------------------------------------------------------------------

    def _check_log(self, name: str) -> Iterator[int]:
        state = self.logs[name]
        directory = f"{self._directory}/{name}"
        if not self._files.exists(directory):
            return
        segments = find_segments(self._files, directory)
        for strange in segments.strange:
            self._report_foreign(
                f"{directory}/{strange}", "this is not the name of a segment", False
            )
        for base in segments.foreign:
            text = "nothing of this log, and not where a segment should be"
            self._report_foreign(f"{directory}/{segment_name(base)}", text, True)
        position, epoch = -1, -1
        for n, base in enumerate(segments.bases):
            path = f"{directory}/{segment_name(base)}"
            if position >= 0 and base > position:
                self._report_hole(name, state, position, base, epoch)
            data = self._files.read(path)
            octets = len(data)
            is_last = n + 1 == len(segments.bases)
            if not is_last and base + octets > segments.bases[n + 1]:
                self._report_excess(path, segments.bases[n + 1] - base, octets)
                del data[segments.bases[n + 1] - base :]
            if is_last:
                state.end = base + octets
                found = survey_known(data, base, epoch, self._synced_to(name) - base)
            else:
                found = survey(data, base, 0, epoch)
            self._note(name, state, data, found)
            size = len(data)
            if not is_last and data:
                # A segment that was cut short: what is missing belongs to it.
                size = max(size, min(segments.bases[n + 1] - base, size + FILL_MAX))
            gaps = list(found.gaps)
            if found.end < size and not is_last:
                gaps.append((found.end, size))
            elif found.end < size:
                self._report_tail(name, path, found.end, size - found.end)
            for start, end in gaps:
                self._report_gap(name, path, base + start, start, end, epoch)
                state.damaged.append((base + start, base + end))
            position, epoch = base + (found.end if is_last else size), found.epoch
            yield octets

    def _note(self, name: str, state: LogState, data: bytearray, found: Survey) -> None:
        """Count what is good; fold definitions."""
        state.segments += 1
        state.octets += len(data)
        state.entries += len(found.entries)
        state.epoch = max(state.epoch, found.epoch)
        for start, end in found.entries:
            if name == "definitions":
                self._table.replay(data, start + ENTRY_HEADER_SIZE, end)
                continue
            at = start + ENTRY_HEADER_SIZE
            while at < end:
                state.messages += data[at + 4] == KIND_ENQ
                at += max(8, int.from_bytes(data[at : at + 4], "little"))

    def _report_foreign(self, path: str, text: str, is_loss: bool) -> None:
        self.findings.append(
            Finding(
                self._relative(path),
                text,
                "rename it to *.foreign",
                is_loss=is_loss,
                act=lambda: self._rename(path, path + ".foreign"),
            )
        )

    def _report_excess(self, path: str, offset: int, size: int) -> None:
        self.findings.append(
            Finding(
                self._relative(path),
                f"{size - offset} octets behind offset {offset}, where the next segment begins",
                "keep a copy, then cut them off",
                is_loss=True,
                act=lambda: self._cut(path, offset),
            )
        )

    def _report_tail(self, name: str, path: str, offset: int, size: int) -> None:
        # A start on torn definitions looks for messages whose queue they lack: it must see that they are torn.
        can_cut = name != "definitions"
        self.findings.append(
            Finding(
                self._relative(path),
                f"torn tail at offset {offset}: {size} octets that were never confirmed",
                "cut it off, as the next start does" if can_cut else "",
                act=(lambda: self._cut(path, offset)) if can_cut else None,
            )
        )

    def _report_gap(
        self, name: str, path: str, position: int, start: int, end: int, epoch: int
    ) -> None:
        size = end - start
        # As above: a start keeps messages of queues whose definition was in the damage.
        can_fill = name != "definitions" and size >= FILL_MIN and not size % 8
        self.findings.append(
            Finding(
                self._relative(path),
                f"damage at offset {start}: {size} octets cannot be read",
                "keep a copy, then put an empty entry there" if can_fill else "",
                is_loss=True,
                act=(lambda: self._fill(path, position - start, start, end, epoch))
                if can_fill
                else None,
            )
        )

    def _report_hole(self, name: str, state: LogState, start: int, end: int, epoch: int) -> None:
        path = f"{self._directory}/{name}/{segment_name(start)}"
        size = end - start
        can_fill = name != "definitions" and FILL_MIN <= size <= FILL_MAX and not size % 8
        state.damaged.append((start, end))
        self.findings.append(
            Finding(
                self._relative(path),
                f"the log is missing positions {start} to {end}, {size} octets",
                "put an empty entry there" if can_fill else "",
                is_loss=True,
                act=(lambda: self._write(path, _noop(start, size, max(epoch, 0), False)))
                if can_fill
                else None,
            )
        )

    # --- snapshots and leftovers ----------------------------------------------------------------

    def _read_snapshots(self) -> Iterator[int]:
        for path in self._paths("snapshots", (".snap",)):
            size = self._files.size(path)
            try:
                found = Snapshot(self._files, path)
                found.verify()
                self._snapshots.append((found.start, path, found))
            except (CorruptRecord, OSError) as error:
                self.findings.append(
                    Finding(
                        self._relative(path),
                        f"bad snapshot: {error}; nothing depends on it, a start takes longer",
                        "remove it",
                        act=self._remover(path),
                    )
                )
            yield size

    def _synced_to(self, name: str) -> int:
        """Up to where a log is known to be synced: a snapshot is only finished behind that."""
        state = self.logs[name]
        starts = [start for start, _, _ in self._snapshots if start <= state.end]
        return max(starts, default=0) if name == "shard" else 0

    def _judge_snapshots(self) -> None:
        shard = self.logs["shard"]
        good: Snapshot | None = None
        for start, path, snapshot in sorted(self._snapshots, key=lambda one: one[0]):
            if start > shard.end:
                self._report_beyond(path, start, shard.end)
            else:
                good = snapshot
        if good is not None and shard.damaged:
            for kind, number, data in good.chunks():
                if kind in (SNAPSHOT_READY, SNAPSHOT_HELD):
                    self._count_hit(number, data, shard.damaged)

    def _check_format(self) -> None:
        path = f"{self._directory}/format"
        if self._files.exists(path) and bytes(self._files.read(path)) != FORMAT:
            text = f"this version does not know what it says; it would be {FORMAT.decode()!r}"
            self.findings.append(Finding("format", text, ""))

    def _judge_definitions(self) -> None:
        """A start refuses messages without any definitions: it would trim them."""
        if not self._table.changes and (self.logs["shard"].messages or self._snapshots):
            text = "it holds nothing, but there are messages: put it back from a copy"
            self.findings.append(Finding("definitions", text, "", is_loss=True))

    def _report_beyond(self, path: str, start: int, end: int) -> None:
        self.findings.append(
            Finding(
                self._relative(path),
                f"the log ends at {end}, but once had {start}: {start - end} octets are missing at its end",
                "remove this snapshot, which begins behind the end",
                is_loss=True,
                act=self._remover(path),
            )
        )

    def _count_hit(self, number: int, data: bytearray, damaged: list[tuple[int, int]]) -> None:
        for at in range(0, len(data), 16):
            position = int.from_bytes(data[at : at + 8], "little")
            if any(start <= position < end for start, end in damaged):
                self.queues_hit[number] = self.queues_hit.get(number, 0) + 1

    def _check_leftovers(self, name: str) -> None:
        for path in self._paths(name, (".new", ".page")):
            self.findings.append(
                Finding(
                    self._relative(path),
                    "left over from a run that did not end in good order",
                    "remove it, as the next start does",
                    act=self._remover(path),
                )
            )

    # --- repair ---------------------------------------------------------------------------------

    def _remover(self, path: str) -> Callable[[], None]:
        def remove() -> None:
            self._files.unlink(path)
            self._files.sync_directory(path.rpartition("/")[0])

        return remove

    def _rename(self, path: str, to: str) -> None:
        self._files.rename(path, to)
        self._files.sync_directory(path.rpartition("/")[0])

    def _keep_copy(self, path: str, data: bytearray) -> None:
        if not self._files.exists(path + ".damaged"):
            self._write(path + ".damaged", data)

    def _write(self, path: str, data: bytearray) -> None:
        """A whole file: written aside, synced, renamed."""
        fresh = path + ".new"
        if self._files.exists(fresh):
            self._files.unlink(fresh)
        file = self._files.create(fresh)
        file.append([data])
        file.datasync()
        file.close()
        self._files.rename(fresh, path)
        self._files.sync_directory(path.rpartition("/")[0])

    def _cut(self, path: str, size: int) -> None:
        self._keep_copy(path, self._files.read(path))
        self._files.truncate(path, size)

    def _fill(self, path: str, base: int, start: int, end: int, epoch: int) -> None:
        data = self._files.read(path)
        self._keep_copy(path, data)
        before = survey(data[:start], base, 0, epoch).epoch
        following = survey(data[end:], base + end).entries
        after = before
        if following:
            at = end + following[0][0]
            after = int.from_bytes(data[at + 8 : at + 16], "little")
        epoch = max(before, after, 0)
        data[start:end] = _noop(base + start, end - start, epoch, epoch > before)
        self._write(path, data)


def _noop(position: int, size: int, epoch: int, is_claim: bool) -> bytearray:
    """An entry of ``size`` octets that says nothing, but that the log's epoch is ``epoch`` from here on if it is a claim."""
    data = bytearray(size)
    data[0:4] = ENTRY_MAGIC_BYTES
    data[4] = 1
    data[5] = ENTRY_FLAG_CLAIM if is_claim else 0
    data[8:16] = epoch.to_bytes(8, "little")
    data[16:24] = position.to_bytes(8, "little")
    data[24:28] = (size - ENTRY_HEADER_SIZE).to_bytes(4, "little")
    data[28:32] = (1).to_bytes(4, "little")
    data[40:44] = (size - ENTRY_HEADER_SIZE).to_bytes(4, "little")
    data[44] = KIND_NOOP
    entry.finish(data, 0, size, 0)
    return data
