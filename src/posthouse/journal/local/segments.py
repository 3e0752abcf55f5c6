"""Which files of a directory are the segments of its log; changes nothing.

A segment is named by the position of its first octet, and ends where the next one begins. People and broken file systems leave other
files there: names that are none, and copies under the name of a place that another segment has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from posthouse.journal.files import Files
from posthouse.journal.local.survey import survey

SUFFIX = ".seg"
_NAME = re.compile(r"[0-9]{20}\.seg", re.ASCII)


def segment_name(base: int) -> str:
    """The file name of the segment that starts at ``base``."""
    return f"{base:020d}{SUFFIX}"


@dataclass
class Segments:
    """What was found.

    Attributes:
        bases: positions of the segments, in order.
        strange: names that end like a segment's and are none.
        foreign: positions of files that do not begin where the segment before ends, and hold nothing of this log.
    """

    bases: list[int]
    strange: list[str]
    foreign: list[int]


def find_segments(files: Files, directory: str) -> Segments:
    """The segments in ``directory``.

    Raises:
        OSError: it cannot be read.
    """
    names = [name for name in files.list(directory) if name.endswith(SUFFIX)]
    strange = [name for name in names if not _NAME.fullmatch(name)]
    bases = sorted(int(name[: -len(SUFFIX)]) for name in names if name not in strange)
    found = Segments(bases[:1], strange, [])
    for base in bases[1:]:
        before = found.bases[-1]
        size = files.size(f"{directory}/{segment_name(before)}")
        if before + size != base and not _has_entries(files, directory, base):
            found.foreign.append(base)
        else:
            found.bases.append(base)
    return found


def _has_entries(files: Files, directory: str, base: int) -> bool:
    return bool(survey(files.read(f"{directory}/{segment_name(base)}"), base).entries)
