"""A pytest plugin for the foreign suites' own processes; it stands alone and imports nothing of ours.

It sends connections to port 5672, which amqpstorm's tests hard-code, to SUITE_PORT; lets them clean up over AMQP instead of the
management API; leaves out what SUITE_DESELECT names; and writes one JSON line per finished phase of a test to SUITE_REPORT.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any

import pytest

PORT = int(os.environ["SUITE_PORT"])
REPORT = os.environ["SUITE_REPORT"]
DESELECT = json.loads(os.environ["SUITE_DESELECT"])

_connect = socket.socket.connect


def connect(self: socket.socket, address: Any) -> None:
    """`socket.connect`, with the standard port turned to the broker's."""
    if isinstance(address, tuple) and address[1] == 5672:
        address = (address[0], PORT, *address[2:])
    _connect(self, address)


def clean(names: list[str], queue: bool = False, exchange: bool = False) -> None:
    """What amqpstorm's helper of that name does by HTTP: delete the queues and exchanges of a test."""
    import amqpstorm

    if not (queue or exchange):
        return
    with amqpstorm.Connection("127.0.0.1", "guest", "guest", port=PORT) as connection:
        for name in names:
            with connection.channel() as channel:
                if queue:
                    channel.queue.delete(name)
                if exchange:
                    channel.exchange.delete(name)


def pytest_configure(config: pytest.Config) -> None:
    socket.socket.connect = connect  # type: ignore[method-assign]
    if any("amqpstorm" in argument for argument in config.args):
        import amqpstorm.tests.functional.utility as utility

        utility.clean = clean


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    out = [item for item in items if any(part in item.nodeid for part in DESELECT)]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    with open(REPORT, "a") as out:
        out.write(json.dumps([report.nodeid, report.outcome]) + "\n")
