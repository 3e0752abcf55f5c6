"""Permission patterns: RabbitMQ's meaning, and no pattern that holds the loop."""

from __future__ import annotations

import contextlib
import logging
import re

import pytest

from posthouse.auth import automaton, patterns
from posthouse.auth.automaton import Automaton, TooManySteps, UnsupportedPattern
from posthouse.auth.patterns import is_simple, matches, searcher


@pytest.mark.parametrize(
    ("pattern", "name", "covers"),
    [
        (".*", "anything", True),
        ("foo", "xfoox", True),  # unanchored, as RabbitMQ searches
        ("^foo$", "xfoox", False),
        ("", "q", False),
        ("^$", "q", False),
        ("^(prod|dev)-.*$", "dev-1", True),
        ("^(prod|dev)-.*$", "test-1", False),
        ("^(?!admin).*", "admin.q", False),
        ("^(?!admin).*", "user.q", True),
        (r"^amq\.", "amq.direct", True),
        (r"^a.*b.*c$", "a-b-c", True),
        (r"^a.*b.*c$", "a-c-b", False),
        ("(?i)^FOO.*bar.*", "food BAR", True),
    ],
)
def test_covers_what_rabbitmq_covers(pattern: str, name: str, covers: bool) -> None:
    assert matches(pattern, name) is covers


@pytest.mark.parametrize(
    "pattern", ["(", "[a", "a{2,1}", r"(a)\1", "(?>a*)b", "a*+b+", "(a)?(?(1)b)"]
)
def test_denies_where_a_pattern_cannot_be_used_and_says_so_once(
    pattern: str, caplog: pytest.LogCaptureFixture
) -> None:
    searcher.cache_clear()
    matches.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert not matches(pattern, "ab")
        assert not matches(pattern, "aab")
    assert len(caplog.records) == 1
    assert "it denies" in caplog.text


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a|a)*b",
        "(a|aa)+$",
        "(a*)*b",
        ".*.*.*.*.*.*.*.*x",
        "(.*a){12}x",
        "(?=(a+)+b)",
        "(a?){200}b{3}",
        "".join(["(a|a)"] * 30) + "b",
    ],
)
def test_no_pattern_takes_long_on_a_hostile_name(pattern: str) -> None:
    """Counted, not timed: a backtracking engine would need more steps than fit into a lifetime."""
    assert not is_simple(pattern)
    machine = Automaton(pattern)
    with contextlib.suppress(TooManySteps):
        assert not machine.search("a" * 254 + "!")
    assert machine._steps <= automaton.STEPS_MAX + 1


def test_denies_beyond_the_bound_of_steps(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    searcher.cache_clear()
    matches.cache_clear()
    monkeypatch.setattr(automaton, "STEPS_MAX", 100)
    assert not matches("(a|b)*c", "ab" * 60 + "c")
    assert "takes too long" in caplog.text


@pytest.mark.parametrize(
    "pattern", ["(a{1,30}){1,30}x", "((a{100}){100}){100}", "(abcde){200}", "(x?){999999}"]
)
def test_refuses_patterns_of_too_many_states(pattern: str) -> None:
    with pytest.raises(UnsupportedPattern, match="more than 500 states"):
        Automaton(pattern)


def test_an_empty_body_may_repeat_for_ever() -> None:
    assert Automaton("(){4000000000}b+c+").search("bc")
    assert Automaton("(a*)*c").search("aac")


@pytest.mark.parametrize("pattern", [".*", "^q$", "^a.*", "^(a|b|c)$", "colou?r.*", "[ab]{3}"])
def test_ordinary_patterns_run_on_re(pattern: str) -> None:
    assert is_simple(pattern)
    search = searcher(pattern)
    assert search is not None
    assert isinstance(getattr(search, "__self__", None), re.Pattern)


def test_caches_are_bounded() -> None:
    assert matches.cache_info().maxsize == patterns.DECISIONS_MAX
    assert searcher.cache_info().maxsize == patterns.PATTERNS_MAX
