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
        foreign: positions of files that hold nothing of this log, where another segment has good entries.
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
        if before + size > base and _is_foreign(files, directory, before, base):
            found.foreign.append(base)
        else:
            found.bases.append(base)
    return found


def _is_foreign(files: Files, directory: str, before: int, base: int) -> bool:
    """Whether the segment ``before`` reaches over ``base`` with good entries, and the file there has none."""
    entries = survey(files.read(f"{directory}/{segment_name(before)}"), before).entries
    if not entries or entries[-1][1] <= base - before:
        return False
    return not survey(files.read(f"{directory}/{segment_name(base)}"), base).entries
