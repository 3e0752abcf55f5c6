"""Limits of virtual hosts and users, and the counts against them. Texts are those of a RabbitMQ 3.10.8."""

from __future__ import annotations

import pytest

from posthouse.broker.limits import CHANNELS, CONNECTIONS, QUEUES, USER, VHOST, Limits
from posthouse.core.errors import NotAllowed, PreconditionFailed
from posthouse.journal.table import Table


@pytest.fixture
def limits() -> Limits:
    return Limits(Table(None), {})


def test_without_limits_everything_is_allowed(limits: Limits) -> None:
    for _ in range(1000):
        limits.open_connection("/", "u")
        limits.open_channel("u")
    limits.check_queue("/", "q", 1_000_000)


def test_connections_of_a_virtual_host(limits: Limits) -> None:
    limits.set(VHOST, "/", {CONNECTIONS: 1})
    limits.open_connection("/", "u")
    with pytest.raises(NotAllowed) as refusal:
        limits.open_connection("/", "u")
    assert refusal.value.explanation == (
        "access to vhost '/' refused for user 'u': connection limit (1) is reached"
    )
    limits.open_connection("other", "u")
    limits.close_connection("/", "u")
    limits.open_connection("/", "u")


def test_connections_of_a_user(limits: Limits) -> None:
    limits.set(USER, "u", {CONNECTIONS: 1})
    limits.open_connection("/", "u")
    with pytest.raises(NotAllowed) as refusal:
        limits.open_connection("other", "u")
    assert refusal.value.explanation == (
        "connection refused for user 'u': user connection limit (1) is reached"
    )
    limits.open_connection("/", "another")
    # A refused one was not counted anywhere.
    limits.set(VHOST, "other", {CONNECTIONS: 1})
    limits.open_connection("other", "another")


def test_channels_of_a_user(limits: Limits) -> None:
    limits.set(USER, "u", {CHANNELS: 2})
    limits.open_channel("u")
    limits.open_channel("u")
    with pytest.raises(NotAllowed) as refusal:
        limits.open_channel("u")
    assert refusal.value.explanation == (
        "number of channels opened for user 'u' has reached the maximum allowed user limit of (2)"
    )
    limits.close_channel("u")
    limits.open_channel("u")


def test_zero_allows_nothing_and_negative_everything(limits: Limits) -> None:
    limits.set(VHOST, "/", {CONNECTIONS: 0, QUEUES: -1})
    with pytest.raises(NotAllowed, match="connection limit \\(0\\) is reached"):
        limits.open_connection("/", "u")
    limits.check_queue("/", "q", 5)


def test_a_row_goes_before_the_default_of_the_node() -> None:
    limits = Limits(Table(None), {(VHOST, QUEUES): 1, (USER, CHANNELS): 1})
    with pytest.raises(PreconditionFailed, match="queue limit in vhost '/' \\(1\\) is reached"):
        limits.check_queue("/", "q", 1)
    limits.set(VHOST, "/", {QUEUES: 2})
    limits.check_queue("/", "q", 1)
    limits.set(VHOST, "/", {})
    with pytest.raises(PreconditionFailed):
        limits.check_queue("/", "q", 1)


@pytest.mark.parametrize(
    ("kind", "given", "text"),
    [
        (VHOST, {CHANNELS: 1}, "use max-connections or max-queues"),
        (USER, {QUEUES: 1}, "use max-connections or max-channels"),
        (USER, {CHANNELS: "1"}, "must be an integer, not '1'"),
        (USER, {CHANNELS: True}, "must be an integer, not True"),
    ],
)
def test_wrong_limits_are_refused_and_nothing_changes(
    limits: Limits, kind: str, given: dict[str, object], text: str
) -> None:
    limits.set(kind, "x", {CONNECTIONS: 7})
    with pytest.raises(PreconditionFailed, match=text):
        limits.set(kind, "x", given)
    assert limits.of(kind, "x", CONNECTIONS) == 7
