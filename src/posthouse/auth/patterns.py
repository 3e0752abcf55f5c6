"""Permission patterns: regular expressions, searched unanchored, as RabbitMQ does.

Python's `re` backtracks, so it gets only patterns that cannot make it try much: at most one repetition, of a single
character, and few alternatives. All others run on `posthouse.auth.automaton`, in linear time. A pattern that is invalid, or
has no linear-time form (back references, atomic groups), denies, and a log line says so once.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import lru_cache
from re import _parser  # type: ignore[attr-defined]  # the only view of a pattern's structure
from typing import Any

from posthouse.auth.automaton import Automaton, TooManySteps, UnsupportedPattern

log = logging.getLogger(__name__)

PATTERNS_MAX = 1024
DECISIONS_MAX = 4096
# RabbitMQ takes the empty pattern for ``^$``, and no resource has an empty name.
GRANTS_NOTHING = frozenset(("", "^$"))
ALTERNATIVES_MAX = 16

Tree = Any  # re's own node lists


@lru_cache(maxsize=DECISIONS_MAX)
def matches(pattern: str, name: str) -> bool:
    """Whether ``pattern`` covers ``name`` (at most 255 octets, as short strings are)."""
    if pattern in GRANTS_NOTHING:
        return False
    search = searcher(pattern)
    if search is None:
        return False
    try:
        return bool(search(name))
    except TooManySteps:
        log.warning("permission pattern %r takes too long on %r; it denies", pattern, name)
        return False


@lru_cache(maxsize=PATTERNS_MAX)
def searcher(pattern: str) -> Callable[[str], object] | None:
    """What searches a name for ``pattern``, or None for a pattern that denies."""
    try:
        if is_simple(pattern):
            return re.compile(pattern).search
        return Automaton(pattern).search
    except (re.error, UnsupportedPattern, RecursionError, OverflowError) as error:
        log.warning("permission pattern %r cannot be used (%s); it denies", pattern, error)
        return None


def is_simple(pattern: str) -> bool:
    """Whether backtracking over ``pattern`` takes at most quadratic time with a small factor.

    Raises:
        re.error: not a regular expression.
    """
    repeats, alternatives = _count(_parser.parse(pattern))
    return repeats <= 1 and alternatives <= ALTERNATIVES_MAX


def _count(tree: Tree) -> tuple[int, int]:
    """How many repetitions there are (2 for "any number"), and how many ways through the alternatives."""
    repeats, alternatives = 0, 1
    for operation, argument in tree:
        name = str(operation)
        more, ways = 0, 1
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            low, high, body = argument
            inside, ways = _count(body)
            if high == 1:
                more, ways = inside, ways + 1 - low
            else:
                more = 1 if _is_one_character(body) else 2
        elif name == "SUBPATTERN":
            more, ways = _count(argument[-1])
        elif name == "BRANCH":
            counts = [_count(branch) for branch in argument[1]]
            more, ways = max(c[0] for c in counts), sum(c[1] for c in counts)
        elif name not in ("LITERAL", "NOT_LITERAL", "ANY", "IN", "AT"):
            more = 2
        repeats += more
        alternatives *= ways
    return repeats, alternatives


def _is_one_character(body: Tree) -> bool:
    return len(body) == 1 and str(body[0][0]) in ("LITERAL", "NOT_LITERAL", "ANY", "IN")
