"""CPU time and resident memory of another process, from /proc; zeros where there is none."""

from __future__ import annotations

import os
from pathlib import Path


def rss_kb(pid: int) -> int:
    """Resident memory in KiB; 0 for pid 0 or a process that is gone."""
    if pid <= 0:
        return 0
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    except OSError:
        return 0
    return 0


def cpu_s(pid: int) -> float:
    """CPU seconds used so far, user and system, all threads; 0 for pid 0 or a process that is
    gone.
    """
    if pid <= 0:
        return 0.0
    try:
        # the name, in parentheses, may hold anything; the fields behind it are numbers
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
