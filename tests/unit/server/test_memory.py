"""The memory bound of a container, in trees as Linux shows them (kernel documentation, cgroup v1 and v2)."""

from __future__ import annotations

import pathlib

import pytest

from posthouse.server.memory import memory_total_bytes, memory_used_bytes

GIB = 1 << 30
MACHINE = memory_total_bytes(pathlib.Path("/none"), pathlib.Path("/none"))


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"memory.max": "104857600\n"}, 100 << 20),
        ("0::/\n", {"memory.max": "max\n"}, MACHINE),
        ("0::/a/b\n", {"a/memory.max": "73400320", "a/b/memory.max": "max"}, 70 << 20),
        ("0::/a/b\n", {"a/memory.max": "73400320", "a/b/memory.high": "1048576"}, 1 << 20),
        ("0::/the/hosts/path\n", {"memory.max": "52428800"}, 50 << 20),
        ("0::/../../x\n", {"memory.max": "52428800"}, 50 << 20),
        ("5:cpu,memory:/c\n", {"memory/c/memory.limit_in_bytes": "52428800"}, 50 << 20),
        ("5:memory:/hosts\n", {"memory/memory.limit_in_bytes": "52428800"}, 50 << 20),
        ("5:memory:/c\n", {"memory/c/memory.limit_in_bytes": "9223372036854771712"}, MACHINE),
        ("5:cpu:/c\n", {"cpu/c/memory.limit_in_bytes": "1"}, MACHINE),
        ("nonsense\n", {}, MACHINE),
        ("", {}, MACHINE),
    ],
)
def test_the_smallest_bound_counts(
    tmp_path: pathlib.Path, membership: str, files: dict[str, str], expected: int
) -> None:
    root = tmp_path / "cgroup"
    root.mkdir()
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    own = tmp_path / "membership"
    own.write_text(membership)
    assert memory_total_bytes(root, own) == expected


def test_what_is_used_is_less_than_there_is() -> None:
    assert 0 <= memory_used_bytes() < memory_total_bytes()
