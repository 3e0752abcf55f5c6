"""A broker and a good client for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.bad_input.good import GoodClient
from tests.support.nodes import PosthouseNode


@pytest.fixture(scope="module")
def node() -> Iterator[PosthouseNode]:
    node = PosthouseNode().start()
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
