"""The file fuzz in short: a few seeds, compiled and interpreted. `tests/unit/journal/test_entry.py` has the lies one by one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.fuzz import file_fuzz

pytestmark = pytest.mark.slow

# The last ones found something once: lying lengths, a row without its number, a block of 2^64 octets, an epoch of 2^64 - 1.
SEEDS = (0, 1, 2, 7, 10, 13, 22, 34, 43, 1142)

INTERPRETED = """
from posthouse._kernels import compiled_kernels
from tests.fuzz import file_fuzz
assert not any(compiled_kernels().values())
"""


@pytest.mark.parametrize("seed", SEEDS)
def test_files_that_lie_are_served_or_refused(seed: int) -> None:
    figures = file_fuzz.run(seed)
    assert figures["inputs"] == file_fuzz.INPUTS
    assert figures["served"] > 10
    assert figures["refused"] > 5


def test_no_reader_leaves_its_buffer() -> None:
    """Interpreted kernels raise where compiled ones would read what is not theirs."""
    code = INTERPRETED + "for seed in range(100, 103):\n    file_fuzz.run(seed)\n"
    environment = {**os.environ, "POSTHOUSE_KERNELS": "interpreted"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=100)
