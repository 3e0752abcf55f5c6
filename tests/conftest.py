"""For all tests: what is skipped must be allowed to be.

A test that needs a component which is not there is skipped with the reason. With ``POSTHOUSE_REQUIRE_ALL=1`` (set in
``.ci/run``) such a skip is a failure: nobody may believe that a suite ran which did not.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.support.nodes import posthouse_node, rabbit_node

__all__ = ["posthouse_node", "rabbit_node"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where everything is required; expected failures stay."""
    report = yield
    if os.environ.get("POSTHOUSE_REQUIRE_ALL") == "1" and report.skipped:
        if not hasattr(report, "wasxfail"):
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
