"""Large messages, and what can happen while they arrive: other channels' frames, closes, deletions, wrong frames, or nothing more.

Bodies of 16 KiB to 1 MiB are laid into their block piece by piece (`posthouse.protocols.amqp091.arrival`), one at a time on a connection;
a second one waits in the receive buffer or takes the cold road.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.conformance.bad_input.octets import body, header, long, method, publish, short
from tests.fuzz import messages, values

if TYPE_CHECKING:
    from posthouse.protocols.amqp091.session import Session

SIZES = (16383, 16384, 16385, 20_000, 40_000, 131_063, 131_064, 131_065, 131_072, 131_073, 200_000)
RARE_SIZES = (262_143, 262_144, 262_145, 300_000, *messages.HUGE)
# A body in more frames than this takes too long to be tried often.
FRAMES_MAX = 300
# Seed 891 sent a megabyte in frames of one octet, to two brokers: two seconds, and nobody's fault.
TINY_FRAMES_MAX = 50_000
EXCHANGES = ("", "", "", "amq.fanout", "x0", "x1", "nowhere")


def large(choice: random.Random, session: Session, *, wrong: bool) -> list[list[bytes]]:
    """The lines of one or two channels, each a large message, or small ones of two channels that look alike."""
    channels = [1, 2] if choice.random() < 0.6 else [1]
    is_large = choice.random() < 0.8
    bad = choice.choice(channels) if wrong else 0
    lines = []
    for channel in channels:
        size = choice.choice(SIZES) if is_large else choice.choice((13, 40, 40, 100))
        if is_large and choice.random() < 0.03:
            size = choice.choice(RARE_SIZES)
        line = [] if channel in session.channels else [method(20, 10, b"\0", channel)]
        key, exchange = _key(choice, session), choice.choice(EXCHANGES)
        if choice.random() < 0.7:
            # The first publish to an exchange takes the cold road, where permissions are checked.
            line += [publish(key, exchange, 0, channel), header(0, channel=channel)]
        line.append(publish(key, exchange, 0, channel))
        octets = bytes(size)
        if channel != bad:
            octets = messages.whole(choice, size, exchange.encode(), key.encode())
        line.append(
            header(size, choice.choice((b"\0\0", b"\x10\0\2", b"\x10\0\1")), channel=channel)
        )
        line += _frames(choice, octets, channel, session.body_max)
        if channel == bad:
            _spoil(choice, line, channel)
        if choice.random() < 0.4:
            line.append(_behind(choice, channel))
        lines.append(line)
    if choice.random() < 0.3:
        lines.append([_beside(choice)])
    return lines


def _key(choice: random.Random, session: Session) -> str:
    known = [q for q in values.QUEUES if session.vhost is not None and q in session.vhost.queues]
    return choice.choice(known or values.QUEUES)


def _frames(choice: random.Random, octets: bytes, channel: int, body_max: int) -> list[bytes]:
    step = choice.choice((body_max, body_max, 20_000, 5000, 60, messages.HEAD.size))
    if octets[:1] == b"\0" and len(octets) <= TINY_FRAMES_MAX and choice.random() < 0.005:
        # More octets of frames than the receive buffer has.
        return [body(octets[at : at + 1], channel) for at in range(len(octets))]
    fewest = len(octets) // (FRAMES_MAX if choice.random() < 0.99 else 20 * FRAMES_MAX)
    step = min(body_max, max(step, fewest + 1))
    return [body(octets[at : at + step], channel) for at in range(0, len(octets), step)]


def _spoil(choice: random.Random, line: list[bytes], channel: int) -> None:
    """Change one frame of a content, which is the last thing in ``line``."""
    first = max(n for n, one in enumerate(line) if one[0] == 2) + 1
    at = choice.randrange(first, len(line))
    kind = choice.randrange(10)
    if kind >= 8:
        line[at] = body(line[at][7:-1] + bytes(choice.choice((1, 8, 100, 5000)))[:4088], channel)
    elif kind == 0:
        del line[at]
    elif kind == 1:
        line.insert(at, line[at])
    elif kind == 2:
        line[at] = line[at][:-1] + b"\0"
    elif kind == 3:
        line.insert(at, body(b"", channel))
    elif kind == 4:
        line.insert(at, method(60, 10, bytes(7), channel))
    elif kind == 5:
        line.insert(at, line[first - 1])
    elif kind == 6:
        line.insert(at, method(20, 40, bytes(7), channel))
    else:
        line.append(body(choice.randbytes(choice.choice((1, 100, 20_000)))[:4088], channel))


def _behind(choice: random.Random, channel: int) -> bytes:
    """What the same channel says when the message is complete."""
    return choice.choice(
        (
            method(20, 40, bytes(7), channel),
            method(60, 70, b"\0\0\2q0\1", channel),
            method(90, 20, b"", channel),
            publish("q1", "", 0, channel) + header(0, channel=channel),
        )
    )


def _beside(choice: random.Random) -> bytes:
    """What another channel says meanwhile. Channel 3 is opened for it."""
    queue = short(choice.choice(values.QUEUES[:4]))
    said = choice.choice(
        (
            method(20, 40, bytes(7), 1),
            method(20, 40, bytes(7), 2),
            method(50, 40, b"\0\0" + queue + b"\0", 3),
            method(50, 30, b"\0\0" + queue + b"\0", 3),
            method(40, 20, b"\0\0" + short(choice.choice(("x0", "x1"))) + b"\0", 3),
            method(50, 10, b"\0\0" + queue + b"\0" + long(b""), 3),
            method(10, 50, bytes(7), 0),
        )
    )
    return method(20, 10, b"\0", 3) + said if said[2] == 3 else said
