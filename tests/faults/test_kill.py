"""Kill test: SIGKILL under load, at random moments, again and again on the same directory.

No confirmed message is lost, none is duplicated but as redelivered, order holds, transactions are whole, acknowledgements older than a
second are kept. `POSTHOUSE_KILLS` is the number of kills (default 5), `POSTHOUSE_SEED` the seed; `python -m tests.torture kill` does two
hundred.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.support.checker import report_of
from tests.support.definer import Definer
from tests.support.history import History, Identity, Session
from tests.support.roles import Role

KILLS = int(os.environ.get("POSTHOUSE_KILLS", "5"))
SEED = int(os.environ.get("POSTHOUSE_SEED", "1"))


@pytest.mark.slow
@pytest.mark.timeout(120 + 30 * KILLS)
def test_kills_under_load_break_no_promise(tmp_path: Path) -> None:
    report = report_of(KILLS, SEED, tmp_path / "data")
    print(json.dumps(report))
    assert report["clean"], report
    # There was something to lose: at every kill all roles were at work.
    assert report["confirmed"] > 500 * KILLS
    assert report["committed_in_tx"] > 10 * KILLS
    assert report["moved"] > 10 * KILLS
    assert report["redeliveries"] > 50 * KILLS
    assert report["acks"] > 500 * KILLS


def cut_tail(data_dir: Path) -> None:
    """Take half of the newest segment that has half a MiB: more than was under way and not confirmed yet."""
    segments = [
        path for path in (data_dir / "shard").glob("*.seg") if path.stat().st_size >= 1 << 19
    ]
    newest = max(segments)
    os.truncate(newest, newest.stat().st_size // 2)


@pytest.mark.slow
def test_checker_sees_a_journal_that_lost_its_tail(tmp_path: Path) -> None:
    report = report_of(1, SEED, tmp_path / "data", cut_tail)
    assert not report["clean"]
    assert report["lost"] > 0, report


A = [Identity(0, number) for number in range(10)]
ROUTES = {"k": ["q", "archive"]}


def history_of_ten() -> tuple[History, Session]:
    """Ten messages confirmed, delivered and acknowledged, and all ten in the archive: nothing to say."""
    history, session = History(), Session()
    history.confirmed["k"] = list(A)
    for identity in A:
        history.delivered("q", identity, False, session, True)
        history.acked("q", identity, session)
    return history, session


def test_history_without_fault_is_clean() -> None:
    history, _ = history_of_ten()
    verdict = history.judge({"archive": list(A)}, ROUTES)
    history.judge_groups([])
    assert verdict.is_clean


@pytest.mark.parametrize(
    ("archive", "kind"),
    [
        (A[:4] + A[5:], "lost"),
        (A[:5] + A[4:], "duplicates"),
        ([*A[:4], A[5], A[4], *A[6:]], "order"),
    ],
)
def test_history_sees_a_wrong_archive(archive: list[Identity], kind: str) -> None:
    history, _ = history_of_ten()
    verdict = history.judge({"archive": archive}, ROUTES)
    assert set(verdict.examples) == {kind}
    assert getattr(verdict, kind) == 1


def test_history_sees_a_confirmed_message_that_no_consumer_got() -> None:
    history, _ = history_of_ten()
    history.confirmed["k"].append(Identity(0, 10))
    assert history.judge({"archive": [*A, Identity(0, 10)]}, ROUTES).lost == 1


def test_history_sees_a_second_delivery_without_the_flag() -> None:
    history, _ = history_of_ten()
    history.delivered("q2", A[0], False, Session(), False)
    history.delivered("q2", A[0], True, Session(), False)
    assert history.verdict.is_clean
    history.delivered("q2", A[0], False, Session(), False)
    assert history.verdict.duplicates == 1


def test_history_sees_an_order_broken_within_a_session() -> None:
    history, session = history_of_ten()
    history.delivered("q3", A[1], False, session, False)
    history.delivered("q3", A[0], True, session, False)  # a requeued one may come late
    assert history.verdict.is_clean
    history.delivered("q3", A[0], False, session, False)
    assert history.verdict.order == 1


@pytest.mark.parametrize(("age_s", "forgotten"), [(0.9, 0), (1.1, 1)])
def test_history_sees_a_forgotten_acknowledgement(age_s: float, forgotten: int) -> None:
    history, session = history_of_ten()
    session.ended = time.monotonic() + age_s
    history.delivered("q", A[3], True, Session(), True)
    assert history.verdict.forgotten_acks == forgotten
    assert history.oldest_forgotten_ms == pytest.approx(1000 * age_s, abs=50)


def test_history_sees_half_a_transaction() -> None:
    history = History()
    assert not history.open_group(A[:3])
    assert not history.open_group(A[3:6])
    history.commit_group(A[3:6])
    history.judge_groups(A[3:6])  # the first group was not committed and is not there
    assert history.verdict.is_clean
    history.judge_groups([A[1], *A[3:6]])
    assert history.verdict.half_transactions == 1
    history.judge_groups([])
    assert history.verdict.lost == 1


def test_history_sees_a_message_in_both_ends_of_a_move() -> None:
    history = History()
    history.confirmed["in"] = list(A)
    history.moved.update(A[:5])
    history.judge_moved("in", A[5:], A[:5])
    assert history.verdict.is_clean
    history.judge_moved("in", A[4:], A[:5])
    assert history.verdict.half_transactions == 1
    history.judge_moved("in", A[5:], A[:4])
    assert history.verdict.lost == 2  # moved but not there, and in neither of the two


def test_the_definer_says_nothing_of_what_was_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delete that was sent before the kill and not answered may have been done."""
    definer = Definer(History())
    definer.states = {1: "purged", 2: "bound"}
    definer._next, definer._waiting = 2, "deleted"
    monkeypatch.setattr(Role, "bury", lambda self: None)
    definer.bury()
    assert definer.states == {1: "purged"}
