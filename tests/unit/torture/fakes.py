"""Campaigns that do what the runner must survive. A unit leaves a line in the file that `MARKS` names."""

from __future__ import annotations

import ctypes
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

from tests.support.nodes import require
from tests.torture.campaign import Campaign

MARKS = "POSTHOUSE_FAKE_MARKS"


def _mark(seed: int) -> None:
    with pathlib.Path(os.environ[MARKS]).open("a", encoding="utf-8") as file:
        file.write(f"{seed} {os.getpid()}\n")


def _good(seed: int) -> dict[str, float]:
    _mark(seed)
    return {"tried": 1, "seed_max": seed, "seed_min": seed}


def _third_fails(seed: int) -> dict[str, float]:
    _mark(seed)
    assert seed != 2, "promise P0 [of seed 2] is broken"
    return {"tried": 1}


def _third_crashes(seed: int) -> dict[str, float]:
    _mark(seed)
    if seed == 2:
        ctypes.string_at(0)
    return {"tried": 1}


def _second_hangs(seed: int) -> dict[str, float]:
    """With a child that would live on, and a file that would stay."""
    _mark(seed)
    if seed == 1:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        directory = tempfile.mkdtemp()
        pathlib.Path(os.environ[MARKS] + ".left").write_text(f"{child.pid}\n{directory}")
        try:
            threading.Event().wait()
        finally:
            pathlib.Path(os.environ[MARKS] + ".stopped").touch()
    return {"tried": 1}


def _second_needs_more(seed: int) -> dict[str, float]:
    _mark(seed)
    if seed == 1:
        require("a-broker-that-nobody-has", "write one")
    return {"tried": 1}


GOOD = Campaign("good", "all well", 7, _good, batch=3)
ALONE = Campaign("alone", "one at a time", 3, _good, is_alone=True)
FAILING = Campaign("failing", "the third unit fails", 5, _third_fails, batch=5)
CRASHING = Campaign("crashing", "the third unit crashes", 5, _third_crashes, batch=5)
HANGING = Campaign("hanging", "the second unit hangs", 3, _second_hangs, batch=3, timeout_s=1.5)
NEEDY = Campaign("needy", "the second unit needs something", 3, _second_needs_more)
