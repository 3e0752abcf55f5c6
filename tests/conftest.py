"""For all tests: what is skipped must be allowed to be.

A test that needs a component which is not there is skipped with the reason. With ``POSTHOUSE_REQUIRE_ALL=1`` (set in
``.ci/run``) such a skip is a failure: nobody may believe that a suite ran which did not. The exception is what no package could
bring, loop devices for one (`tests.support.nodes.lacks`): it stays a skip, and the last lines of the run say so.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.support.nodes import MACHINE_LACKS, posthouse_node
from tests.support.rabbit import rabbit_node

__all__ = ["posthouse_node", "rabbit_node"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where everything is required; expected failures stay."""
    report = yield
    if os.environ.get("POSTHOUSE_REQUIRE_ALL") == "1" and report.skipped:
        if not hasattr(report, "wasxfail") and MACHINE_LACKS not in str(report.longrepr):
            report.outcome = "failed"
            report.longrepr = f"skipped, but everything is required: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself as a whole."""
    report = yield
    if os.environ.get("POSTHOUSE_REQUIRE_ALL") == "1" and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, but everything is required: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests this machine cannot run, whatever the verbosity."""
    for report in terminalreporter.getreports("skipped"):
        if MACHINE_LACKS in str(report.longrepr):
            terminalreporter.write_line(f"not run: {report.nodeid}: {MACHINE_LACKS} ...", red=True)
