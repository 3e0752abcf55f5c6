"""Declaring, binding and deleting in a virtual host. Texts are those of a RabbitMQ 3.10.8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from posthouse.broker.broker import Broker
from posthouse.broker.dispatch import Consumer
from posthouse.broker.limits import VHOST
from posthouse.broker.queues.queue import Queue
from posthouse.broker.vhost import VHost
from posthouse.core.errors import (
    AccessRefused,
    BrokerError,
    NotFound,
    PreconditionFailed,
    ResourceLocked,
)

ME, OTHER = object(), object()
LOCKED = (
    "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another "
    "connection or the exclusive property value does not match that of the original declaration."
)


class Subscription(Consumer):
    """A consumer without credit."""

    was_cancelled = False

    def take(self, limit: int) -> int:
        return 0

    def cancelled(self) -> None:
        self.was_cancelled = True


def exchange(vhost: VHost, name: str, kind: str = "direct", **properties: Any) -> None:
    defaults: dict[str, Any] = {
        "durable": False,
        "auto_delete": False,
        "internal": False,
        "arguments": {},
    }
    vhost.declare_exchange(name, kind, **(defaults | properties))


def queue(
    vhost: VHost, name: str, *, exclusive: bool = False, by: object = ME, **properties: Any
) -> Queue:
    defaults: dict[str, Any] = {"durable": False, "auto_delete": False, "arguments": {}}
    return vhost.declare_queue(
        name,
        exclusive_owner=by if exclusive else None,
        requester=by,
        **(defaults | properties),
    )


def refusal(kind: type[BrokerError], call: Callable[..., object], *a: Any, **k: Any) -> str:
    with pytest.raises(kind) as refused:
        call(*a, **k)
    assert type(refused.value) is kind
    return refused.value.explanation


# --- exchanges ----------------------------------------------------------------------------------


def test_predeclares_what_rabbitmq_predeclares(vhost: VHost) -> None:
    assert {(x.name, x.kind, x.internal) for x in vhost.exchanges.values()} == {
        ("", "direct", False),
        ("amq.direct", "direct", False),
        ("amq.fanout", "fanout", False),
        ("amq.headers", "headers", False),
        ("amq.match", "headers", False),
        ("amq.topic", "topic", False),
        ("amq.rabbitmq.trace", "topic", True),
    }
    assert all(x.durable and not x.auto_delete for x in vhost.exchanges.values())


def test_the_same_exchange_is_declared_again(vhost: VHost) -> None:
    exchange(vhost, "e", arguments={"foo": 1})
    first = vhost.exchange("e")
    exchange(vhost, "e", arguments={"foo": 2})
    assert vhost.exchange("e") is first
    exchange(vhost, "amq.direct", durable=True)


@pytest.mark.parametrize(
    ("kind", "changed", "problem"),
    [
        ("topic", {}, "arg 'type' for %: received 'topic' but current is 'direct'"),
        (
            "topic",
            {"durable": True, "auto_delete": True, "internal": True},
            "arg 'type' for %: received 'topic' but current is 'direct'",
        ),
        (
            "direct",
            {"durable": True},
            "arg 'durable' for %: received 'true' but current is 'false'",
        ),
        (
            "direct",
            {"auto_delete": True},
            "arg 'auto_delete' for %: received 'true' but current is 'false'",
        ),
        (
            "direct",
            {"internal": True},
            "arg 'internal' for %: received 'true' but current is 'false'",
        ),
        (
            "direct",
            {"arguments": {"alternate-exchange": "x"}},
            "arg 'alternate-exchange' for %: received the value 'x' of type 'longstr' but current is none",
        ),
    ],
    ids=str,
)
def test_a_different_exchange_is_refused(
    vhost: VHost, kind: str, changed: dict[str, Any], problem: str
) -> None:
    exchange(vhost, "e")
    text = refusal(PreconditionFailed, exchange, vhost, "e", kind, **changed)
    assert text == "inequivalent " + problem.replace("%", "exchange 'e' in vhost '/'")


def test_refuses_reserved_and_unknown_names(vhost: VHost) -> None:
    not_default = "operation not permitted on the default exchange"
    assert refusal(AccessRefused, exchange, vhost, "") == not_default
    assert refusal(AccessRefused, vhost.check_exchange, "") == not_default
    assert refusal(AccessRefused, vhost.delete_exchange, "") == not_default
    assert (
        refusal(AccessRefused, exchange, vhost, "amq.foo")
        == "exchange name 'amq.foo' contains reserved prefix 'amq.*'"
    )
    assert refusal(NotFound, vhost.check_exchange, "e") == "no exchange 'e' in vhost '/'"
    assert (
        refusal(PreconditionFailed, exchange, vhost, "", "nonsense")
        == "unknown exchange type 'nonsense'"
    )
    with_bad_alternate = {"alternate-exchange": 5}
    assert "reserved prefix" in refusal(
        AccessRefused, exchange, vhost, "amq.e", arguments=with_bad_alternate
    )
    assert (
        refusal(PreconditionFailed, exchange, vhost, "e", arguments=with_bad_alternate)
        == "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'e' in vhost '/'"
    )
    assert "e" not in vhost.exchanges


@pytest.mark.parametrize("name", ["amq.direct", "amq.foo", "amq.rabbitmq.trace"])
def test_system_exchanges_stay(vhost: VHost, name: str) -> None:
    text = refusal(AccessRefused, vhost.delete_exchange, name)
    assert text == f"deletion of system exchange '{name}' in vhost '/' not allowed"


def test_deleting_a_missing_exchange_is_fine(vhost: VHost) -> None:
    vhost.delete_exchange("missing")
    vhost.delete_exchange("missing", if_unused=True)


def test_an_internal_exchange_takes_no_publishes(vhost: VHost) -> None:
    exchange(vhost, "e", internal=True)
    assert (
        refusal(AccessRefused, vhost.publishable_exchange, "e")
        == "cannot publish to internal exchange 'e' in vhost '/'"
    )
    assert refusal(NotFound, vhost.publishable_exchange, "x") == "no exchange 'x' in vhost '/'"
    assert vhost.publishable_exchange("").name == ""


def test_if_unused_looks_at_bindings_from_the_exchange(vhost: VHost) -> None:
    exchange(vhost, "e1")
    exchange(vhost, "e2")
    vhost.bind("e1", "e2", "exchange", b"k", {})
    assert (
        refusal(PreconditionFailed, vhost.delete_exchange, "e1", if_unused=True)
        == "exchange 'e1' in vhost '/' in use"
    )
    vhost.delete_exchange("e2", if_unused=True)
    assert not vhost.exchange("e1").bindings
    vhost.delete_exchange("e1", if_unused=True)
    assert "e1" not in vhost.exchanges


def test_an_auto_delete_exchange_goes_with_its_last_binding(vhost: VHost) -> None:
    exchange(vhost, "e", auto_delete=True)
    queue(vhost, "q")
    vhost.unbind("e", "q", "queue", b"k", {})
    assert "e" in vhost.exchanges  # never before the first binding
    vhost.bind("e", "q", "queue", b"k", {})
    vhost.bind("e", "q", "queue", b"k", {})
    vhost.bind("e", "q", "queue", b"k2", {})
    vhost.unbind("e", "q", "queue", b"k", {})
    assert "e" in vhost.exchanges
    vhost.delete_queue("q", requester=ME)
    assert "e" not in vhost.exchanges


def test_auto_delete_exchanges_follow_each_other(vhost: VHost) -> None:
    # Longer than Python's recursion goes.
    count = 3000
    for i in range(count):
        exchange(vhost, f"e{i}", auto_delete=True)
    for i in range(count - 1):
        vhost.bind(f"e{i}", f"e{i + 1}", "exchange", b"", {})
    queue(vhost, "q")
    vhost.bind(f"e{count - 1}", "q", "queue", b"", {})
    vhost.unbind(f"e{count - 1}", "q", "queue", b"", {})
    assert not [name for name in vhost.exchanges if name.startswith("e")]


def test_an_auto_delete_exchange_may_be_bound_to_itself(vhost: VHost) -> None:
    exchange(vhost, "s", auto_delete=True)
    vhost.bind("s", "s", "exchange", b"k", {})
    vhost.unbind("s", "s", "exchange", b"k", {})
    assert "s" not in vhost.exchanges
    exchange(vhost, "s")
    vhost.bind("s", "s", "exchange", b"k", {})
    vhost.delete_exchange("s")
    exchange(vhost, "s")
    assert not vhost.exchange("s").bindings


# --- bindings -----------------------------------------------------------------------------------


def test_binding_names_what_is_missing_source_first(vhost: VHost) -> None:
    queue(vhost, "q")
    assert (
        refusal(NotFound, vhost.bind, "x", "q", "queue", b"", {}) == "no exchange 'x' in vhost '/'"
    )
    assert (
        refusal(NotFound, vhost.bind, "amq.direct", "x", "queue", b"", {})
        == "no queue 'x' in vhost '/'"
    )
    assert (
        refusal(NotFound, vhost.bind, "x", "y", "queue", b"", {}) == "no exchange 'x' in vhost '/'"
    )
    assert (
        refusal(NotFound, vhost.bind, "amq.direct", "x", "exchange", b"", {})
        == "no exchange 'x' in vhost '/'"
    )


def test_unbinding_what_is_missing_is_fine(vhost: VHost) -> None:
    queue(vhost, "q")
    for source, target in (("amq.direct", "q"), ("x", "q"), ("amq.direct", "x"), ("x", "y")):
        vhost.unbind(source, target, "queue", b"k", {})
        vhost.unbind(source, target, "exchange", b"k", {})


def test_only_the_owner_unbinds_an_exclusive_queue(vhost: VHost) -> None:
    queue(vhost, "q", exclusive=True)
    vhost.bind("amq.direct", "q", "queue", b"k", {})
    unbind = vhost.unbind
    assert refusal(ResourceLocked, unbind, "amq.direct", "q", "queue", b"k", {}, OTHER) == LOCKED
    unbind(
        "amq.direct", "q", "queue", b"another", {}, OTHER
    )  # RabbitMQ: looks for the binding first
    unbind("amq.direct", "q", "queue", b"k", {}, ME)
    assert not vhost.exchange("amq.direct").bindings


def test_a_refused_binding_leaves_nothing(vhost: VHost) -> None:
    queue(vhost, "q")
    refusal(PreconditionFailed, vhost.bind, "amq.headers", "q", "queue", b"", {"x-match": 5})
    assert not vhost.exchange("amq.headers").bindings


def test_every_change_empties_the_route_table(vhost: VHost) -> None:
    exchange(vhost, "e", "fanout")
    queue(vhost, "q")
    blob = b"\1e\1k"

    def targets() -> list[str]:
        return [q.name for q in vhost.routes.lookup(blob).queues]  # type: ignore[attr-defined]

    assert targets() == []
    vhost.bind("e", "q", "queue", b"", {})
    assert targets() == ["q"]
    vhost.unbind("e", "q", "queue", b"", {})
    assert targets() == []
    vhost.bind("e", "q", "queue", b"", {})
    assert targets() == ["q"]
    vhost.delete_queue("q", requester=ME)
    assert targets() == []
    vhost.delete_exchange("e")
    assert not vhost.routes.lookup(blob).plain
    exchange(vhost, "e", "fanout", arguments={"alternate-exchange": "a"})
    assert vhost.routes.lookup(blob).plain
    exchange(vhost, "a", "headers")
    assert not vhost.routes.lookup(blob).plain


# --- queues -------------------------------------------------------------------------------------


def test_the_same_queue_is_declared_again(vhost: VHost) -> None:
    first = queue(vhost, "q", arguments={"x-max-length": 5})
    assert queue(vhost, "q", by=OTHER, arguments={"x-max-length": 5, "other": 1}) is first


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"durable": True}, "arg 'durable' for %: received 'true' but current is 'false'"),
        ({"auto_delete": True}, "arg 'auto_delete' for %: received 'true' but current is 'false'"),
        (
            {"durable": True, "auto_delete": True},
            "arg 'durable' for %: received 'true' but current is 'false'",
        ),
        (
            {"arguments": {"x-expires": -1}},
            "arg 'x-expires' for %: received the value '-1' of type 'signedint' but current is none",
        ),
    ],
    ids=str,
)
def test_a_different_queue_is_refused(vhost: VHost, changed: dict[str, Any], problem: str) -> None:
    queue(vhost, "q")
    text = refusal(PreconditionFailed, queue, vhost, "q", **changed)
    assert text == "inequivalent " + problem.replace("%", "queue 'q' in vhost '/'")


def test_the_owner_is_checked_before_everything_else(vhost: VHost) -> None:
    queue(vhost, "q")
    assert refusal(ResourceLocked, queue, vhost, "q", exclusive=True, durable=True) == LOCKED


def test_an_exclusive_queue_is_locked_for_others(vhost: VHost) -> None:
    mine = queue(vhost, "q", exclusive=True)
    assert queue(vhost, "q", exclusive=True) is mine
    assert vhost.queue("q", ME) is mine
    assert refusal(ResourceLocked, queue, vhost, "q") == LOCKED
    assert refusal(ResourceLocked, queue, vhost, "q", by=OTHER) == LOCKED
    assert refusal(ResourceLocked, queue, vhost, "q", by=OTHER, exclusive=True) == LOCKED
    assert refusal(ResourceLocked, vhost.queue, "q", OTHER) == LOCKED
    assert refusal(ResourceLocked, vhost.queue_if_accessible, "q", OTHER) == LOCKED
    assert refusal(ResourceLocked, vhost.delete_queue, "q", requester=OTHER) == LOCKED


def test_exclusive_queues_go_with_their_owner(vhost: VHost) -> None:
    for name in ("q1", "q2", "q3"):
        queue(vhost, name, exclusive=True)
    queue(vhost, "q4", exclusive=True, by=OTHER)
    vhost.bind("amq.fanout", "q1", "queue", b"", {})
    vhost.delete_queue("q3", requester=ME)
    queue(vhost, "q3")
    vhost.delete_exclusive(ME)
    vhost.delete_exclusive(ME)
    assert set(vhost.queues) == {"q3", "q4"}
    assert not vhost.exchange("amq.fanout").bindings


def test_reserved_queue_names_are_for_the_server(vhost: VHost) -> None:
    text = "queue name 'amq.gen-1' contains reserved prefix 'amq.*'"
    assert refusal(AccessRefused, queue, vhost, "amq.gen-1", arguments={"x-expires": -1}) == text
    made = queue(vhost, "amq.gen-1", server_named=True)
    assert vhost.queue("amq.gen-1", ME) is made
    assert refusal(AccessRefused, queue, vhost, "amq.gen-1") == text  # RabbitMQ: even then


@pytest.mark.parametrize("kind", ["quorum", "stream"])
def test_quorum_queues_and_streams_are_durable_and_have_a_name(vhost: VHost, kind: str) -> None:
    asked = {"x-queue-type": kind}
    assert (
        refusal(PreconditionFailed, queue, vhost, "amq.gen-1", server_named=True, arguments=asked)
        == f"Cannot declare a server-named queue for type rabbit_{kind}_queue"
    )
    assert (
        refusal(PreconditionFailed, queue, vhost, "q", arguments=asked)
        == "invalid property 'non-durable' for queue 'q' in vhost '/'"
    )
    assert (
        refusal(PreconditionFailed, queue, vhost, "q", arguments=asked | {"x-max-priority": -1})
        == f"invalid arg 'x-max-priority' for queue 'q' in vhost '/' of queue type rabbit_{kind}_queue"
    )
    assert queue(vhost, "q", durable=True, arguments=asked).durable


def test_a_limit_of_queues_holds_for_new_ones(broker: Broker, vhost: VHost) -> None:
    broker.limits.set(VHOST, "/", {"max-queues": 1})
    first = queue(vhost, "q1")
    assert (
        refusal(PreconditionFailed, queue, vhost, "q2")
        == "cannot declare queue 'q2': queue limit in vhost '/' (1) is reached"
    )
    assert queue(vhost, "q1") is first
    vhost.delete_queue("q1", requester=ME)
    queue(vhost, "q2")


def test_missing_queues(vhost: VHost) -> None:
    assert refusal(NotFound, vhost.queue, "q", ME) == "no queue 'q' in vhost '/'"
    assert vhost.delete_queue("q", requester=ME, if_unused=True, if_empty=True) == 0


def test_deletes_on_condition(vhost: VHost, send: Callable[[Queue], None]) -> None:
    made = queue(vhost, "q")
    subscription = Subscription(made, 0)
    made.add_consumer(subscription)
    send(made)
    send(made)
    where: dict[str, Any] = {"requester": ME}
    in_use = "queue 'q' in vhost '/' in use"
    not_empty = "queue 'q' in vhost '/' not empty"
    delete = vhost.delete_queue
    assert refusal(PreconditionFailed, delete, "q", if_unused=True, **where) == in_use
    assert refusal(PreconditionFailed, delete, "q", if_empty=True, **where) == not_empty
    assert (
        refusal(PreconditionFailed, delete, "q", if_empty=True, if_unused=True, **where)
        == not_empty
    )
    assert delete("q", **where) == 2
    assert subscription.was_cancelled
    assert "q" not in vhost.queues


def test_an_auto_delete_queue_goes_with_its_last_consumer(vhost: VHost) -> None:
    made = queue(vhost, "q", auto_delete=True)
    first, second = Subscription(made, 0), Subscription(made, 0)
    made.add_consumer(first)
    made.add_consumer(second)
    vhost.remove_consumer(made, first)
    assert "q" in vhost.queues
    vhost.remove_consumer(made, second)
    assert "q" not in vhost.queues
    again = queue(vhost, "q", auto_delete=True)
    vhost.remove_consumer(made, second)  # the end of a consumer of the former queue
    assert vhost.queues["q"] is again


def test_a_queue_that_is_not_auto_delete_stays(vhost: VHost) -> None:
    made = queue(vhost, "q")
    subscription = Subscription(made, 0)
    made.add_consumer(subscription)
    vhost.remove_consumer(made, subscription)
    assert vhost.queues["q"] is made


def test_an_exclusive_consumer_is_alone(vhost: VHost) -> None:
    made = queue(vhost, "q")
    text = "queue 'q' in vhost '/' in exclusive use"
    vhost.check_exclusive_consumer(made, True)
    subscription = Subscription(made, 0)
    made.add_consumer(subscription, exclusive=True)
    assert refusal(AccessRefused, vhost.check_exclusive_consumer, made, False) == text
    vhost.remove_consumer(made, subscription)
    made.add_consumer(Subscription(made, 0))
    vhost.check_exclusive_consumer(made, False)
    assert refusal(AccessRefused, vhost.check_exclusive_consumer, made, True) == text


# --- names --------------------------------------------------------------------------------------


def test_names_need_not_be_utf8(vhost: VHost) -> None:
    name = b"\xff\xfe".decode("utf-8", "surrogateescape")
    made = queue(vhost, name)
    assert vhost.routes.lookup(b"\0\2\xff\xfe").queues == [made]
