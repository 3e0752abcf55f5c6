"""A virtual host without server, protocol or disk."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.broker.broker import Broker
from posthouse.broker.dispatch import Dispatcher
from posthouse.broker.queues.queue import Queue
from posthouse.broker.vhost import VHost
from posthouse.journal.block import BlockTable, LogBuffer
from posthouse.journal.table import Table
from posthouse.wire.amqp091.fields import typed_value


@pytest.fixture
def dispatcher() -> Dispatcher:
    blocks = BlockTable()
    return Dispatcher(blocks, LogBuffer(blocks, False), None)


@pytest.fixture
def table() -> Table:
    """The definitions; give it to a second broker for a restart."""
    return Table(None)


@pytest.fixture
def start(dispatcher: Dispatcher, table: Table) -> Callable[[], Broker]:
    """Start a broker from the definitions as they are now."""

    def start_broker() -> Broker:
        broker = Broker(dispatcher, table, typed_value)
        broker.load()
        return broker

    return start_broker


@pytest.fixture
def broker(start: Callable[[], Broker]) -> Broker:
    return start()


@pytest.fixture
def vhost(broker: Broker) -> VHost:
    return broker.vhosts["/"]


@pytest.fixture
def send() -> Callable[[Queue], None]:
    """Put a transient message into a queue, past all routing."""

    def put(queue: Queue) -> None:
        log = queue.dispatcher.transient
        offset = log.append_message(0, b"\0\0", b"\0\0", b"x", b"")
        block = log.current
        assert block is not None
        block.refs += 1
        queue.index.push(block.id, offset, 40, 0)

    return put
