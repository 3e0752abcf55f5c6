"""Regular expressions in linear time: a nondeterministic automaton over the parse tree of Python's own `re`.

A backtracking engine may need exponential time for one short name (``(a|a)*b``), and it would hold the only loop there is.
This one visits each state at most once per character (Thompson's construction). It serves the patterns that
`posthouse.auth.patterns` does not give to `re`: it is slower on simple ones. Answers yes or no; has no captures, so back
references cannot be had, nor atomic groups and possessive repeats. Look-around is there: a sub-automaton each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from re import _compiler, _parser  # type: ignore[attr-defined]  # the only view of a pattern's structure
from typing import Any

# A pattern that people wrote has tens of states; 50,000 steps take about 10 ms.
STATES_MAX = 500
STEPS_MAX = 50_000

Test = Callable[[str, int], bool]
Tree = Any  # re's own node lists


class UnsupportedPattern(ValueError):
    """Not a regular expression of the kind we can run in linear time."""


class TooManySteps(Exception):
    """The pattern and the name together exceed `STEPS_MAX`."""


class Automaton:
    """One compiled pattern.

    A state is (test, consumes, next states): a test that consumes looks at the character at its position, one that does
    not looks around; no test at all is a fork. ``_ACCEPT`` is not in the list.
    """

    __slots__ = ("_start", "_states", "_steps")

    _ACCEPT = -1

    def __init__(self, pattern: str) -> None:
        tree = _parser.parse(pattern)
        self._steps = 0
        self._states: list[tuple[Test | None, bool, tuple[int, ...]]] = []
        self._start = self._sequence(tree, tree.state.flags, self._ACCEPT)

    # --- running --------------------------------------------------------------------------------

    def search(self, text: str) -> bool:
        """Whether the pattern matches anywhere in ``text``.

        Raises:
            TooManySteps: the work has a bound, and this is beyond it.
        """
        self._steps = 0
        return self._run(self._start, text, 0, len(text), anywhere=True)

    def _run(self, start: int, text: str, at: int, end: int, *, anywhere: bool) -> bool:
        """Whether a match starts at ``at`` (or behind it: ``anywhere``) and is over by ``end``."""
        seeds: set[int] = {start}
        while True:
            if anywhere:
                seeds.add(start)
            reached = self._close(seeds, text, at)
            if self._ACCEPT in reached:
                return True
            if at == end or not (reached or anywhere):
                return False
            seeds = set()
            for state in reached:
                test, consumes, following = self._states[state]
                if consumes and test is not None and test(text, at):
                    seeds.update(following)
            at += 1

    def _close(self, seeds: set[int], text: str, at: int) -> set[int]:
        """All states that ``seeds`` lead to without a character."""
        reached: set[int] = set()
        todo = list(seeds)
        while todo:
            state = todo.pop()
            if state in reached:
                continue
            reached.add(state)
            if state < 0:
                continue
            self._steps += 1
            if self._steps > STEPS_MAX:
                raise TooManySteps
            test, consumes, following = self._states[state]
            if not consumes and (test is None or test(text, at)):
                todo.extend(following)
        return reached

    # --- building -------------------------------------------------------------------------------

    def _add(self, test: Test | None, consumes: bool, *following: int) -> int:
        if len(self._states) >= STATES_MAX:
            raise UnsupportedPattern(f"it needs more than {STATES_MAX} states")
        self._states.append((test, consumes, following))
        return len(self._states) - 1

    def _sequence(self, tree: Iterable[Tree], flags: int, following: int) -> int:
        """The first state of ``tree``, which leads to ``following``. Built from the end."""
        for operation, argument in reversed(list(tree)):
            following = self._item(str(operation), operation, argument, flags, following)
        return following

    def _item(self, name: str, operation: Tree, argument: Tree, flags: int, following: int) -> int:
        if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            return self._add(_alone(operation, argument, flags), True, following)
        if name == "AT":
            return self._add(_alone(operation, argument, flags), False, following)
        if name == "SUBPATTERN":
            _, added, removed, body = argument
            return self._sequence(body, (flags | added) & ~removed, following)
        if name == "BRANCH":
            starts = [self._sequence(branch, flags, following) for branch in argument[1]]
            return self._add(None, False, *starts)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            low, high, body = argument
            return self._repeat(low, high, body, flags, following)
        if name in ("ASSERT", "ASSERT_NOT"):
            return self._look(argument, flags, following, wanted=name == "ASSERT")
        raise UnsupportedPattern(f"{name.lower()} has no linear-time form")

    def _repeat(self, low: int, high: Tree, body: Tree, flags: int, following: int) -> int:
        if high == _parser.MAXREPEAT:
            fork = self._add(None, False)
            self._states[fork] = (None, False, (self._sequence(body, flags, fork), following))
            start = fork
        else:
            start = following
            for _ in range(int(high) - low):
                start = self._add(None, False, self._sequence(body, flags, start), following)
        for _ in range(low):
            before = start
            start = self._sequence(body, flags, start)
            if start == before:  # an empty body, as often as it likes
                break
        return start

    def _look(self, argument: Tree, flags: int, following: int, *, wanted: bool) -> int:
        direction, body = argument
        start = self._sequence(body, flags, self._ACCEPT)
        width = body.getwidth()[0]  # behind: re has checked that it is the only one

        def ahead(text: str, at: int) -> bool:
            return self._run(start, text, at, len(text), anywhere=False) is wanted

        def behind(text: str, at: int) -> bool:
            # A match from there has the only width, so it ends here.
            found = at >= width and self._run(start, text, at - width, at, anywhere=False)
            return found is wanted

        return self._add(ahead if direction > 0 else behind, False, following)


def _alone(operation: Tree, argument: Tree, flags: int) -> Test:
    """One character's or one position's test, compiled by `re`: case, classes and Unicode are its business."""
    state = _parser.State()
    state.flags = flags
    one = _compiler.compile(_parser.SubPattern(state, [(operation, argument)]), flags)

    def test(text: str, at: int) -> bool:
        return one.match(text, at) is not None

    return test
