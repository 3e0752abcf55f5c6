"""The linear-time automaton agrees with `re` on patterns that `re` can run."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.auth.automaton import Automaton, UnsupportedPattern

leaves = st.sampled_from(
    [
        "a",
        "b",
        "c",
        ".",
        "[ab]",
        "[^a]",
        r"\w",
        r"\W",
        "^",
        "$",
        r"\b",
        r"\B",
        r"\A",
        r"\Z",
        "",
        "é",
    ]
)
patterns = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda p: f"({'|'.join(p)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{2,}", "*?", "??"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
        inner.map(lambda p: f"(?={p})"),
        inner.map(lambda p: f"(?!{p})"),
        inner.map(lambda p: f"(?i:{p})"),
    ),
    max_leaves=6,
)
behind = st.lists(st.sampled_from(["a", "b", ".", "[ab]", r"\b", "(?=a)"]), max_size=3).map("".join)
names = st.text("abcAB -é\n", max_size=9)


@settings(max_examples=300)
@given(patterns, names)
def test_agrees_with_re(pattern: str, name: str) -> None:
    assert Automaton(pattern).search(name) == (re.search(pattern, name) is not None)


@given(behind, patterns, names, st.sampled_from(["<=", "<!"]))
def test_agrees_with_re_on_what_stands_before(
    before: str, pattern: str, name: str, kind: str
) -> None:
    whole = f"(?{kind}{before}){pattern}"
    assert Automaton(whole).search(name) == (re.search(whole, name) is not None)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of re, about a [ within brackets
@given(st.text("ab()[]{}|*+?.^$\\1,-<=!:", max_size=14), names)
def test_no_text_harms_the_compiler(pattern: str, name: str) -> None:
    try:
        found = Automaton(pattern).search(name)
    except (re.error, UnsupportedPattern, OverflowError):
        return
    assert found == (re.search(pattern, name) is not None)
