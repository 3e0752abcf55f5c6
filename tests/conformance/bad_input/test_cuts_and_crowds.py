"""Sequences cut at every octet, handshakes changed by chance, and clients that come in crowds or vanish."""

from __future__ import annotations

import os
import random
import socket
import struct
import time

import pytest

from tests.conformance.bad_input import octets
from tests.conformance.bad_input.attacks import NEW, OPEN
from tests.conformance.bad_input.good import PURGE_OK, GoodClient, open_files, settled
from tests.conformance.bad_input.mutations import mutated
from tests.conformance.bad_input.target import Target
from tests.support.nodes import PosthouseNode

pytestmark = pytest.mark.slow

KNOWN_CODES = {403, 501, 502, 503, 504, 505, 530, 540, 541}
PURGE_CUT = octets.method(50, 30, b"\0\0" + octets.short("cut") + b"\0")
MESSAGE = (
    octets.publish("cut")
    + octets.header(5, b"\x80\0" + octets.short("a/b"))
    + octets.body(b"whole")
)
TRANSACTION = octets.method(90, 10) + MESSAGE + MESSAGE + octets.method(90, 20)
HANDSHAKE = [
    octets.HEADER,
    octets.start_ok(),
    octets.tune_ok(),
    octets.opening(),
    octets.method(20, 10, b"\0"),
]


def codes_until_the_end(port: int, state: str, data: bytes) -> list[int]:
    """Send, end our side, and wait for the broker to end its own; the codes of the closes it sent."""
    target = Target(port)
    codes = []
    try:
        target.reach(state)
        target.send(data)
        target.socket.shutdown(socket.SHUT_WR)
        while (found := target.frame()) is not None:
            if found[0] == 1 and found[2][:4] in (b"\0\x0a\0\x32", b"\0\x14\0\x28"):
                codes.append(struct.unpack_from(">H", found[2], 4)[0])
    except TimeoutError:
        pytest.fail(f"no end after {data!r}")
    except OSError:
        pass  # the broker was faster
    finally:
        target.close()
    return codes


def declare_and_bind(target: Target, *frames: bytes) -> None:
    """Send methods and take as many answers, none of them a close."""
    for data in frames:
        target.send(data)
        found = target.frame()
        assert found is not None
        assert found[2][:4] not in (b"\0\x0a\0\x32", b"\0\x14\0\x28"), found


@pytest.mark.parametrize(
    ("data", "messages"), [(MESSAGE, 1), (TRANSACTION, 2)], ids=["publish", "tx"]
)
def test_cut_at_every_octet_nothing_arrives_in_part(
    node: PosthouseNode, good: GoodClient, data: bytes, messages: int
) -> None:
    good.link.declare_queue("cut")
    good.link.call(PURGE_CUT, PURGE_OK)
    for cut in range(len(data) + 1):
        assert codes_until_the_end(node.port, OPEN, data[:cut]) == []
        arrived = good.link.call(PURGE_CUT, PURGE_OK)
        assert arrived == struct.pack(">I", messages if cut == len(data) else 0), f"cut at {cut}"
    good.check()


def test_a_handshake_cut_at_every_octet_is_ended(node: PosthouseNode, good: GoodClient) -> None:
    files = open_files(node)
    data = b"".join(HANDSHAKE)
    for cut in range(len(data) + 1):
        assert codes_until_the_end(node.port, NEW, data[:cut]) == []
    good.check()
    assert settled(node, files)


FUZZ_SEEDS = range(int(os.environ.get("POSTHOUSE_FUZZ", "1500")))


@pytest.mark.timeout(600)
def test_mutated_handshakes(node: PosthouseNode, good: GoodClient) -> None:
    files = open_files(node)
    for seed in FUZZ_SEEDS:
        data = mutated(HANDSHAKE, random.Random(seed))
        codes = codes_until_the_end(node.port, NEW, data)
        assert set(codes) <= KNOWN_CODES, f"seed {seed}: {codes}"
        if seed % 50 == 0:
            good.check()
    good.check()
    assert settled(node, files)


def reset(target: Target) -> None:
    """Leave with a reset instead of an end."""
    target.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    target.close()


def test_queues_of_a_connection_that_vanishes_are_gone(
    node: PosthouseNode, good: GoodClient
) -> None:
    files = open_files(node)
    owner = Target(node.port)
    owner.reach(OPEN)
    declare_and_bind(owner, *(octets.declare(f"vanishing-{n}") for n in range(2000)))
    stranger = Target(node.port)
    stranger.reach(OPEN)
    stranger.send(octets.declare("vanishing-7"))
    refused = stranger.frame()
    assert refused is not None
    assert refused[2][:6] == b"\0\x14\0\x28" + struct.pack(">H", 405)
    stranger.close()
    reset(owner)
    assert settled(node, files)
    good.round_trip()
    heir = Target(node.port)
    heir.reach(OPEN)
    for n in range(0, 2000, 50):
        heir.send(octets.declare(f"vanishing-{n}", 1))  # passive
        found = heir.frame()
        assert found is not None
        assert found[2][:6] == b"\0\x14\0\x28" + struct.pack(">H", 404)
        declare_and_bind(heir, octets.method(20, 41) + octets.method(20, 10, b"\0"))
    heir.close()
    good.check()


def test_thousands_come_and_go(node: PosthouseNode, good: GoodClient) -> None:
    files = open_files(node)
    for number in range(3000):
        visitor = Target(node.port)
        if number % 3:
            visitor.send(octets.HEADER[: number % 9])
        if number % 2:
            reset(visitor)
        else:
            visitor.close()
    good.check()
    assert settled(node, files)


def test_a_pattern_of_many_words_takes_no_time(node: PosthouseNode, good: GoodClient) -> None:
    """RabbitMQ 3.10 has no answer within 20 s; backtracking would need longer than anybody waits."""
    target = Target(node.port)
    target.reach(OPEN)
    declare_and_bind(
        target,
        octets.method(
            40,
            10,
            b"\0\0" + octets.short("words") + octets.short("topic") + b"\4" + octets.long(b""),
        ),
        octets.declare("words"),
        *(
            octets.method(
                50,
                20,
                b"\0\0"
                + octets.short("words")
                + octets.short("words")
                + octets.short(pattern)
                + b"\0"
                + octets.long(b""),
            )
            for pattern in (
                "#.a." * 49 + "b",
                "#." * 99 + "b",
                "#.*." * 49 + "b",
                "*.#." * 49 + "b",
            )
        ),
    )
    begin = time.monotonic()
    target.send(octets.publish(".".join("a" * 120), "words") + octets.header(0) + octets.QOS)
    found = target.frame()
    seconds = time.monotonic() - begin
    assert found is not None
    assert found[2][:4] == b"\0\x3c\0\x0b"
    assert seconds < 0.5, seconds
    target.close()
    good.check()
