"""Work that is done beside everything else, a slice at a time, one chore after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Chore(Protocol):
    """A `Snapshotter`, a `Cleaner` or a `Rewriter`."""

    def is_due(self) -> bool:
        """Whether it should begin."""

    def begin(self) -> None:
        """Start; nothing else is under way."""

    def step(self) -> bool:
        """About a millisecond of it; False when it is done."""


class Housekeeping:
    """Lets one chore work at a time: a snapshot must not see blocks while they are being moved.

    They take turns: one that is due again and again does not keep the others from their work.
    """

    def __init__(self, chores: Sequence[Chore]) -> None:
        self._chores = list(chores)
        self._current: Chore | None = None

    def check(self) -> bool:
        """Begin what is due, unless something is under way; whether something was begun."""
        if self._current is not None:
            return False
        for chore in self._chores:
            if chore.is_due():
                self.begin(chore)
                return True
        return False

    def begin(self, chore: Chore) -> None:
        """Begin ``chore`` now; nothing may be under way."""
        assert self._current is None
        self._current = chore
        self._chores.remove(chore)
        self._chores.append(chore)
        chore.begin()

    @property
    def is_idle(self) -> bool:
        """Nothing is under way."""
        return self._current is None

    def step(self) -> bool:
        """A slice; whether there is more to do."""
        if self._current is not None and not self._current.step():
            self._current = None
        return self._current is not None
