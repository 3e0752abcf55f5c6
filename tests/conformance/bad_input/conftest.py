"""A broker and a good client for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.bad_input.good import GoodClient
from tests.support.nodes import PosthouseNode


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PosthouseNode]:
    """Hundreds of logins are refused here: they are not made to wait (tests/unit/protocols/test_session.py has the delay)."""
    config = tmp_path_factory.mktemp("config") / "posthouse.toml"
    config.write_text("[auth]\nrefusal_delay_ms = 0\n", encoding="utf-8")
    node = PosthouseNode(options=["--config", str(config)]).start()
    try:
        yield node
        node.check()
        assert node.terminate() == 0
    finally:
        node.stop()


@pytest.fixture(scope="module")
def good(node: PosthouseNode) -> Iterator[GoodClient]:
    client = GoodClient(node.port)
    yield client
    client.close()
