"""Chores take turns."""

from __future__ import annotations

from posthouse.broker.housekeeping import Housekeeping


class Busy:
    """Is due whenever it is asked, and done after two steps."""

    def __init__(self) -> None:
        self.begun = 0
        self._left = 0

    def is_due(self) -> bool:
        return True

    def begin(self) -> None:
        self.begun += 1
        self._left = 2

    def step(self) -> bool:
        self._left -= 1
        return self._left > 0


def test_one_that_is_always_due_does_not_keep_the_others_from_their_work() -> None:
    chores = [Busy(), Busy(), Busy()]
    housekeeping = Housekeeping(chores)
    for _ in range(9):
        assert housekeeping.check()
        assert not housekeeping.check()
        while housekeeping.step():
            pass
        assert housekeeping.is_idle
    assert [chore.begun for chore in chores] == [3, 3, 3]
