"""How much memory this process may use: the machine's, or less where a control group (a container) says so."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

ROOT = pathlib.Path("/sys/fs/cgroup")
MEMBERSHIP = pathlib.Path("/proc/self/cgroup")


def memory_total_bytes(root: pathlib.Path = ROOT, membership: pathlib.Path = MEMBERSHIP) -> int:
    """The smallest bound of all groups that this process is in, version 1 or 2, at most the machine's memory."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_limits(root, membership)])


def _limits(root: pathlib.Path, membership: pathlib.Path) -> Iterator[int]:
    for directory, names in _groups(root, membership):
        # A group's bound holds for those below it. In a container the path may be the host's: then only the root is there.
        while True:
            for name in names:
                try:
                    text = (directory / name).read_text(encoding="ascii").strip()
                except (OSError, UnicodeDecodeError):
                    continue
                if text.isdigit():  # "max" is none
                    yield int(text)
            if directory == root or root not in directory.parents:
                break
            directory = directory.parent


def _groups(
    root: pathlib.Path, membership: pathlib.Path
) -> Iterator[tuple[pathlib.Path, tuple[str, ...]]]:
    """The process's groups that bound memory, and the files that say how. Lines are ``id:controllers:path``."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in ("0::/", "0:memory:/", *lines):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            yield root / path.lstrip("/"), ("memory.max", "memory.high")
        elif "memory" in controllers.split(","):
            yield root / "memory" / path.lstrip("/"), ("memory.limit_in_bytes",)


def memory_used_bytes() -> int:
    """Resident memory of this process; 0 where the system does not tell (no ``/proc``)."""
    try:
        text = pathlib.Path("/proc/self/statm").read_text(encoding="ascii")
    except OSError:
        return 0
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")
