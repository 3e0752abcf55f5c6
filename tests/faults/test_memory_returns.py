"""A drained backlog gives its memory back: the memory alarm looks at resident memory and must be able to clear."""

from __future__ import annotations

import pathlib
import subprocess
import sys

PROGRAM = """
import pathlib
from posthouse.journal.block import BlockTable, LogBuffer
from posthouse.server.allocator import return_freed_blocks

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096

assert return_freed_blocks()
table = BlockTable()
for _ in range(3):
    log = LogBuffer(table, False)
    before = resident()
    blocks = [table.new(0, 1) for _ in range(200)]
    for block in blocks:
        block.data[:] = b"x" * len(block.data)
    full = resident()
    for block in blocks:
        table.release(block)
    del blocks, block
    table.shrink()
    table.shrink()
    after = resident()
print(full - before, after - before)
"""


def test_freed_blocks_leave_the_process() -> None:
    if not pathlib.Path("/proc/self/statm").exists():
        return
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True
    )
    grown, kept = map(int, run.stdout.split())
    assert grown > 150 << 20
    assert kept < 8 << 20
