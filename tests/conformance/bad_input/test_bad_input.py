"""Malformed input of every kind: the specified answer, in time, and nobody else notices."""

from __future__ import annotations

import os
import random
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance.bad_input import octets
from tests.conformance.bad_input.attacks import ATTACKS, DROPPED, OPEN, STARTED, TUNED, Attack
from tests.conformance.bad_input.good import GoodClient, open_files, settled
from tests.conformance.bad_input.mutations import mutated, session
from tests.conformance.bad_input.target import Target, play
from tests.support.nodes import PosthouseNode

pytestmark = pytest.mark.slow

ROUNDS = 20
WARM = 5
# Allocators keep some of what was freed, up and down by 1 MiB; a leak of 1.2 KB in each connection would show.
GROWTH_MAX = 4 << 20
KNOWN_CODES = {200, 320, 403, 404, 405, 406, 501, 502, 503, 504, 505, 530, 540}


def test_there_are_enough_attacks() -> None:
    assert len(ATTACKS) >= 100
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_gets_the_specified_answer(node: PosthouseNode, good: GoodClient, attack: Attack) -> None:
    assert play(node.port, attack) in attack.answers
    good.check()


SHORT = [attack for attack in ATTACKS if len(attack.octets) <= 400]


def test_the_answer_does_not_depend_on_the_pieces(node: PosthouseNode, good: GoodClient) -> None:
    """Each octet is read alone: the good client's round trip is between any two."""
    wrong = []
    for attack in SHORT:
        answer = play(node.port, attack, between=good.round_trip)
        if answer not in attack.answers:
            wrong.append((attack.name, answer, attack.answers))
    good.check()
    assert not wrong


def test_a_sequence_may_stop_anywhere(node: PosthouseNode, good: GoodClient) -> None:
    """Cut at random places, then the client leaves: the broker ends the connection as well."""
    choice = random.Random(1)
    files = open_files(node)
    for attack in ATTACKS:
        target = Target(node.port)
        target.reach(attack.state)
        target.send(attack.octets[: choice.randrange(len(attack.octets))])
        target.socket.shutdown(socket.SHUT_WR)
        while target.frame() is not None:
            pass
        target.close()
    good.check()
    assert settled(node, files)


@pytest.mark.timeout(180)
def test_memory_and_sockets_do_not_grow(node: PosthouseNode, good: GoodClient) -> None:
    files = open_files(node)
    resident = 0
    for number in range(ROUNDS):
        for attack in ATTACKS:
            play(node.port, attack)
        good.check()
        assert settled(node, files)
        if number == WARM:
            resident = node.resident_bytes()
    assert node.resident_bytes() - resident < GROWTH_MAX


# ---- fuzz


FUZZ_SEEDS = range(int(os.environ.get("POSTHOUSE_FUZZ", "1500")))


@pytest.mark.timeout(600)
def test_mutated_sessions(node: PosthouseNode, good: GoodClient) -> None:
    """Whatever becomes of them: a known code or the end of the connection, and soon."""
    files = open_files(node)
    frames = session()
    for seed in FUZZ_SEEDS:
        target = Target(node.port)
        target.reach(OPEN)
        target.send(mutated(frames, random.Random(seed)))
        with_reason = []
        try:
            target.socket.shutdown(socket.SHUT_WR)
            while (found := target.frame()) is not None:
                if found[0] == 1 and found[2][:4] in (b"\0\x0a\0\x32", b"\0\x14\0\x28"):
                    with_reason.append(struct.unpack_from(">H", found[2], 4)[0])
        except TimeoutError:
            pytest.fail(f"seed {seed}: no end")
        except OSError:
            pass  # the broker was faster
        target.close()
        assert set(with_reason) <= KNOWN_CODES, f"seed {seed}: {with_reason}"
        if seed % 50 == 0:
            good.check()
    good.check()
    assert settled(node, files)


# ---- time


@pytest.fixture(scope="module")
def hasty_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PosthouseNode]:
    """A broker that waits one second for a handshake."""
    config: Path = tmp_path_factory.mktemp("hasty") / "posthouse.toml"
    config.write_text("[amqp]\nhandshake_timeout_s = 1\n")
    node = PosthouseNode(memory=True, options=["--config", str(config)]).start()
    try:
        yield node
        node.check()
    finally:
        node.stop()


def trickle(port: int, state: str, data: bytes) -> float:
    """Send an octet every 0.1 s; returns after how long the broker had enough."""
    target = Target(port)
    begin = time.monotonic()
    try:
        target.reach(state)
        for octet in data:
            target.send(bytes((octet,)))
            try:
                if target.frame(0.1) is None:
                    break
            except TimeoutError:
                continue
        else:
            while target.frame() is not None:
                pass
        return time.monotonic() - begin
    finally:
        target.close()


def test_the_handshake_has_one_deadline(hasty_node: PosthouseNode) -> None:
    """In total, not per octet: silence and one octet at a time end alike."""
    good = GoodClient(hasty_node.port)
    cases = [("new", b""), ("new", octets.HEADER)]
    cases += [(STARTED, b""), (STARTED, octets.start_ok()), (TUNED, b""), (TUNED, octets.tune_ok())]
    with ThreadPoolExecutor(len(cases)) as pool:
        times = list(pool.map(lambda case: trickle(hasty_node.port, *case), cases))
    assert all(0.9 < seconds < 4 for seconds in times), times
    good.check()
    good.close()


def test_many_mute_connections_are_cleaned_up(hasty_node: PosthouseNode) -> None:
    files = open_files(hasty_node)
    mute = [socket.create_connection(("127.0.0.1", hasty_node.port)) for _ in range(300)]
    good = GoodClient(hasty_node.port)
    good.check()
    good.close()
    assert settled(hasty_node, files)
    for sock in mute:
        sock.close()


def test_frames_announced_before_login_are_not_waited_for(node: PosthouseNode) -> None:
    resident = node.resident_bytes()
    attack = next(a for a in ATTACKS if a.name == "started: 64 MB announced")
    for _ in range(200):
        assert play(node.port, attack) == DROPPED
    assert node.resident_bytes() - resident < GROWTH_MAX
