"""What is good in a segment's octets, and what is not; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.journal import entry
from posthouse.journal.constants import ENTRY_MAGIC_BYTES


@dataclass
class Survey:
    """Offsets are in the segment.

    Attributes:
        entries: (start, end) of each good entry.
        gaps: (start, end) of what is damaged between good entries.
        end: behind the last good entry that counts; what follows, if anything does, is a torn tail, or damage where more segments
            follow.
        epoch: of the last good entry, -1 if there is none.
    """

    entries: list[tuple[int, int]]
    gaps: list[tuple[int, int]]
    end: int
    epoch: int


def survey(
    data: bytearray, base: int, at: int = 0, epoch: int = -1, *, is_last: bool = False
) -> Survey:
    """Look at the segment at position ``base`` from offset ``at`` on, where the log has ``epoch`` (-1: not known).

    In the last segment a gap where the log was never synced is the end, whatever stands behind it: a power cut leaves what was
    under way in any order (P10).
    """
    found = _survey(data, base, at, epoch)
    if is_last and found.gaps:
        _end_at_first_unsynced(found, data, base, at, epoch)
    return found


def survey_known(data: bytearray, base: int, epoch: int, known: int) -> Survey:
    """As `survey` of all of a last segment, where a snapshot shows that the log was synced up to offset ``known``.

    What is bad before is damage, whatever stands behind it.
    """
    known = min(max(known, 0), len(data))
    before = _survey(data[:known], base, 0, epoch)
    if before.end < known:
        before.gaps.append((before.end, known))
        before.epoch = -1
    found = survey(data, base, known, before.epoch, is_last=True)
    entries, gaps = before.entries + found.entries, before.gaps + found.gaps
    return Survey(entries, gaps, found.end, found.epoch)


def _end_at_first_unsynced(found: Survey, data: bytearray, base: int, at: int, epoch: int) -> None:
    """An entry says how far the log was synced when it was written: a gap beyond all of these is a torn tail."""
    behind = found.gaps[0][1]
    synced = max(entry.synced_to(data, start) for start, _ in found.entries if start >= behind)
    for n, (start, _) in enumerate(found.gaps):
        if base + start >= synced:
            kept = _survey(data[:start], base, at, epoch)
            found.entries, found.epoch, found.end = kept.entries, kept.epoch, start
            del found.gaps[n:]
            return


def _survey(data: bytearray, base: int, at: int, epoch: int) -> Survey:
    size = len(data)
    found = Survey([], [], at, epoch)
    while True:
        entries, at, found.epoch = entry.scan(data, at, size, base, found.epoch)
        found.entries += entries
        found.end = at
        if at >= size:
            return found
        resume = find_good(data, at, base, found.epoch)
        if resume < 0:
            return found
        if resume > at:
            found.gaps.append((at, resume))
        # The claim of this epoch may be in what was lost.
        at, found.epoch = resume, -1


def find_good(data: bytearray, at: int, base: int, epoch: int) -> int:
    """The offset of the next good entry from a bad place on, or -1.

    Entries of an epoch below ``epoch`` do not count: they are left over from before a cut.
    """
    found = data.find(ENTRY_MAGIC_BYTES, at)
    while found >= 0:
        if found % 8 == 0 and entry.measure(data, found, len(data), base + found) > 0:
            written = int.from_bytes(data[found + 8 : found + 16], "little")
            if written >= epoch:
                return found
        found = data.find(ENTRY_MAGIC_BYTES, found + 1)
    return -1
