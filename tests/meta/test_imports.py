"""Every module can be imported first, alone, in a fresh interpreter: no cycle hides behind an
import order.

One interpreter that has imported nothing of ours forks once per module, so the whole test costs
little more than the imports.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

SRC = pathlib.Path(__file__).resolve().parents[2] / "src"

# Reads module names from stdin; forks for each; writes {module: traceback} of those that failed.
FORKER = """
import importlib, json, os, sys, tempfile, traceback
failed = {}
for name in json.load(sys.stdin):
    with tempfile.TemporaryFile() as report:
        pid = os.fork()
        if pid == 0:
            status = 0
            try:
                importlib.import_module(name)
            except BaseException:
                report.write(traceback.format_exc().encode())
                report.flush()
                status = 1
            os._exit(status)
        _, status = os.waitpid(pid, 0)
        if status != 0:
            report.seek(0)
            failed[name] = report.read().decode() or f"died with status {status}"
json.dump(failed, sys.stdout)
"""


def modules() -> list[str]:
    """All modules of the package by name."""
    names = []
    for path in sorted((SRC / "posthouse").rglob("*.py")):
        if path.stem == "__main__":
            continue  # importing it runs a command
        parts = path.relative_to(SRC).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def import_each_alone(names: list[str], path: pathlib.Path) -> dict[str, str]:
    result = subprocess.run(
        [sys.executable, "-c", FORKER],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(path), "PATH": "/usr/bin:/bin"},
        timeout=100,
    )
    failed = json.loads(result.stdout)
    assert isinstance(failed, dict)
    return failed


@pytest.mark.slow
def test_every_module_imports_alone() -> None:
    names = modules()
    assert "posthouse.core.errors" in names
    assert import_each_alone(names, SRC) == {}


def test_a_cycle_is_found(tmp_path: pathlib.Path) -> None:
    (tmp_path / "ring_a.py").write_text("from ring_b import y\nx = 1\n")
    (tmp_path / "ring_b.py").write_text("import ring_a\ny = ring_a.x\n")
    failed = import_each_alone(["ring_a", "ring_b"], tmp_path)
    assert set(failed) == {"ring_a", "ring_b"}
