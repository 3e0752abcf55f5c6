"""The judgement of `make bench`: our worst run against RabbitMQ's best, and no gap passes for a success."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "benchmarks"))

from scenarios import Floor, Scenario, chosen
from verdict import judge

FASTER = Scenario("X", "", (Floor("rate", 10.0),), ("extra_us",))
SOONER = Scenario("Y", "", (Floor("p99_us", 1.0, is_less_better=True),))
SMALL = Scenario("Z", "", (Floor("kb", at_most=20.0, is_less_better=True),))


def runs(figure: str, *values: float, ok: bool = True) -> list[dict[str, Any]]:
    return [{"ok": ok, figure: value} for value in values]


def test_the_ratio_is_our_worst_to_their_best() -> None:
    both = {"posthouse": runs("rate", 100, 120, 90), "rabbitmq": runs("rate", 5, 9, 7)}
    verdict, shown = judge(FASTER, both)
    assert (verdict.ours, verdict.theirs, verdict.ratio) == (100, 7, 10.0)
    assert verdict.is_reached is True
    assert shown.is_reached is None


@pytest.mark.parametrize(("ours", "reached"), [((4, 5), True), ((4, 7), False)])
def test_where_less_is_better_the_ratio_turns_round(ours: tuple[int, ...], reached: bool) -> None:
    both = {"posthouse": runs("p99_us", *ours), "rabbitmq": runs("p99_us", 6, 8)}
    assert judge(SOONER, both)[0].is_reached is reached


def test_a_broken_run_of_ours_fails_the_floor() -> None:
    ours = [*runs("rate", 1000, 1000), {"ok": False, "rate": 1000, "error": "missing"}]
    assert judge(FASTER, {"posthouse": ours, "rabbitmq": runs("rate", 1)})[0].is_reached is False


def test_without_rabbitmq_a_ratio_is_neither_reached_nor_missed() -> None:
    verdict = judge(FASTER, {"posthouse": runs("rate", 1000)})[0]
    assert (verdict.ratio, verdict.is_reached) == (None, None)


@pytest.mark.parametrize(("values", "reached"), [((19, 20), True), ((5, 21), False)])
def test_an_absolute_bound_holds_for_the_worst_run(values: tuple[int, ...], reached: bool) -> None:
    assert judge(SMALL, {"posthouse": runs("kb", *values)})[0].is_reached is reached


def test_scenarios_are_chosen_by_name_or_prefix() -> None:
    assert [s.name for s in chosen("B1k")] == ["B1k"]
    assert [s.name for s in chosen("B1k_,A16")] == ["A16", "B1k_w1", "B1k_10p"]
    assert [s.name for s in chosen("H")] == ["Hconn", "Hqueue"]
    with pytest.raises(KeyError):
        chosen("A16,nonsense")
