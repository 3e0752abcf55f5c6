"""The broker under test: Posthouse, or RabbitMQ with POSTHOUSE_TEST_BROKER=rabbitmq, which proves the test itself."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.conformance.clients.tools import Broker, CutProxy


@pytest.fixture(scope="module")
def broker(request: pytest.FixtureRequest) -> Broker:
    kind = os.environ.get("POSTHOUSE_TEST_BROKER", "posthouse")
    if kind not in ("posthouse", "rabbitmq"):
        raise ValueError(f"POSTHOUSE_TEST_BROKER={kind}: posthouse or rabbitmq")
    node = request.getfixturevalue("rabbit_node" if kind == "rabbitmq" else "posthouse_node")
    return Broker(kind, "127.0.0.1", node.port)


@pytest.fixture
def proxy(broker: Broker) -> Iterator[CutProxy]:
    """A road to the broker that the test can cut."""
    proxy = CutProxy(broker.host, broker.port)
    yield proxy
    proxy.close()


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"client-{uuid.uuid4().hex[:12]}"
