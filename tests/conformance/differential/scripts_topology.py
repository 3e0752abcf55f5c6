"""Exchanges, queues, bindings."""

from __future__ import annotations

import zlib
from typing import Any

from pamqp.commands import Basic, Exchange, Queue

from tests.conformance.differential.peer import Conn, Stage, method_payload, octets, short
from tests.conformance.differential.script import script

# ---- exchanges


@script("direct", "fanout", "topic", "headers")
def exchange_declare_and_delete(s: Stage, kind: str) -> None:
    c = s.open()
    c.call(1, Exchange.Declare(exchange=f"ed.{kind}", exchange_type=kind))
    c.call(1, Exchange.Declare(exchange=f"ed.{kind}", exchange_type=kind))
    c.call(1, Exchange.Declare(exchange=f"ed.{kind}", exchange_type="", passive=True))
    c.call(1, Exchange.Delete(exchange=f"ed.{kind}"))
    c.call(1, Exchange.Delete(exchange=f"ed.{kind}"))
    c.call(1, Exchange.Declare(exchange=f"ed.{kind}", passive=True))


@script(
    ("type", {"exchange_type": "topic"}),
    ("durable", {"durable": True}),
    ("auto_delete", {"auto_delete": True}),
    ("internal", {"internal": True}),
    ("alternate", {"arguments": {"alternate-exchange": "other"}}),
    ("unknown argument", {"arguments": {"x-unknown": "other"}}),
)
def exchange_not_equivalent(s: Stage, change: dict[str, Any]) -> None:
    c = s.open()
    name = f"ene.{zlib.crc32(str(change).encode())}"
    c.call(1, Exchange.Declare(exchange=name))
    c.call(1, Exchange.Declare(exchange=name, **change))
    again = s.open()
    again.call(1, Exchange.Delete(exchange=name))


@script("", "amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match")
def predeclared_exchange(s: Stage, name: str) -> None:
    s.open().call(1, Exchange.Declare(exchange=name, passive=True))
    s.open().call(1, Exchange.Declare(exchange=name, durable=True))
    s.open().call(1, Exchange.Declare(exchange=name))
    s.open().call(1, Exchange.Delete(exchange=name))


@script("amq.mine", "amq.")
def exchange_reserved_prefix(s: Stage, name: str) -> None:
    s.open().call(1, Exchange.Declare(exchange=name))
    s.open().call(1, Exchange.Declare(exchange=name, passive=True))
    s.open().call(1, Exchange.Delete(exchange=name))


@script("x-none", "", "Direct")
def exchange_type_unknown(s: Stage, kind: str) -> None:
    c = s.open()
    c.raw(octets(1, 1, method_payload(40, 10, b"\0\0" + short("etu") + short(kind) + bytes(5))))
    c.read(1)


@script()
def exchange_delete_if_unused(s: Stage) -> None:
    c = s.open()
    c.call(1, Exchange.Declare(exchange="edu"))
    c.call(1, Queue.Declare(0, "edu.q", exclusive=True))
    c.call(1, Queue.Bind(queue="edu.q", exchange="edu"))
    c.call(1, Exchange.Delete(exchange="edu", if_unused=True))
    again = s.open()
    again.call(1, Exchange.Delete(exchange="edu"))


@script()
def exchange_auto_delete_goes_with_its_last_binding(s: Stage) -> None:
    c = s.open()
    c.call(1, Exchange.Declare(exchange="ead", auto_delete=True))
    c.call(1, Queue.Declare(0, "ead.q", exclusive=True))
    c.call(1, Queue.Bind(queue="ead.q", exchange="ead", routing_key="a"))
    c.call(1, Queue.Bind(queue="ead.q", exchange="ead", routing_key="b"))
    c.call(1, Queue.Unbind(queue="ead.q", exchange="ead", routing_key="a"))
    c.call(1, Exchange.Declare(exchange="ead", passive=True))
    c.call(1, Queue.Unbind(queue="ead.q", exchange="ead", routing_key="b"))
    c.call(1, Exchange.Declare(exchange="ead", passive=True))


@script()
def exchange_declare_nowait(s: Stage) -> None:
    c = s.open()
    c.send(1, Exchange.Declare(exchange="ednw", nowait=True))
    c.call(1, Exchange.Declare(exchange="ednw", passive=True))
    c.send(1, Exchange.Delete(exchange="ednw", nowait=True))
    c.call(1, Exchange.Declare(exchange="ednw", passive=True))


@script(("text", "ae"), ("number", 5), ("missing target", "nowhere"))
def alternate_exchange_argument(s: Stage, value: Any) -> None:
    c = s.open()
    name = f"aea.{value}"
    c.call(1, Exchange.Declare(exchange=name, arguments={"alternate-exchange": value}))
    s.open().call(1, Exchange.Delete(exchange=name))


@script()
def alternate_exchange_takes_what_is_unroutable(s: Stage) -> None:
    c = s.open()
    c.call(1, Exchange.Declare(exchange="aet.ae", exchange_type="fanout"))
    c.call(1, Exchange.Declare(exchange="aet", arguments={"alternate-exchange": "aet.ae"}))
    c.call(1, Queue.Declare(0, "aet.q", exclusive=True))
    c.call(1, Queue.Bind(queue="aet.q", exchange="aet.ae"))
    publish(c, "aet", "nobody", b"saved", mandatory=True)
    c.call(1, Basic.Get(0, "aet.q", no_ack=True))
    c.call(1, Exchange.Delete(exchange="aet"))
    c.call(1, Exchange.Delete(exchange="aet.ae"))


@script()
def internal_exchange_takes_no_publish(s: Stage) -> None:
    c = s.open()
    c.call(1, Exchange.Declare(exchange="int", internal=True))
    publish(c, "int", "", b"x")
    c.read(1)
    s.open().call(1, Exchange.Delete(exchange="int"))


def publish(
    c: Conn, exchange: str, key: str, body: bytes, channel: int = 1, **options: Any
) -> None:
    """A publish without properties, in one piece."""
    from pamqp.body import ContentBody
    from pamqp.header import ContentHeader

    method = Basic.Publish(exchange=exchange, routing_key=key, **options)
    parts = [method, ContentHeader(body_size=len(body), properties=Basic.Properties())]
    c.send(channel, *parts, *([ContentBody(body)] if body else []))


# ---- exchange to exchange


@script()
def exchange_bound_to_exchange(s: Stage) -> None:
    c = s.open()
    c.call(1, Exchange.Declare(exchange="e2e.a", exchange_type="fanout"))
    c.call(1, Exchange.Declare(exchange="e2e.b", exchange_type="topic"))
    c.call(1, Queue.Declare(0, "e2e.q", exclusive=True))
    c.call(1, Exchange.Bind(destination="e2e.b", source="e2e.a", routing_key=""))
    c.call(1, Exchange.Bind(destination="e2e.a", source="e2e.b", routing_key="#"))
    c.call(1, Queue.Bind(queue="e2e.q", exchange="e2e.b", routing_key="a.*"))
    publish(c, "e2e.a", "a.x", b"once")
    c.call(1, Basic.Get(0, "e2e.q", no_ack=True))
    c.call(1, Basic.Get(0, "e2e.q", no_ack=True))
    c.call(1, Exchange.Unbind(destination="e2e.b", source="e2e.a", routing_key=""))
    publish(c, "e2e.a", "a.x", b"none")
    c.call(1, Basic.Get(0, "e2e.q", no_ack=True))
    c.call(1, Exchange.Delete(exchange="e2e.a"))
    c.call(1, Exchange.Delete(exchange="e2e.b"))


@script(
    ("no source", "nowhere", "amq.fanout"),
    ("no destination", "amq.fanout", "nowhere"),
    ("neither", "nowhere", "nowhere.2"),
    ("default source", "", "amq.fanout"),
    ("default destination", "amq.fanout", ""),
)
def exchange_bind_misuse(s: Stage, source: str, destination: str) -> None:
    s.open().call(1, Exchange.Bind(destination=destination, source=source))
    s.open().call(1, Exchange.Unbind(destination=destination, source=source))


# ---- queues


@script()
def queue_declare_and_delete(s: Stage) -> None:
    c = s.open()
    c.call(1, Queue.Declare(0, "qd"))
    c.call(1, Queue.Declare(0, "qd"))
    c.call(1, Queue.Declare(0, "qd", passive=True))
    c.call(1, Queue.Delete(0, "qd"))
    c.call(1, Queue.Delete(0, "qd"))
    c.call(1, Queue.Declare(0, "qd", passive=True))


@script()
def queue_named_by_the_server(s: Stage) -> None:
    c = s.open()
    c.call(1, Queue.Declare(0, "", exclusive=True))
    c.call(1, Queue.Bind(queue="", exchange="amq.direct", routing_key="last"))
    c.call(1, Basic.Consume(0, "", no_ack=True))
    publish(c, "amq.direct", "last", b"for the last one")
    c.read(1)
    c.call(1, Queue.Purge(0, ""))
    c.call(1, Queue.Delete(0, ""))


@script("purge", "bind", "delete", "consume", "get", "unbind")
def last_queue_where_there_is_none(s: Stage, what: str) -> None:
    method = {
        "purge": Queue.Purge(0, ""),
        "bind": Queue.Bind(queue="", exchange="amq.direct"),
        "delete": Queue.Delete(0, ""),
        "consume": Basic.Consume(0, ""),
        "get": Basic.Get(0, ""),
        "unbind": Queue.Unbind(queue="", exchange="amq.direct"),
    }[what]
    s.open().call(1, method)


@script(
    ("durable", {"durable": True}),
    ("exclusive", {"exclusive": True}),
    ("auto_delete", {"auto_delete": True}),
    ("x-message-ttl", {"arguments": {"x-message-ttl": 1000}}),
    ("x-max-length", {"arguments": {"x-max-length": 10}}),
    ("x-dead-letter-exchange", {"arguments": {"x-dead-letter-exchange": ""}}),
    ("x-max-priority", {"arguments": {"x-max-priority": 5}}),
    ("x-queue-type", {"arguments": {"x-queue-type": "classic"}}),
    ("x-expires", {"arguments": {"x-expires": 100_000}}),
    ("x-overflow", {"arguments": {"x-overflow": "reject-publish"}}),
    ("x-single-active-consumer", {"arguments": {"x-single-active-consumer": True}}),
    ("x-queue-mode", {"arguments": {"x-queue-mode": "lazy"}}),
    ("unknown", {"arguments": {"x-whatever": 1}}),
)
def queue_not_equivalent(s: Stage, change: dict[str, Any]) -> None:
    name = f"qne.{zlib.crc32(str(change).encode())}"
    c = s.open()
    c.call(1, Queue.Declare(0, name))
    c.call(1, Queue.Declare(0, name, **change))
    s.open().call(1, Queue.Delete(0, name))


@script()
def queue_not_equivalent_the_other_way(s: Stage) -> None:
    c = s.open()
    c.call(1, Queue.Declare(0, "qno", arguments={"x-message-ttl": 1000, "x-max-length": 5}))
    c.call(1, Queue.Declare(0, "qno", arguments={"x-message-ttl": 1000, "x-max-length": 5}))
    c.call(1, Queue.Declare(0, "qno", arguments={"x-max-length": 5}))
    s.open().call(1, Queue.Delete(0, "qno"))


@script(
    ("x-message-ttl -1", "x-message-ttl", -1),
    ("x-message-ttl x", "x-message-ttl", "x"),
    ("x-expires 0", "x-expires", 0),
    ("x-expires soon", "x-expires", "soon"),
    ("x-max-length -1", "x-max-length", -1),
    ("x-max-length a", "x-max-length", "a"),
    ("x-max-length-bytes -5", "x-max-length-bytes", -5),
    ("x-max-priority -1", "x-max-priority", -1),
    ("x-max-priority 256", "x-max-priority", 256),
    ("x-max-priority True", "x-max-priority", True),
    ("x-overflow explode", "x-overflow", "explode"),
    ("x-overflow 1", "x-overflow", 1),
    ("x-dead-letter-exchange 5", "x-dead-letter-exchange", 5),
    ("x-dead-letter-routing-key k", "x-dead-letter-routing-key", "k"),
    ("x-single-active-consumer yes", "x-single-active-consumer", "yes"),
    ("x-queue-type cubist", "x-queue-type", "cubist"),
    ("x-queue-type 7", "x-queue-type", 7),
    ("x-queue-mode sleepy", "x-queue-mode", "sleepy"),
    ("x-queue-mode 3", "x-queue-mode", 3),
    ("x-message-ttl 2**40", "x-message-ttl", 2**40),
    ("x-max-in-memory-length 5", "x-max-in-memory-length", 5),
    ("x-delivery-limit 5", "x-delivery-limit", 5),
)
def queue_argument_refused(s: Stage, name: str, value: Any) -> None:
    queue = f"qar.{name}.{value}"
    s.open().call(1, Queue.Declare(0, queue, arguments={name: value}))
    s.open().call(1, Queue.Delete(0, queue))


@script("amq.mine", "amq.")
def queue_reserved_prefix(s: Stage, name: str) -> None:
    s.open().call(1, Queue.Declare(0, name))
    s.open().call(1, Queue.Declare(0, name, passive=True))
    s.open().call(1, Queue.Delete(0, name))


@script()
def exclusive_queue_is_locked_for_others(s: Stage) -> None:
    owner = s.open()
    owner.call(1, Queue.Declare(0, "xq", exclusive=True))
    for method in (
        Queue.Declare(0, "xq"),
        Queue.Declare(0, "xq", exclusive=True),
        Queue.Declare(0, "xq", passive=True),
        Queue.Bind(queue="xq", exchange="amq.direct", routing_key="k"),
        Queue.Unbind(queue="xq", exchange="amq.direct", routing_key="k"),
        Queue.Purge(0, "xq"),
    ):
        s.open().call(1, method)


@script()
def exclusive_queue_and_its_messages(s: Stage) -> None:
    s.open().call(1, Queue.Declare(0, "xm", exclusive=True))
    for method in (Queue.Delete(0, "xm"), Basic.Consume(0, "xm"), Basic.Get(0, "xm")):
        s.open().call(1, method)


@script()
def exclusive_queue_goes_with_its_connection(s: Stage) -> None:
    from pamqp.commands import Connection

    owner = s.open()
    owner.call(1, Queue.Declare(0, "xg", exclusive=True))
    owner.call(0, Connection.Close(200, "bye", 0, 0))
    s.open().call(1, Queue.Declare(0, "xg", passive=True))


@script()
def auto_delete_queue_goes_with_its_last_consumer(s: Stage) -> None:
    c = s.open()
    c.call(1, Queue.Declare(0, "ad", auto_delete=True))
    c.call(1, Basic.Consume(0, "ad", "one"))
    c.call(1, Basic.Consume(0, "ad", "two"))
    c.call(1, Basic.Cancel("one"))
    c.call(1, Queue.Declare(0, "ad", passive=True))
    c.call(1, Basic.Cancel("two"))
    c.call(1, Queue.Declare(0, "ad", passive=True))


@script()
def queue_delete_conditions(s: Stage) -> None:
    c = s.open(1, 2, 3)
    c.call(1, Queue.Declare(0, "qdc"))
    c.call(1, Basic.Consume(0, "qdc", "one"))
    c.call(2, Queue.Delete(0, "qdc", if_unused=True))
    c.call(1, Basic.Cancel("one"))
    publish(c, "", "qdc", b"x")
    c.call(1, Queue.Declare(0, "qdc", passive=True))
    c.call(3, Queue.Delete(0, "qdc", if_empty=True))
    c.call(1, Queue.Delete(0, "qdc"))


@script()
def queue_purge_counts(s: Stage) -> None:
    c = s.open()
    c.call(1, Queue.Declare(0, "qpc", exclusive=True))
    for n in range(5):
        publish(c, "", "qpc", b"%d" % n)
    c.call(1, Basic.Get(0, "qpc"))
    c.call(1, Queue.Purge(0, "qpc"))
    c.call(1, Queue.Purge(0, "qpc"))
    c.send(1, Queue.Purge(0, "qpc", nowait=True))
    c.call(1, Basic.Get(0, "qpc"))


@script()
def queue_declare_nowait(s: Stage) -> None:
    c = s.open()
    c.send(1, Queue.Declare(0, "qnw", nowait=True))
    c.send(1, Queue.Bind(queue="qnw", exchange="amq.direct", routing_key="qnw", nowait=True))
    publish(c, "amq.direct", "qnw", b"x")
    c.call(1, Basic.Get(0, "qnw", no_ack=True))
    c.send(1, Queue.Delete(0, "qnw", nowait=True))
    c.call(1, Queue.Declare(0, "qnw", passive=True))


@script()
def queue_name_in_utf_8(s: Stage) -> None:
    c = s.open()
    payload = b"\0\0" + short("Zür ich \u2603") + bytes(5)
    c.raw(octets(1, 1, method_payload(50, 10, payload)))
    c.read(1)
    c.raw(octets(1, 1, method_payload(50, 40, b"\0\0" + short("Zür ich \u2603") + b"\0")))
    c.read(1)


@script()
def queue_name_not_utf_8(s: Stage) -> None:
    c = s.open()
    c.raw(octets(1, 1, method_payload(50, 10, b"\0\0" + short(b"\xff\xfe") + bytes(5))))
    c.read(0)


# ---- bindings


@script(
    ("no queue", "nowhere", "amq.direct"),
    ("no exchange", "qbm", "nowhere"),
    ("default exchange", "qbm", ""),
)
def queue_bind_misuse(s: Stage, queue: str, exchange: str) -> None:
    s.open().call(1, Queue.Declare(0, "qbm", auto_delete=True))
    s.open().call(1, Queue.Bind(queue=queue, exchange=exchange, routing_key="k"))
    s.open().call(1, Queue.Unbind(queue=queue, exchange=exchange, routing_key="k"))


@script()
def unbind_what_is_not_bound(s: Stage) -> None:
    c = s.open()
    c.call(1, Queue.Declare(0, "uw", exclusive=True))
    c.call(1, Queue.Unbind(queue="uw", exchange="amq.direct", routing_key="never"))


@script()
def bind_twice_is_once(s: Stage) -> None:
    c = s.open()
    c.call(1, Queue.Declare(0, "bt", exclusive=True))
    for _ in range(2):
        c.call(1, Queue.Bind(queue="bt", exchange="amq.direct", routing_key="bt"))
    publish(c, "amq.direct", "bt", b"x")
    c.call(1, Basic.Get(0, "bt", no_ack=True))
    c.call(1, Basic.Get(0, "bt", no_ack=True))
    c.call(1, Queue.Unbind(queue="bt", exchange="amq.direct", routing_key="bt"))
    publish(c, "amq.direct", "bt", b"x")
    c.call(1, Basic.Get(0, "bt", no_ack=True))


@script(
    ("star", "a.*.c", ["a.b.c", "a.c", "a.b.b.c", "a..c"]),
    ("hash", "a.#", ["a", "a.b", "a.b.c", "b.a", "a."]),
    ("hash inside", "a.#.z", ["a.z", "a.b.z", "a.b.c.z", "a.zz", "z"]),
    ("only hash", "#", ["", "a", "a.b", "."]),
    ("only star", "*", ["", "a", "a.b"]),
    ("no words", "", ["", "a"]),
    ("hash hash", "#.#", ["", "a", "a.b.c"]),
    ("star hash", "*.#", ["", "a", "a.b.c"]),
    ("literal star", "a*", ["a*", "ab", "a"]),
)
def topic_patterns(s: Stage, pattern: str, keys: list[str]) -> None:
    c = s.open()
    name = f"tp.{zlib.crc32(pattern.encode())}"
    c.call(1, Queue.Declare(0, "", exclusive=True))
    c.call(1, Exchange.Declare(exchange=name, exchange_type="topic", auto_delete=True))
    c.call(1, Queue.Bind(queue="", exchange=name, routing_key=pattern))
    for key in keys:
        publish(c, name, key, key.encode() or b"(empty)")
        c.call(1, Basic.Get(0, "", no_ack=True))


HEADERS: list[dict[str, Any]] = [
    {},
    {"a": 1},
    {"a": 1, "b": "x"},
    {"a": 1, "b": "x", "x-c": 2},
    {"a": "1", "b": "x"},
    {"b": "x", "x-c": 2},
    {"a": None, "b": None},
    {"a": True},
]


@script(
    ("all", {"x-match": "all", "a": 1, "b": "x"}),
    ("any", {"x-match": "any", "a": 1, "b": "x"}),
    ("default", {"a": 1, "b": "x"}),
    ("all-with-x", {"x-match": "all-with-x", "a": 1, "x-c": 2}),
    ("any-with-x", {"x-match": "any-with-x", "a": 9, "x-c": 2}),
    ("all ignores x", {"x-match": "all", "a": 1, "x-c": 9}),
    ("exists", {"x-match": "all", "a": None}),
    ("any of nothing", {"x-match": "any"}),
    ("all of nothing", {"x-match": "all"}),
    ("no arguments", {}),
)
def headers_match(s: Stage, arguments: dict[str, Any]) -> None:
    from pamqp.header import ContentHeader

    c = s.open()
    c.call(1, Queue.Declare(0, "", exclusive=True))
    name = f"hm.{zlib.crc32(str(arguments).encode())}"[:20]
    c.call(1, Exchange.Declare(exchange=name, exchange_type="headers", auto_delete=True))
    c.call(1, Queue.Bind(queue="", exchange=name, arguments=arguments))
    for headers in HEADERS:
        properties = Basic.Properties(headers=headers) if headers else Basic.Properties()
        c.send(1, Basic.Publish(exchange=name), ContentHeader(properties=properties))
        c.call(1, Basic.Get(0, "", no_ack=True))


@script(("wrong word", "some"), ("number", 1))
def headers_x_match_refused(s: Stage, value: Any) -> None:
    c = s.open()
    c.call(1, Queue.Declare(0, "", exclusive=True))
    c.call(1, Queue.Bind(queue="", exchange="amq.headers", arguments={"x-match": value}))
