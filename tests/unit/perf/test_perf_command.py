"""The generator as people call it, against a broker of its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from posthouse.cli import main as cli_main

START = "import sys; from posthouse.cli.main import main; main(sys.argv[1:])"
OPTIONS = ["start", "--memory", "--amqp-port", "0", "--ready-json"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", START, *OPTIONS],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    try:
        port = json.loads(process.stdout.readline())["amqp"]["port"]
        yield f"amqp://guest:guest@127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.communicate(timeout=20)


def perf(capsys: pytest.CaptureFixture[str], url: str, *arguments: str) -> tuple[int, Any]:
    code = cli_main.run(["perf", "amqp", "--json", "--url", url, *arguments])
    output = capsys.readouterr().out
    return code, json.loads(output) if output else None


@pytest.mark.parametrize(
    ("options", "published", "received"),
    [
        ("--count 500", 500, 500),
        ("--count 500 --confirm 7 --ack 10 --prefetch 20 --persistent --durable", 500, 500),
        ("--count 300 --producers 3 --consumers 2 --queues 5 --exchange direct", 300, 300),
        ("--count 100 --exchange fanout --queues 4 --size 1", 100, 400),
        ("--count 200 --exchange topic --queues 3 --processes 2 --producers 2", 200, 200),
        ("--count 20 --size 300000", 20, 20),
        ("--count 50 --consumers 0 --confirm 50", 50, 0),
        ("--mode backlog --count 1000 --confirm 100", 1000, 1000),
    ],
)
def test_counts_what_it_sent_and_what_came(
    capsys: pytest.CaptureFixture[str], url: str, options: str, published: int, received: int
) -> None:
    code, figures = perf(capsys, url, *options.split())
    assert (code, figures["error"], figures["ok"]) == (0, "", True)
    assert (figures["published"], figures["received"]) == (published, received)
    assert figures["missing"] == 0
    assert figures["confirmed"] == (published if "--confirm" in options else 0)


def test_what_an_earlier_run_left_is_not_counted(
    capsys: pytest.CaptureFixture[str], url: str
) -> None:
    code, _ = perf(capsys, url, *["--count", "40", "--consumers", "0", "--keep", "--confirm", "40"])
    assert code == 0
    code, figures = perf(capsys, url, "--count", "10")
    assert (code, figures["received"], figures["missing"]) == (0, 10, 0)


@pytest.mark.slow
def test_latency_mode_keeps_its_rate(capsys: pytest.CaptureFixture[str], url: str) -> None:
    options = "--mode latency --rate 500 --warmup 0.1 --seconds 0.4 --confirm 100"
    code, figures = perf(capsys, url, *options.split())
    assert (code, figures["missing"]) == (0, 0)
    assert 150 <= figures["published"] <= 300
    for name in ("", "confirm_"):
        p50, p99, most = (figures[f"{name}{q}_us"] for q in ("p50", "p99", "max"))
        assert 0 < p50 <= p99 <= most < 2_000_000


@pytest.mark.slow
def test_a_timed_run_measures_a_window(capsys: pytest.CaptureFixture[str], url: str) -> None:
    # Not as fast as it can: interpreted kernels would still be parsing when the window is over.
    options = "--warmup 0.2 --seconds 1 --rate 200"
    code, figures = perf(capsys, url, *options.split())
    assert code == 0
    assert figures["publish_rate"] > 0
    assert figures["consume_rate"] > 0
    assert 0.3 <= figures["window_s"] < 5


def test_messages_that_do_not_come_are_missing(
    capsys: pytest.CaptureFixture[str], url: str
) -> None:
    options = "--count 30 --exchange topic --pattern nowhere.%d --drain 0.05 --mandatory"
    code, figures = perf(capsys, url, *options.split())
    assert code == 1
    assert (figures["missing"], figures["received"], figures["returned"]) == (30, 0, 30)
    assert figures["error"] == "messages or confirms are missing"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["connchurn", "queuechurn"])
def test_churn_counts_rounds(capsys: pytest.CaptureFixture[str], url: str, mode: str) -> None:
    options = f"--mode {mode} --connections 2 --warmup 0 --seconds 0.2 --exchange direct"
    code, figures = perf(capsys, url, *options.split())
    assert code == 0
    assert figures["done"] > 0


def test_idle_connections_stay_alive(capsys: pytest.CaptureFixture[str], url: str) -> None:
    code, figures = perf(capsys, url, *["--mode", "idle", "--connections", "5", "--seconds", "0"])
    assert code == 0
    assert (figures["connections"], figures["alive"]) == (5, 5)


def test_a_person_gets_a_table(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert cli_main.run(["perf", "amqp", "--url", url, "--count", "10", "--confirm", "5"]) == 0
    output = capsys.readouterr().out
    assert "messages published" in output
    assert "confirm latency, us" in output
    assert "complete" in output


def test_the_deadline_ends_a_run(capsys: pytest.CaptureFixture[str], url: str) -> None:
    options = "--count 5 --exchange topic --pattern nowhere.%d --drain 60 --deadline 0.3"
    code, figures = perf(capsys, url, *options.split())
    assert (code, figures["published"], figures["missing"]) == (1, 5, 5)


@pytest.mark.parametrize("options", [["--size", "0"], ["--ack", "never"], ["--mode", "walk"]])
def test_wrong_options_exit_with_64(capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    assert cli_main.run(["perf", "amqp", *options]) == 64


def test_a_broker_that_is_not_there_exits_with_69(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli_main.run(["perf", "amqp", "--url", "amqp://127.0.0.1:1/"]) == 69
    assert "cannot connect to 127.0.0.1:1" in capsys.readouterr().err


def test_a_wrong_password_exits_with_69(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert cli_main.run(["perf", "amqp", "--url", url.replace(":guest", ":wrong")]) == 69
    assert "403 ACCESS_REFUSED" in capsys.readouterr().err
