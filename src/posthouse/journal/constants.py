"""Numbers of the log format that plain Python needs (`docs/format/journal.md`); kernels have their own C copies."""

from __future__ import annotations

from typing import Final

ENTRY_MAGIC_BYTES: Final = b"PHE1"
ENTRY_FLAG_CLAIM: Final = 1
ENTRY_HEADER_SIZE: Final = 40

# Kinds of a snapshot's chunks (`docs/format/snapshot.md`).
SNAPSHOT_READY: Final = 1
SNAPSHOT_HELD: Final = 2
SNAPSHOT_BLOCKS: Final = 3
SNAPSHOT_END: Final = 4
SNAPSHOT_PLACES: Final = 5

KIND_ENQ: Final = 1
KIND_ACK: Final = 2
KIND_MOVE: Final = 3
KIND_CLAIM: Final = 5
KIND_DEF: Final = 6
KIND_NOOP: Final = 7
