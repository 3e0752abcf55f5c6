"""What is done already: one file of JSON lines for each campaign, a line for each unit that ended.

A line has ``seed``, ``seconds``, ``revision`` (of the sources) and either ``figures`` or ``error``. Of two lines with one seed the later
one counts. A line that was cut when the runner was killed is passed over: its unit is done again.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a unit ended; `error` is empty when no promise was broken, `skipped` says what the unit would need that is not here."""

    seed: int
    seconds: float
    figures: Mapping[str, float]
    error: str = ""
    revision: str = ""
    skipped: str = ""


class Record:
    """The outcomes of a campaign, in a file that grows by a line for each."""

    def __init__(self, path: pathlib.Path) -> None:
        """Read what is there; the directory is made when the first line is written."""
        self._path = path
        self.outcomes: dict[int, Outcome] = {}
        self._is_cut = False
        if path.exists():
            text = path.read_text(encoding="utf-8")
            self._is_cut = bool(text) and not text.endswith("\n")
            for line in text.splitlines():
                self._take(line)

    def _take(self, line: str) -> None:
        try:
            outcome = Outcome(**json.loads(line))
        except (ValueError, TypeError):
            return  # cut, or of another version of this program
        self.outcomes[outcome.seed] = outcome

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome; it is in the file when this returns."""
        self.outcomes[outcome.seed] = outcome
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            if self._is_cut:
                file.write("\n")
                self._is_cut = False
            file.write(json.dumps(asdict(outcome)) + "\n")

    def forget(self) -> None:
        """Begin anew."""
        self._path.unlink(missing_ok=True)
        self.outcomes = {}
        self._is_cut = False

    def missing(self, units: int) -> list[int]:
        """Seeds below ``units`` that have no outcome yet."""
        return [seed for seed in range(units) if seed not in self.outcomes]


def revision() -> str:
    """The commit of the sources, with ``-dirty`` when they were changed since; empty where there is no git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()
