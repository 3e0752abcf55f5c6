"""The runner of long tests: what it must survive, and what it remembers."""

from __future__ import annotations

import io
import json
import os
import pathlib
import time
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from tests.torture import __main__ as command
from tests.torture.catalogue import CAMPAIGNS, load
from tests.torture.process import CannotBegin, Worker, own_scratch
from tests.torture.progress import Progress
from tests.torture.record import Outcome, Record
from tests.torture.runner import Runner, Summary
from tests.unit.torture.fakes import MARKS

Invoke = Callable[..., Result]
FAKES = "tests.unit.torture.fakes"
pytestmark = pytest.mark.slow  # each starts processes


class Bench:
    """A directory with records, and what units left there."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.marks = directory / "marks"
        self.said = io.StringIO()

    def record(self, name: str) -> Record:
        return Record(self.directory / f"{name}.jsonl")

    def run(self, name: str, units: int | None = None, jobs: int = 2) -> Summary:
        where = f"{FAKES}:{name}"
        campaign = load(where)
        console = Console(file=self.said, width=200)
        runner = Runner(
            campaign, where, self.record(name), jobs=jobs, scratch=self.directory / "tmp"
        )
        with Progress(console) as progress:
            return runner.run(units or campaign.units, progress)

    def seeds(self) -> list[int]:
        """Of units that were begun, sorted."""
        return sorted(int(line.split()[0]) for line in self.marks.read_text().splitlines())

    def processes(self) -> set[str]:
        return {line.split()[1] for line in self.marks.read_text().splitlines()}


@pytest.fixture
def bench(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path)
    monkeypatch.setenv(MARKS, str(bench.marks))
    return bench


def test_units_are_done_once_and_summed(bench: Bench) -> None:
    summary = bench.run("GOOD", jobs=1)
    assert bench.seeds() == list(range(7))
    assert summary.is_clean
    assert summary.figures == {"tried": 7, "seed_max": 6, "seed_min": 0}
    assert len(bench.processes()) == 3  # batches of at most three
    assert not list((bench.directory / "tmp").iterdir())


def test_a_second_run_does_what_is_missing(bench: Bench) -> None:
    bench.run("GOOD", units=3)
    with (bench.directory / "GOOD.jsonl").open("a") as file:
        file.write('{"seed": 3, "seco')  # the runner was killed while it wrote
    bench.marks.unlink()
    summary = bench.run("GOOD")
    assert bench.seeds() == [3, 4, 5, 6]
    assert summary.figures["tried"] == 7
    bench.marks.unlink()
    assert bench.run("GOOD").is_clean
    assert not bench.marks.exists()


def test_a_failure_is_told_and_the_others_are_done(bench: Bench) -> None:
    summary = bench.run("FAILING", jobs=1)
    assert bench.seeds() == [0, 1, 2, 3, 4]
    assert summary.done == 5
    assert summary.figures == {"tried": 4}
    (failure,) = summary.failures
    assert failure.seed == 2
    assert "promise P0 [of seed 2] is broken" in failure.error
    assert "promise P0 [of seed 2] is broken" in bench.said.getvalue()
    assert "python -m tests.torture failing --seed 2" in bench.said.getvalue()
    assert not summary.is_clean
    # It stays one, and is not done again by itself.
    assert not bench.run("FAILING").is_clean
    assert bench.seeds() == [0, 1, 2, 3, 4]


def test_a_crash_is_the_failure_of_its_unit(bench: Bench) -> None:
    summary = bench.run("CRASHING", jobs=1)
    assert bench.seeds() == [0, 1, 2, 3, 4]
    (failure,) = summary.failures
    assert failure.seed == 2
    assert "SIGSEGV" in failure.error
    assert "_third_crashes" in failure.error  # where it was
    assert summary.figures == {"tried": 4}


def test_a_hang_is_the_failure_of_its_unit(bench: Bench) -> None:
    summary = bench.run("HANGING", jobs=1)
    (failure,) = summary.failures
    assert failure.seed == 1
    assert "not done after 1.5 s" in failure.error
    assert "_second_hangs" in failure.error
    assert summary.figures == {"tried": 2}
    child, directory = (bench.directory / "marks.left").read_text().split("\n")
    assert not pathlib.Path(directory).exists()
    assert (bench.directory / "marks.stopped").exists()  # it could stop what it had started
    deadline = time.monotonic() + 10
    while is_running(int(child)):
        assert time.monotonic() < deadline, "the unit's child lives on"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """False also for one that nobody has waited for yet."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_what_cannot_be_done_here_is_skipped_and_tried_again(bench: Bench) -> None:
    summary = bench.run("NEEDY", jobs=1)
    assert (summary.done, summary.asked, summary.failures) == (2, 3, [])
    assert summary.is_clean
    (skipped,) = summary.skipped
    assert skipped.seed == 1
    assert "a-broker-that-nobody-has is not installed (write one)" in skipped.skipped
    bench.marks.unlink()
    bench.run("NEEDY")
    assert bench.seeds() == [1]


def test_who_measures_is_alone(bench: Bench) -> None:
    summary = bench.run("ALONE", jobs=8)
    assert summary.is_clean
    assert [int(line.split()[0]) for line in bench.marks.read_text().splitlines()] == [0, 1, 2]


def test_a_campaign_that_cannot_begin_says_why(bench: Bench) -> None:
    campaign = load(f"{FAKES}:GOOD")
    runner = Runner(
        campaign, f"{FAKES}:GONE", bench.record("x"), jobs=2, scratch=bench.directory / "tmp"
    )
    console = Console(file=bench.said)
    with Progress(console) as progress, pytest.raises(CannotBegin, match="GONE"):
        runner.run(3, progress)


def test_the_later_outcome_of_a_seed_counts(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "deep" / "x.jsonl"
    record = Record(path)
    record.add(Outcome(1, 0.5, {}, "broken"))
    record.add(Outcome(1, 0.5, {"n": 2.0}))
    again = Record(path)
    assert again.outcomes == {1: Outcome(1, 0.5, {"n": 2.0})}
    assert again.missing(3) == [0, 2]


class TestCommand:
    @pytest.fixture
    def invoke(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Invoke:
        names = ("good", "failing", "alone", "needy")
        fakes = {name: f"{FAKES}:{name.upper()}" for name in names}
        monkeypatch.setattr(command, "CAMPAIGNS", fakes)

        def call(*arguments: str) -> Result:
            state = ["--state", str(bench.directory / "state")]
            return CliRunner().invoke(command.main, [*state, *arguments])

        return call

    def test_runs_those_named_and_writes_json(self, bench: Bench, invoke: Invoke) -> None:
        result = invoke("good", "failing", "--units", "3", "--json", str(bench.directory / "out"))
        assert result.exit_code == 1, result.output
        assert "failed: python -m tests.torture failing --seed 2" in result.output
        report = json.loads((bench.directory / "out").read_text())
        assert report["machine"]["cores"] == os.cpu_count()
        good, failing = report["campaigns"]
        assert (good["name"], good["asked"], good["done"]) == ("good", 3, 3)
        assert [failure["seed"] for failure in failing["failures"]] == [2]
        assert invoke("good", "--units", "3").exit_code == 0
        assert len(bench.seeds()) == 6
        assert invoke("good", "--units", "3", "--fresh").exit_code == 0
        assert len(bench.seeds()) == 9

    def test_a_skip_is_told_and_may_be_forbidden(
        self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("POSTHOUSE_REQUIRE_ALL", raising=False)
        result = invoke("needy")
        assert result.exit_code == 0
        assert "skipped: needy 1: a-broker-that-nobody-has is not installed" in result.output
        monkeypatch.setenv("POSTHOUSE_REQUIRE_ALL", "1")
        assert invoke("needy").exit_code == 1

    def test_repeats_one_seed(self, bench: Bench, invoke: Invoke) -> None:
        result = invoke("good", "--seed", "5")
        assert result.exit_code == 0
        assert json.loads(result.output)["seed_max"] == 5
        result = invoke("failing", "--seed", "2")
        assert result.exit_code == 1
        assert isinstance(result.exception, AssertionError)
        assert invoke("--seed", "1").exit_code == 2
        assert bench.seeds() == [2, 5]

    def test_says_what_there_is(self, invoke: Invoke) -> None:
        result = invoke("list")
        assert "failing: the third unit fails (5 units)" in result.output
        assert "alone: one at a time (3 units, alone)" in result.output
        assert invoke("nothing").exit_code == 2


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_every_campaign_of_the_list_is_there(name: str) -> None:
    campaign = load(CAMPAIGNS[name])
    assert campaign.name == name
    assert campaign.units > 0
    assert campaign.what


def test_temporary_files_of_another_run_are_left_alone(tmp_path: pathlib.Path) -> None:
    """Two runs in one directory: the first to end once took the other's data away."""
    ended, running = tmp_path / "tmp" / str(1 << 30), tmp_path / "tmp" / str(os.getppid())
    for directory in (ended, running, tmp_path / "tmp" / "unit-old"):
        directory.mkdir(parents=True)
    own = own_scratch(tmp_path)
    assert own.name == str(os.getpid())
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == [running.name]


def test_a_worker_that_has_ended_already_can_be_stopped(bench: Bench) -> None:
    """As when another one could not begin: both end by themselves, and one is told to."""
    campaign = load(f"{FAKES}:GOOD")
    worker = Worker(campaign, f"{FAKES}:GONE", [0], bench.directory / "tmp")
    os.waitid(os.P_PID, worker._process.pid, os.WEXITED | os.WNOWAIT)
    worker.stop()
    assert worker.is_over
    assert worker.outcomes == []
