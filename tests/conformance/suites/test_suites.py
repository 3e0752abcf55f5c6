"""Suites that others wrote pass against Posthouse as they do against RabbitMQ, test by test.

What RabbitMQ gave is recorded beside this file (`python -m tests.conformance.suites` records anew). A test of theirs may differ only
when the record lists it under `deviations` with a reason, and a deviation that is gone fails too, so that the list stays true.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.conformance.clients.tools import Broker
from tests.conformance.suites.suite import SUITES, Outcomes, Suite
from tests.support.nodes import PosthouseNode, require

pytestmark = [pytest.mark.external, pytest.mark.slow, pytest.mark.timeout(900)]

Runs = dict[str, "Future[tuple[Outcomes, str]]"]


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, posthouse_node: PosthouseNode) -> Iterator[Runs]:
    """All suites that were asked for, running at once: most of their time is sleep."""
    broker = Broker("posthouse", "127.0.0.1", posthouse_node.port)
    asked = {
        item.callspec.params["suite"].name
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.function is test_as_with_rabbitmq
    }
    suites = [suite for suite in SUITES if suite.name in asked and not missing(suite)]
    with ThreadPoolExecutor(max(1, len(suites))) as pool:
        yield {suite.name: pool.submit(run_twice, suite, broker) for suite in suites}


def missing(suite: Suite) -> bool:
    """Whether what the suite runs on is not installed; its test then skips with the reason."""
    try:
        require_runner(suite)
    except pytest.skip.Exception:
        return True
    return False


def require_runner(suite: Suite) -> None:
    for component in ("node", "npm") if suite.name == "amqplib" else (suite.name,):
        require(component)


def run_twice(suite: Suite, broker: Broker) -> tuple[Outcomes, str]:
    """Run a suite; what came out other than expected gets a second try, as their own projects' reruns give it."""
    outcomes, output = suite.run(broker)
    data = suite.expected()
    again = [
        test
        for test, outcome in outcomes.items()
        if outcome != data["outcomes"].get(test) and test not in data["deviations"]
    ]
    if again:
        second, more = suite.run(broker, again)
        outcomes.update(second)
        output = f"{output}\n-- second try of {again}\n{more}"
    return outcomes, output


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_as_with_rabbitmq(suite: Suite, runs: Runs) -> None:
    require_runner(suite)
    outcomes, output = runs[suite.name].result()
    data = suite.expected()
    expected: Outcomes = data["outcomes"]
    assert outcomes.keys() == expected.keys(), f"other tests than recorded\n{output[-6000:]}"
    different = {test for test in expected if outcomes[test] != expected[test]}
    deviations = set(data["deviations"])
    print(f"{suite.name} {suite.version}: {len(expected)} tests, {len(different)} as listed")
    assert different == deviations, (
        f"not as with RabbitMQ: {sorted(different - deviations)}; "
        f"listed, but as with RabbitMQ: {sorted(deviations - different)}\n{output[-12000:]}"
    )
