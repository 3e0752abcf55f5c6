"""Numbers that several kernels share: the log's frames and a queue entry's flags (`docs/format/journal.md`).

Compiled kernels take them from ``layout.pxd`` as C constants; a test keeps the two equal.
"""

from __future__ import annotations

KIND_ENQ = 1
KIND_ACK = 2
KIND_MOVE = 3
ENTRY_HEADER_SIZE = 40
RECORD_HEADER_SIZE = 24
RECORD_PERSISTENT = 1

# Octets of an outstanding delivery's slot.
UNACKED_SLOT = 40

# Flags of an entry in a queue's index.
REDELIVERED = 1
PERSISTENT = 2
DEAD = 8
