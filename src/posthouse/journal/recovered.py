"""What opening a log gives: pieces of it in memory, and a report of what was wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from posthouse.journal.block import Block


@dataclass
class RecoveryReport:
    """What opening found wrong, for the log and the status."""

    entries: int = 0
    octets: int = 0
    torn: list[tuple[str, int, int]] = field(default_factory=list)  # file, offset, octets cut
    damaged: list[tuple[str, int, int]] = field(
        default_factory=list
    )  # file, offset, octets skipped

    @property
    def is_clean(self) -> bool:
        """Whether nothing was cut or skipped."""
        return not self.torn and not self.damaged


@dataclass
class Recovered:
    """A piece of the log in memory: the block, and the (start, end) of its good entries."""

    block: Block
    entries: list[tuple[int, int]]
