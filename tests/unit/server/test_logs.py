"""Log lines: one event a line whatever is in it, bounded, and no flood."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from posthouse.server import logs


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    """The stream of a log that is set up as the program does."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    stream = io.StringIO()
    logs.set_up("info", stream)
    try:
        yield stream
    finally:
        root.handlers[:] = before
        root.setLevel(level)


log = logging.getLogger("posthouse.test")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("line\nbreak\r", "line\\nbreak\\r"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\0\x7f\x85", "\\x00\\x7f\\x85"),
        ("\u2028\u2029\u202e", "\\u2028\\u2029\\u202e"),
        ("\udcff\ud800", "\\xff\\ud800"),
        ("naïve ☃\ttab", "naïve ☃\ttab"),
    ],
)
def test_nothing_in_a_line_is_taken_for_another(text: str, shown: str, output: io.StringIO) -> None:
    log.warning("user '%s'", text)
    line = output.getvalue()
    assert line.endswith(f" [WARNING] user '{shown}'\n")
    assert line.count("\n") == 1
    line.encode()


def test_a_traceback_is_part_of_its_line(output: io.StringIO) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        log.exception("it failed")
    line = output.getvalue()
    assert line.count("\n") == 1
    assert "it failed | Traceback" in line
    assert line.endswith("ValueError: first\\nsecond\n")


def test_a_line_has_a_bound(output: io.StringIO) -> None:
    log.warning("%s", "x" * 100_000)
    line = output.getvalue()
    assert len(line) < logs.LINE_MAX + 100
    assert line.endswith("more)\n")


def test_a_traceback_has_a_bound_and_keeps_its_end(output: io.StringIO) -> None:
    try:
        raise ValueError("y" * 100_000 + "the end")
    except ValueError:
        log.exception("it failed")
    line = output.getvalue()
    assert len(line) < logs.LINE_MAX + logs.TRACEBACK_MAX
    assert line.endswith("the end\n")


def test_times_are_utc(output: io.StringIO) -> None:
    record = logging.LogRecord("a", logging.INFO, "", 0, "x", (), None)
    record.created = 0.0
    record.msecs = 0.0
    assert logs.LineFormatter().format(record) == "1970-01-01 00:00:00,000 [INFO] x"


def said(flood: logs.FloodFilter, text: str, *args: object, level: int = logging.WARNING) -> str:
    """What passes of a message, "" if nothing does."""
    record = logging.LogRecord("posthouse.a", level, "", 0, text, args, None)
    return record.getMessage() if flood.filter(record) else ""


def test_a_flood_of_one_kind_is_counted_and_not_written() -> None:
    now = [0.0]
    flood = logs.FloodFilter(lambda: now[0])
    lines = [said(flood, "login of %s refused", n) for n in range(1000)]
    assert sum(map(bool, lines)) == logs.BURST
    assert said(flood, "something else") == "something else"
    now[0] = logs.PERIOD_S
    missing = 1000 - logs.BURST
    assert said(flood, "login of %s refused", "b") == (
        f"login of b refused ({missing} more like this were not logged)"
    )
    assert said(flood, "login of %s refused", "c") == "login of c refused"


def test_more_errors_pass_and_the_end_always() -> None:
    """A segment of damaged messages is an error for each."""
    flood = logs.FloodFilter(lambda: 0.0)
    lines = [said(flood, "broken %d", n, level=logging.ERROR) for n in range(1000)]
    assert sum(map(bool, lines)) == logs.BURST_OF_ERRORS
    assert all(said(flood, "the end", level=logging.CRITICAL) for _ in range(1000))


def test_a_percent_sign_in_what_a_client_sent_does_no_harm() -> None:
    now = [0.0]
    flood = logs.FloodFilter(lambda: now[0])
    for _ in range(logs.BURST + 5):
        said(flood, "user %s", "%s%n")
    now[0] = logs.PERIOD_S
    assert said(flood, "user %s", "%s%n") == "user %s%n (5 more like this were not logged)"


def test_what_is_counted_has_a_bound() -> None:
    flood = logs.FloodFilter(lambda: 0.0)
    for n in range(3 * logs.KINDS_MAX):
        assert said(flood, f"kind {n}")
        assert len(flood._kinds) <= logs.KINDS_MAX
