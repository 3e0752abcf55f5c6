"""What somebody costs who is not logged in (P19): memory, and the time that a refusal takes."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conformance.bad_input import octets
from tests.conformance.bad_input.attacks import OPEN, STARTED
from tests.conformance.bad_input.good import GoodClient
from tests.conformance.bad_input.target import Target
from tests.support.nodes import PosthouseNode

pytestmark = pytest.mark.slow

STRANGERS = 800
# As much of a login as may come without being complete: a frame has at most 4,096 octets.
HALF = octets.start_ok(b"\0guest\0" + b"x" * 3900)[:4000]
STRANGER_BYTES_MAX = 16384


@pytest.fixture(scope="module")
def patient_node() -> Iterator[PosthouseNode]:
    """A broker as it comes: refusals wait a second."""
    node = PosthouseNode(memory=True).start()
    try:
        yield node
        node.check()
    finally:
        node.stop()


def refusal(port: int, user: bytes) -> tuple[float, bytes | None]:
    """How long a login with a wrong password waits for its answer, and the answer."""
    target = Target(port)
    try:
        target.reach(STARTED)
        begin = time.monotonic()
        target.send(octets.start_ok(b"\0" + user + b"\0wrong"))
        found = target.frame()
        return time.monotonic() - begin, None if found is None else found[2]
    finally:
        target.close()


def test_refusals_take_a_second_and_say_the_same(patient_node: PosthouseNode) -> None:
    users = [b"guest", b"nobody"] * 10
    with ThreadPoolExecutor(len(users)) as pool:
        waiting = [pool.submit(refusal, patient_node.port, user) for user in users]
        begin = time.monotonic()
        welcome = Target(patient_node.port)
        welcome.reach(OPEN)
        welcome_s = time.monotonic() - begin
        welcome.close()
        refusals = [one.result() for one in waiting]
    assert len({said for _, said in refusals}) == 1
    assert all(0.9 < seconds < 4 for seconds, _ in refusals), refusals
    assert welcome_s < 0.9


def test_a_stranger_costs_little(patient_node: PosthouseNode) -> None:
    good = GoodClient(patient_node.port)
    good.check()
    before = patient_node.resident_bytes()
    strangers = []
    for _ in range(STRANGERS):
        stranger = socket.create_connection(("127.0.0.1", patient_node.port))
        stranger.sendall(octets.HEADER + HALF)
        strangers.append(stranger)
    for stranger in strangers:
        stranger.settimeout(5)
        assert stranger.recv(4096)
    good.check()
    each = (patient_node.resident_bytes() - before) / STRANGERS
    for stranger in strangers:
        stranger.close()
    good.close()
    print(f"a stranger costs {each:.0f} octets")
    assert each < STRANGER_BYTES_MAX
