"""The session fuzz in short: a few seeds, compiled and interpreted, and proof that it sees what it should see."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from posthouse.broker.limits import Limits
from posthouse.broker.vhost import VHost
from posthouse.protocols.amqp091.channel import Channel
from posthouse.protocols.amqp091.content import Content
from tests.fuzz import session_fuzz
from tests.fuzz.witness import Broken

pytestmark = pytest.mark.slow

SEEDS = range(6)
# Seeds that found something once, whatever they try today.
KEPT = (4, 10, 16)


@pytest.mark.parametrize("seed", sorted({*SEEDS, *KEPT}))
def test_mutated_sessions_break_nothing(seed: int) -> None:
    figures = session_fuzz.run(seed)
    assert figures["inputs"] == session_fuzz.INPUTS
    assert figures["messages_delivered"] > 100


def test_mutated_sessions_break_nothing_with_bounds_checked() -> None:
    """Interpreted kernels raise where compiled ones would read what is not theirs."""
    code = (
        "from posthouse._kernels import compiled_kernels\n"
        "from tests.fuzz import session_fuzz\n"
        "assert not any(compiled_kernels().values())\n"
        "for seed in range(2):\n"
        "    session_fuzz.run(1000 + seed)\n"
    )
    environment = {**os.environ, "POSTHOUSE_KERNELS": "interpreted"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=100)


def _forgets_its_consumers(channel: Channel) -> None:
    channel.consumers.clear()
    _RELEASE(channel)


def _keeps_what_is_outstanding(channel: Channel) -> None:
    channel.session.dispatcher.holders.pop(channel, None)
    channel.is_stopped = True
    channel.session.abandon(channel.number)


def _takes_any_body(content: Content, payload: bytes) -> bool:
    content.body += payload
    content._left = max(0, content._left - len(payload))
    return content._left == 0


def _trusts_the_header(content: Content, payload: bytes) -> bool:
    content.props_raw = payload[12:]
    content.properties = None
    content.has_header = True
    content._left = int.from_bytes(payload[4:12], "big")
    return content._left == 0


_RELEASE = Channel.release

PLANTED: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "consumers stay behind": (Channel, "release", _forgets_its_consumers),
    "deliveries do not go back": (Channel, "release", _keeps_what_is_outstanding),
    "a body may be longer than announced": (Content, "add_body", _takes_any_body),
    "exclusive queues stay behind": (VHost, "delete_exclusive", lambda vhost, owner: None),
    "a header is not looked at": (Content, "add_header", _trusts_the_header),
    "a channel is not counted down": (Limits, "close_channel", lambda limits, user: None),
    "an answer is lost": (Channel, "reply_durably", lambda channel, method, nowait=False: None),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_seen(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Otherwise a clean campaign would prove nothing."""
    kind, attribute, wrong = PLANTED[name]
    monkeypatch.setattr(kind, attribute, wrong)
    with pytest.raises(Broken):
        _run_three()


def _run_three() -> None:
    for seed in range(3):
        session_fuzz.run(seed)
