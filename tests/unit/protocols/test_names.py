"""Names are opaque: whatever is in them, they name queues and exchanges, and never a file."""

from __future__ import annotations

import re

import pytest

from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.inmemory import World

NAMES = [
    "a\0b",
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "C:\\con",
    "<script>alert(1)</script>",
    "%s%n{0}",
    "\x1b[31mred",
    "$(reboot)`reboot`",
    "naïve ☃",
    "q" * 255,
    "é" * 127,
    " ",
]


def files_of(files: MemoryFiles) -> set[str]:
    """Paths, numbers aside: segments have positions in their names."""
    return {re.sub(r"[0-9a-f]{6,}|\d+", "N", path) for path in files.names}


@pytest.fixture
def files() -> MemoryFiles:
    return MemoryFiles()


def test_no_file_has_a_name_from_a_client(files: MemoryFiles) -> None:
    world = World("data", files=files)
    plain = world.peer()
    plain.call(methods.QueueDeclare(queue="plain", durable=True))
    plain.publish(b"plain", b"x", properties=BasicProperties(delivery_mode=2))
    before = files_of(files)
    peer = world.peer()
    for name in NAMES:
        declared = peer.call(methods.QueueDeclare(queue=name, durable=True))
        assert isinstance(declared, methods.QueueDeclareOk), name
        assert declared.queue == name
        peer.call(methods.ExchangeDeclare(exchange=name, type="topic", durable=True))
        key = name.encode()
        bind = methods.QueueBind(queue=name, exchange=name, routing_key=key)
        assert isinstance(peer.call(bind), methods.QueueBindOk)
        persistent = BasicProperties(delivery_mode=2)
        peer.publish(key, key, exchange=name, properties=persistent)
    assert files_of(files) == before
    world.stop()

    again = World("data", files=files)
    peer = again.peer()
    for path in files.names:
        assert re.fullmatch(r"[a-z]+(/[a-z0-9.-]+)?", path.partition("/data/")[2]), path
    for name in NAMES:
        peer.take()
        peer.send(methods.BasicGet(queue=name, no_ack=True))
        assert [body for _, body in peer.messages()] == [name.encode()], name


def test_line_ends_are_taken_out_of_names(files: MemoryFiles) -> None:
    """RabbitMQ: CR and LF are stripped on declare, so that no name breaks a log line or a header."""
    peer = World("data", files=files).peer()
    assert peer.call(methods.QueueDeclare(queue="a\r\nb")).queue == "ab"


def test_a_name_beyond_255_octets_cannot_be_said() -> None:
    with pytest.raises(ValueError, match=r"256"):
        methods.QueueDeclare(queue="q" * 256).encode()
