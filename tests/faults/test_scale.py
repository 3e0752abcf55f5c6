"""Many queues and connections on one node: they work, and each costs little. The long form is `python -m tests.support.scale`."""

from __future__ import annotations

import json
import os

import pytest

from tests.support import link as amqp
from tests.support.nodes import PosthouseNode
from tests.support.scale import scale_of

COUNT = int(os.environ.get("POSTHOUSE_SCALE", "500"))


@pytest.mark.slow
@pytest.mark.timeout(120 + COUNT // 20)
def test_many_queues_and_connections_work() -> None:
    node = PosthouseNode().start()
    try:
        report = scale_of(node, COUNT, COUNT, max(50, COUNT // 10))
        print(json.dumps(report))
        assert report["octets_a_queue"] < 12_000
        assert report["octets_a_connection"] < 30_000
        node.check()
        assert node.terminate() == 0
        node.restart()
        link = amqp.Link(node.port)
        for n in range(COUNT):
            assert link.declare_queue(f"queue.{n}", passive=True) == 1
        link.close()
        node.check()
    finally:
        node.stop()
