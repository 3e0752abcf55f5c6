"""The latency histogram against a sorted list: kernels compiled or interpreted, as the run chooses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.client.histogram import Histogram

DURATIONS_NS = st.one_of(st.integers(0, 300), st.integers(0, 10_000_000), st.integers(0, 2**62 - 1))
SHARES = (0.0, 0.01, 0.5, 0.95, 0.99, 0.999, 1.0)


def lower_edge(value: int) -> int:
    """The naive bucket: the seven leading bits of a value."""
    shift = max(0, value.bit_length() - 7)
    return value >> shift << shift


def naive_quantile(values: list[int], share: float) -> int:
    rank = max(1, int(share * len(values) + 0.5))
    return lower_edge(sorted(values)[rank - 1])


@given(st.lists(DURATIONS_NS, min_size=1, max_size=60))
def test_quantiles_are_those_of_a_sorted_list(values: list[int]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    assert histogram.count == len(values)
    assert histogram.max == max(values)
    for share in SHARES:
        assert histogram.quantile(share) == naive_quantile(values, share)


@given(st.lists(DURATIONS_NS, max_size=30), st.lists(DURATIONS_NS, max_size=30))
def test_merging_is_counting_together(first: list[int], second: list[int]) -> None:
    parts = [Histogram(), Histogram()]
    whole = Histogram()
    for part, values in zip(parts, (first, second), strict=True):
        for value in values:
            part.add(value)
            whole.add(value)
    parts[0].merge(parts[1])
    assert parts[0].dump() == whole.dump()


def test_a_bucket_is_less_than_two_percent_wide() -> None:
    histogram = Histogram()
    histogram.add(123_456_789)
    assert 0.98 * 123_456_789 < histogram.quantile(0.5) <= 123_456_789


def test_many_equal_values_count_as_often() -> None:
    histogram = Histogram()
    histogram.add_many(1000, 99)
    histogram.add(5000)
    assert histogram.quantile(0.99) == lower_edge(1000)
    assert histogram.quantile(1.0) == lower_edge(5000)
    assert histogram.quantile_us(1.0) == lower_edge(5000) / 1000


def test_a_stamp_from_the_future_counts_as_nothing() -> None:
    histogram = Histogram()
    histogram.add(-5)
    assert (histogram.count, histogram.max, histogram.quantile(0.5)) == (1, 0, 0)


def test_clearing_forgets_everything() -> None:
    histogram = Histogram()
    histogram.add(77)
    histogram.clear()
    assert histogram.dump() == Histogram().dump()
    assert histogram.quantile(0.5) == 0


def test_state_moves_between_processes() -> None:
    histogram = Histogram()
    histogram.add_many(4321, 3)
    other = Histogram()
    other.load(histogram.dump())
    assert other.dump() == histogram.dump()
    other.add(1)
    assert histogram.count == 3


def test_refuses_a_state_of_another_size() -> None:
    with pytest.raises(ValueError, match="bytes of counters"):
        Histogram().load((b"\0" * 8, 0, 0))
