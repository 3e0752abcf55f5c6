"""One setting of the C library's allocator: freed blocks go back to the system at once.

glibc raises its threshold for mapped chunks whenever one is freed, so that blocks of 1 MiB soon come from the heap and a
drained backlog stays resident: 361 MB after 300,000 messages of 1 KiB against 67 MB with the threshold fixed (2026-11-23,
2 cores). The memory alarm looks at resident memory, so it would never clear.
"""

from __future__ import annotations

import ctypes

M_MMAP_THRESHOLD = -3  # malloc.h
# Below a block, above everything that is made and freed per batch.
THRESHOLD_BYTES = 512 * 1024


def return_freed_blocks() -> bool:
    """Fix the threshold; False where the C library has no such setting (musl, macOS)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, THRESHOLD_BYTES))
