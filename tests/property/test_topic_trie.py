"""The topic matcher against a naive one, with patterns added and removed at random."""

from __future__ import annotations

import re
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.broker.exchanges.trie import TopicTrie

# Few and odd words: empty ones, wildcards inside words, octets that are no text.
WORD = st.sampled_from([b"", b"a", b"b", b"a*", b"*#", b"\xff", b"A"])
PATTERN_WORD = st.one_of(st.sampled_from([b"*", b"#"]), WORD)
KEY = st.lists(WORD, max_size=6).map(b".".join)
PATTERN = st.lists(PATTERN_WORD, max_size=6).map(b".".join)


def matches(pattern: list[bytes], key: list[bytes]) -> bool:
    """By the definition: ``#`` takes no word, or one and stays; ``*`` takes one."""
    if not pattern:
        return not key
    if pattern[0] == b"#":
        return matches(pattern[1:], key) or (bool(key) and matches(pattern, key[1:]))
    return bool(key) and pattern[0] in (b"*", key[0]) and matches(pattern[1:], key[1:])


def words(text: bytes) -> list[bytes]:
    return text.split(b".") if text else []


@given(st.lists(PATTERN, max_size=12), st.lists(KEY, min_size=1, max_size=12))
def test_matches_as_defined(patterns: list[bytes], keys: list[bytes]) -> None:
    trie = TopicTrie()
    for number, pattern in enumerate(patterns):
        trie.add(pattern, number)
    for key in keys:
        expected = {n for n, p in enumerate(patterns) if matches(words(p), words(key))}
        assert set(trie.match(key)) == expected


@given(st.lists(st.tuples(PATTERN, st.integers(0, 2), st.booleans()), max_size=40), KEY)
def test_removal_undoes_addition(changes: list[tuple[bytes, int, bool]], key: bytes) -> None:
    trie = TopicTrie()
    model: Counter[tuple[bytes, int]] = Counter()
    for pattern, target, is_addition in changes:
        if is_addition:
            trie.add(pattern, target)
            model[pattern, target] += 1
        elif model[pattern, target]:
            trie.remove(pattern, target)
            model[pattern, target] -= 1
        else:
            with pytest.raises(KeyError):
                trie.remove(pattern, target)
        live = [pair for pair, count in model.items() if count]
        expected = {t for p, t in live if matches(words(p), words(key))}
        assert set(trie.match(key)) == expected
        assert trie.is_empty() == (not live)
    for pattern, target in model.elements():
        assert not trie.is_empty()
        trie.remove(pattern, target)
    assert trie.is_empty(), "nothing is left of what was removed"


@settings(max_examples=30)
@given(st.lists(PATTERN_WORD, min_size=1, max_size=4), st.lists(WORD, max_size=4))
def test_agrees_with_a_regular_expression(pattern: list[bytes], key: list[bytes]) -> None:
    parts = {b"*": rb"\.[^.]*", b"#": rb"(?:\.[^.]*)*"}
    expression = b"".join(parts.get(word, rb"\." + re.escape(word)) for word in pattern)
    # A list with one empty word and one without words are the same key.
    subject = b".".join(key)
    dotted = b"." + subject if subject else b""
    if pattern == [b""]:
        expression = b""
    trie = TopicTrie()
    trie.add(b".".join(pattern), 1)
    assert bool(trie.match(subject)) == bool(re.fullmatch(expression, dotted))


def test_many_wildcards_do_not_blow_up() -> None:
    trie = TopicTrie()
    trie.add(b".".join([b"#"] * 50), "all")
    trie.add(b".".join([b"#"] * 50 + [b"z"]), "none")
    trie.add(b".".join([b"#", b"a"] * 50 + [b"z"]), "none")
    trie.add(b".".join([b"*", b"#"] * 50), "50 and more")
    key = b".".join([b"a"] * 120)
    best = float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        found = trie.match(key)
        best = min(best, time.perf_counter() - begin)
    assert set(found) == {"all", "50 and more"}
    assert best < 0.05
