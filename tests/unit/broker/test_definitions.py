"""What survives a restart: the durable topology, with its types, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from posthouse.broker.broker import Broker
from posthouse.broker.definitions import ID_STRIDE, Definitions, pack
from posthouse.broker.exchanges.types import exchange_types
from posthouse.broker.limits import Limits
from posthouse.broker.queues.queue import Queue
from posthouse.broker.vhost import VHost
from posthouse.core.errors import NotFound
from posthouse.journal.table import Table
from posthouse.wire.amqp091.fields import Timestamp, Typed, encode_value, typed_value

Start = Callable[[], Broker]


def exchange(vhost: VHost, name: str, kind: str = "direct", **properties: Any) -> None:
    defaults: dict[str, Any] = {
        "durable": True,
        "auto_delete": False,
        "internal": False,
        "arguments": {},
    }
    vhost.declare_exchange(name, kind, **(defaults | properties))


def queue(vhost: VHost, name: str, **properties: Any) -> Queue:
    defaults: dict[str, Any] = {
        "durable": True,
        "exclusive_owner": None,
        "auto_delete": False,
        "arguments": {},
    }
    return vhost.declare_queue(name, requester=None, **(defaults | properties))


def rows(table: Table) -> dict[str, int]:
    """How many rows there are of each kind, but the counter."""
    kinds = ("exchange", "queue", "binding", "vhost")
    return {kind: count for kind in kinds if (count := len(list(table.items(kind))))}


def test_a_new_node_has_the_default_vhost(broker: Broker, table: Table) -> None:
    assert list(broker.vhosts) == ["/"]
    assert rows(table) == {"vhost": 1}


def test_durable_things_come_back(broker: Broker, start: Start) -> None:
    vhost = broker.vhosts["/"]
    exchange(vhost, "e", "topic", auto_delete=True, internal=True)
    exchange(vhost, "gone", durable=False)
    made = queue(vhost, "q", auto_delete=True, arguments={"x-max-length": Typed("l", 5)})
    queue(vhost, "transient", durable=False)
    queue(vhost, "exclusive", exclusive_owner=object())
    vhost.bind("e", "q", "queue", b"a.*", {})
    vhost.bind("e", "transient", "queue", b"a.*", {})
    vhost.bind("e", "exclusive", "queue", b"a.*", {})
    vhost.bind("gone", "q", "queue", b"k", {})
    vhost.bind("amq.topic", "q", "queue", b"\xff.#", {"x": 1})
    vhost.bind("amq.topic", "e", "exchange", b"#", {})

    again = start().vhosts["/"]
    assert set(again.queues) == {"q"}
    assert set(again.exchanges) - set(VHost("v", again.dispatcher, *parts()).exchanges) == {"e"}
    e = again.exchanges["e"]
    assert (e.kind, e.durable, e.auto_delete, e.internal) == ("topic", True, True, True)
    q = again.queues["q"]
    assert (q.queue_id, q.durable, q.auto_delete) == (made.queue_id, True, True)
    assert q.arguments == {"x-max-length": Typed("l", 5)}
    assert [x.name for x in again.resolve("e", b"a.b", None)] == ["q"]
    assert [x.name for x in again.resolve("amq.topic", b"\xff.b", None)] == ["q"]
    assert [x.name for x in again.resolve("", b"q", None)] == ["q"]
    assert len(again.exchanges["amq.topic"].bindings) == 2
    assert len(e.bindings) == 1


def parts() -> tuple[Definitions, Any, Limits]:
    """What a virtual host needs besides the dispatcher."""
    return Definitions(Table(None), typed_value), exchange_types(), Limits(Table(None), {})


def test_what_was_deleted_stays_deleted(broker: Broker, start: Start, table: Table) -> None:
    vhost = broker.vhosts["/"]
    exchange(vhost, "e")
    exchange(vhost, "auto", auto_delete=True)
    queue(vhost, "q")
    for key in (b"k1", b"k2"):
        vhost.bind("e", "q", "queue", key, {})
    vhost.bind("auto", "q", "queue", b"", {})
    vhost.bind("amq.fanout", "e", "exchange", b"", {})
    assert rows(table) == {"exchange": 2, "queue": 1, "binding": 4, "vhost": 1}
    vhost.unbind("e", "q", "queue", b"k1", {})
    assert rows(table)["binding"] == 3
    vhost.delete_queue("q", requester=None)
    assert rows(table) == {"exchange": 1, "binding": 1, "vhost": 1}
    vhost.delete_exchange("e")
    assert rows(table) == {"vhost": 1}
    assert not start().vhosts["/"].queues


def test_a_binding_is_durable_when_both_ends_are(broker: Broker, table: Table) -> None:
    vhost = broker.vhosts["/"]
    exchange(vhost, "e")
    exchange(vhost, "gone", durable=False)
    queue(vhost, "q")
    queue(vhost, "transient", durable=False)
    queue(vhost, "exclusive", exclusive_owner=object())
    for source, kind, target in (
        ("e", "queue", "transient"),
        ("e", "queue", "exclusive"),
        ("e", "exchange", "gone"),
        ("gone", "queue", "q"),
        ("gone", "exchange", "e"),
    ):
        vhost.bind(source, target, kind, b"", {})
    assert "binding" not in rows(table)
    vhost.bind("e", "q", "queue", b"", {})
    vhost.bind("e", "amq.fanout", "exchange", b"", {})
    assert rows(table)["binding"] == 2


def test_bindings_are_removed_after_a_restart(broker: Broker, start: Start, table: Table) -> None:
    vhost = broker.vhosts["/"]
    queue(vhost, "q")
    for key in (b"k1", b"k2"):
        vhost.bind("amq.direct", "q", "queue", key, {"a": Typed("s", 1)})
    vhost = start().vhosts["/"]
    # A new one first: its row must not take the place of an older one's.
    vhost.bind("amq.direct", "q", "queue", b"k3", {})
    vhost.unbind("amq.direct", "q", "queue", b"k1", {"a": Typed("s", 1)})
    keys = {row["key"] for _, row in table.items("binding")}
    assert keys == {"k2", "k3"}


def test_ids_of_queues_are_never_used_again(broker: Broker, start: Start) -> None:
    seen = set()
    for _ in range(3):
        for _ in range(ID_STRIDE // 2 + 1):
            vhost = broker.vhosts["/"]
            seen.add(queue(vhost, "q").queue_id)
            vhost.delete_queue("q", requester=None)
        broker = start()
    assert len(seen) == 3 * (ID_STRIDE // 2 + 1)
    assert 0 not in seen
    assert queue(broker.vhosts["/"], "t", durable=False).queue_id == 0


def test_durable_queues_are_listed_for_replay(broker: Broker) -> None:
    vhost = broker.add_vhost("v")
    first, second = queue(broker.vhosts["/"], "q"), queue(vhost, "q")
    queue(vhost, "transient", durable=False)
    queue(vhost, "exclusive", exclusive_owner=object())
    assert broker.durable_queues() == {first.queue_id: first, second.queue_id: second}


VALUES = [
    1,
    -1,
    2**31 - 1,
    True,
    None,
    1.5,
    "text",
    "",
    "\x00",
    b"\xff\xfe",
    bytearray(b"\x00\xff"),
    Decimal("1.25"),
    Timestamp(1700000000),
    Typed("l", 2**60),
    Typed("b", -5),
    Typed("B", 200),
    Typed("s", -5),
    Typed("u", 65535),
    Typed("i", 2**32 - 1),
    Typed("f", 1.5),
    {},
    {"a": {"b": [1, Typed("l", 1), None, b"\xff"]}, "F": "S"},
    [],
    ["S", "x"],
    [["F", {"a": 1}]],
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_arguments_keep_their_types(value: Any, broker: Broker, start: Start) -> None:
    queue(broker.vhosts["/"], "q", arguments={"other": value})
    (found,) = start().vhosts["/"].queues["q"].arguments.values()
    assert type(found) is type(value)
    assert encode_value(found) == encode_value(value)


def test_names_that_are_not_utf8_survive_json(broker: Broker, start: Start, table: Table) -> None:
    name = b"q\xff".decode("utf-8", "surrogateescape")
    queue(broker.vhosts["/"], name)
    assert all(json.loads(json.dumps(row)) == row for _, row in table.items("queue"))
    assert name in start().vhosts["/"].queues


def test_packed_values_are_json() -> None:
    for value in VALUES:
        assert json.loads(json.dumps(pack(value))) == pack(value)


# --- virtual hosts ------------------------------------------------------------------------------


def test_virtual_hosts_come_and_go(broker: Broker, start: Start, table: Table) -> None:
    vhost = broker.add_vhost("v")
    assert broker.add_vhost("v") is vhost
    exchange(vhost, "e")
    exchange(vhost, "auto", auto_delete=True)
    queue(vhost, "q")
    vhost.bind("e", "auto", "exchange", b"", {})
    vhost.bind("auto", "q", "queue", b"", {})
    vhost.bind("amq.direct", "amq.topic", "exchange", b"k", {})
    assert set(start().vhosts) == {"/", "v"}
    broker.delete_vhost("v")
    assert set(broker.vhosts) == {"/"}
    assert rows(table) == {"vhost": 1}
    assert set(start().vhosts) == {"/"}
    with pytest.raises(NotFound, match="no vhost 'v'"):
        broker.delete_vhost("v")


def test_queues_of_one_name_live_in_two_vhosts(broker: Broker, start: Start) -> None:
    queue(broker.vhosts["/"], "q")
    queue(broker.add_vhost("v"), "q", arguments={"a": 1})
    again = start()
    assert again.vhosts["/"].queues["q"].arguments == {}
    assert again.vhosts["v"].queues["q"].arguments == {"a": 1}


# --- a definitions log that lost entries --------------------------------------------------------


def test_what_is_left_of_damaged_definitions_is_served(broker: Broker, start: Start) -> None:
    vhost = broker.add_vhost("v")
    queue(vhost, "q1")
    queue(vhost, "q2")
    exchange(vhost, "e")
    for name in ("q1", "q2"):
        vhost.bind("e", name, "queue", b"k", {})
    table = broker._definitions._rows  # the rows go without the broker's knowledge: damage
    table.remove("vhost", ("v",))
    table.remove("queue", ("v", "q1"))
    again = start().vhosts["v"]
    assert [x.name for x in again.resolve("e", b"k", None)] == ["q2"]


def test_an_exchange_of_a_lost_plugin_stops_the_start(
    broker: Broker, start: Start, table: Table
) -> None:
    table.put("exchange", ("/", "e"), {"type": "x-lost", "auto_delete": False, "internal": False})
    with pytest.raises(NotFound, match="x-lost"):
        start()
