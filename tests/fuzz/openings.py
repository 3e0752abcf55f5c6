"""How fuzzed connections and brokers begin: handshakes right and wrong, queues and messages for a new broker, a client's first words."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.conformance.bad_input.octets import frame, method, publish, short
from tests.fuzz import messages, values
from tests.fuzz.grammar import FORMS, Given

if TYPE_CHECKING:
    from posthouse.protocols.amqp091.session import Session


def furniture(choice: random.Random, session: Session) -> bytes:
    """Queues, exchanges, bindings, and some messages, for a new broker."""
    frames = []
    for number, queue in enumerate(values.QUEUES[:4]):
        name = short(queue)
        flags = bytes((number % 2 * 2,))
        frames.append(method(50, 10, b"\0\0" + name + flags + bytes(4)))
        for exchange, kind in ((f"x{number}", values.KINDS[number]), ("amq.topic", "")):
            if kind:
                named = short(exchange) + short(kind)
                frames.append(method(40, 10, b"\0\0" + named + flags + bytes(4)))
            bound = name + short(exchange) + short(choice.choice(values.KEYS))
            frames.append(method(50, 20, b"\0\0" + bound + bytes(5)))
        for _ in range(choice.choice((0, 3, 12))):
            frames.append(publish(queue))
            frames += messages.content(choice, 1, session.body_max, b"", queue.encode())
    return b"".join(frames)


def opening(choice: random.Random, session: Session) -> bytes:
    """What a new client begins with: a mode, a prefetch, a consumer or two."""
    frames = [choice.choice((b"", method(85, 10, b"\0"), method(90, 10)))]
    if choice.random() < 0.5:
        frames.append(method(60, 10, bytes(5) + choice.choice((b"\1", b"\x0a")) + b"\0"))
    for number in range(choice.choice((0, 0, 1, 2))):
        queue, tag = short(choice.choice(values.QUEUES[:4])), short(f"t{number}")
        no_ack = choice.choice((b"\0", b"\0", b"\2"))
        frames.append(method(60, 20, b"\0\0" + queue + tag + no_ack + bytes(4)))
    return b"".join(frames)


def handshake(choice: random.Random, *, wrong: bool) -> list[bytes]:
    """A connection from its first octet; with ``wrong`` one method of it is mutated."""
    bad = choice.randrange(5) if wrong else -1
    login = b"\0guest\0guest" if choice.random() < 0.9 else choice.choice(LOGINS)
    frame_max = choice.choice((4096, 8192, 131072, 131072))
    told = (
        short("capabilities")
        + b"F"
        + b"\0\0\0\x1f"
        + short("authentication_failure_close")
        + b"t\1"
    )
    table = len(told).to_bytes(4, "big") + told
    steps: tuple[tuple[str, int, Given], ...] = (
        (
            "connection.start-ok",
            0,
            {"client_properties": table, "mechanism": b"PLAIN", "response": login},
        ),
        (
            "connection.tune-ok",
            0,
            {"channel_max": 2047, "frame_max": frame_max, "heartbeat": choice.choice((0, 1, 60))},
        ),
        ("connection.open", 0, {"virtual_host": b"/"}),
        ("channel.open", 1, {}),
    )
    header = b"AMQP\0\0\x09\x01"
    if bad == 4:
        header = choice.choice(HEADERS)
    frames = [header]
    for number, (name, channel, given) in enumerate(steps):
        form = FORMS[name]
        frames.append(
            frame(
                1,
                channel,
                form.write(
                    choice, given, choice.randrange(len(form.fields)) if number == bad else -1
                ),
            )
        )
    return frames


LOGINS = (
    b"",
    b"\0",
    b"guest",
    b"\0guest",
    b"\0guest\0",
    b"\0\0guest",
    b"\0guest\0wrong",
    b"\0\xff\xfe\0\xff",
    b"\0nobody\0guest",
    b"root\0guest\0guest",
    b"\0guest\0guest\0",
    b"\0" * 300,
    b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest",
)
HEADERS = (
    b"AMQP\1\1\0\x09",
    b"AMQP\0\1\0\0",
    b"AMQP\3\1\0\0",
    b"AMQP\0\0\x09\0",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\3\1\2\0\1\0\1",
    b"AMQ",
    b"\0" * 8,
)
