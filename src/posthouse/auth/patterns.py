"""Permission patterns: regular expressions, searched unanchored, as RabbitMQ does.

Python's `re` backtracks, so a pattern with nested repetition could hold the loop for ever on a hostile name. Such patterns
are refused here (they deny) rather than run; names are at most 255 octets.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from re import _parser as sre_parse  # type: ignore[attr-defined]  # the only view of a pattern's structure
from typing import Any

log = logging.getLogger(__name__)

CACHE_SIZE = 1024
GRANTS_NOTHING = frozenset(("", "^$"))


@lru_cache(maxsize=CACHE_SIZE)
def compiled(pattern: str) -> re.Pattern[str] | None:
    """The compiled pattern, or None for one that is invalid or could take exponential time."""
    try:
        tree = sre_parse.parse(pattern)
        if _has_nested_repeat(tree, inside=False):
            log.warning(
                "permission pattern %r nests repetitions; it denies: write it without", pattern
            )
            return None
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        log.warning(
            "permission pattern %r is not a regular expression (%s); it denies", pattern, error
        )
        return None


def _has_nested_repeat(tree: Any, inside: bool) -> bool:  # Any: sre's own node lists
    for operation, argument in tree:
        name = str(operation)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            _low, high, body = argument
            unbounded = high > 1
            if inside and unbounded:
                return True
            if _has_nested_repeat(body, inside or unbounded):
                return True
        elif name == "SUBPATTERN":
            if _has_nested_repeat(argument[-1], inside):
                return True
        elif name == "BRANCH":
            if any(_has_nested_repeat(branch, inside) for branch in argument[1]):
                return True
        elif name in ("GROUPREF", "GROUPREF_EXISTS") and inside:
            return True
    return False


def matches(pattern: str, name: str) -> bool:
    """Whether ``pattern`` covers ``name``. The empty pattern and ``^$`` grant nothing."""
    if pattern in GRANTS_NOTHING:
        return False
    expression = compiled(pattern)
    return expression is not None and expression.search(name) is not None
