"""From exchange and key to queues: chains, cycles, alternate exchanges, and what may be cached."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.broker.router import needs_headers
from posthouse.broker.vhost import VHost


def exchange(vhost: VHost, name: str, kind: str = "direct", **arguments: str) -> None:
    named = {name.replace("_", "-"): value for name, value in arguments.items()}
    vhost.declare_exchange(
        name, kind, durable=False, auto_delete=False, internal=False, arguments=named
    )


def queue(vhost: VHost, name: str, *, durable: bool = False) -> None:
    vhost.declare_queue(
        name,
        durable=durable,
        exclusive_owner=None,
        requester=None,
        auto_delete=False,
        arguments={},
    )


def reached(
    vhost: VHost, name: str, key: bytes = b"", headers: dict[str, Any] | None = None
) -> list[str]:
    return sorted(q.name for q in vhost.resolve(name, key, headers))


@pytest.fixture(autouse=True)
def queues(vhost: VHost) -> None:
    for name in ("r1", "r2"):
        queue(vhost, name)


def test_the_default_exchange_knows_every_queue(vhost: VHost) -> None:
    assert reached(vhost, "", b"r1") == ["r1"]
    assert reached(vhost, "", b"none") == []
    vhost.delete_queue("r1", requester=None)
    assert reached(vhost, "", b"r1") == []


def test_a_queue_is_reached_once(vhost: VHost) -> None:
    exchange(vhost, "t", "topic")
    exchange(vhost, "f", "fanout")
    for key in (b"#", b"a.*", b"a.b"):
        vhost.bind("t", "r1", "queue", key, {})
    vhost.bind("t", "f", "exchange", b"#", {})
    vhost.bind("f", "r1", "queue", b"", {})
    assert reached(vhost, "t", b"a.b") == ["r1"]


def test_cycles_end(vhost: VHost) -> None:
    for name in ("a", "b", "c"):
        exchange(vhost, name, "fanout")
    for source, target in (("a", "b"), ("b", "c"), ("c", "a"), ("a", "a")):
        vhost.bind(source, target, "exchange", b"", {})
    vhost.bind("c", "r1", "queue", b"", {})
    assert reached(vhost, "a") == reached(vhost, "b") == reached(vhost, "c") == ["r1"]


def test_alternate_exchanges_as_rabbitmq_uses_them(vhost: VHost) -> None:
    exchange(vhost, "ae1", alternate_exchange="ae2")
    exchange(vhost, "ae2", alternate_exchange="ae1")
    vhost.bind("ae1", "r1", "queue", b"k1", {})
    vhost.bind("ae2", "r2", "queue", b"k2", {})
    vhost.bind("ae1", "r2", "queue", b"k1", {})
    assert reached(vhost, "ae1", b"k1") == ["r1", "r2"]
    assert reached(vhost, "ae1", b"k2") == ["r2"]
    assert reached(vhost, "ae2", b"k1") == ["r1", "r2"]
    assert reached(vhost, "ae2", b"k2") == ["r2"]
    assert reached(vhost, "ae1", b"none") == []


def test_a_missing_alternate_exchange_is_a_dead_end(vhost: VHost) -> None:
    exchange(vhost, "e", "fanout", alternate_exchange="ghost")
    assert reached(vhost, "e", b"r1") == []


def test_each_exchange_of_a_chain_has_its_own_alternate(vhost: VHost) -> None:
    exchange(vhost, "fan", "fanout")
    exchange(vhost, "fan2", "fanout", alternate_exchange="fan3")
    exchange(vhost, "fan3", "fanout")
    vhost.bind("fan", "fan2", "exchange", b"", {})
    vhost.bind("fan3", "r1", "queue", b"", {})
    assert reached(vhost, "fan") == ["r1"]


def test_an_alternate_is_not_used_when_an_exchange_takes_the_message(vhost: VHost) -> None:
    exchange(vhost, "e", "fanout", alternate_exchange="other")
    exchange(vhost, "dead-end", "fanout")
    exchange(vhost, "other", "fanout")
    vhost.bind("e", "dead-end", "exchange", b"", {})
    vhost.bind("other", "r1", "queue", b"", {})
    assert reached(vhost, "e") == []


def test_an_internal_exchange_is_reached_by_bindings_and_as_alternate(vhost: VHost) -> None:
    vhost.declare_exchange(
        "i", "fanout", durable=False, auto_delete=False, internal=True, arguments={}
    )
    vhost.bind("i", "r1", "queue", b"", {})
    exchange(vhost, "e", alternate_exchange="i")
    assert reached(vhost, "e", b"k") == ["r1"]
    assert vhost.routes.lookup(b"\1e\1k").plain
    assert not vhost.routes.lookup(b"\1i\1k").plain


def test_a_name_that_is_not_utf8_serves_as_alternate(vhost: VHost) -> None:
    name = b"\xff".decode("utf-8", "surrogateescape")
    exchange(vhost, name, "fanout")
    vhost.bind(name, "r1", "queue", b"", {})
    vhost.declare_exchange(
        "e",
        "fanout",
        durable=False,
        auto_delete=False,
        internal=False,
        arguments={"alternate-exchange": b"\xff"},
    )
    assert reached(vhost, "e") == ["r1"]


def test_a_headers_exchange_anywhere_forbids_a_kept_route(vhost: VHost) -> None:
    exchange(vhost, "h", "headers")
    exchange(vhost, "a", "fanout")
    exchange(vhost, "b", "fanout")
    assert not needs_headers(vhost, "a")
    vhost.bind("b", "h", "exchange", b"", {})
    vhost.bind("a", "b", "exchange", b"", {})
    vhost.bind("b", "a", "exchange", b"", {})
    vhost.bind("h", "r1", "queue", b"", {"n": 1})
    assert needs_headers(vhost, "a")
    assert reached(vhost, "a", b"", {"n": 1}) == ["r1"]
    assert reached(vhost, "a", b"", {"n": 2}) == []
    exchange(vhost, "c", alternate_exchange="h")
    assert needs_headers(vhost, "c")
    assert not needs_headers(vhost, "missing")


def test_a_route_lists_the_ids_of_durable_queues(vhost: VHost) -> None:
    queue(vhost, "d1", durable=True)
    queue(vhost, "d2", durable=True)
    exchange(vhost, "f", "fanout")
    for name in ("d1", "r1", "d2"):
        vhost.bind("f", name, "queue", b"", {})
    route = vhost.routes.lookup(b"\1f\0")
    assert [q.name for q in route.queues] == ["d1", "r1", "d2"]  # type: ignore[attr-defined]
    ids = [vhost.queues[name].queue_id for name in ("d1", "d2")]
    assert route.durable_ids == b"".join(i.to_bytes(4, "little") for i in ids)
    assert 0 not in ids
