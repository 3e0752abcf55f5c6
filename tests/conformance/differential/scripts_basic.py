"""Messages: publish, return, consume, get, acknowledgement, prefetch, order, confirms, transactions."""

from __future__ import annotations

import zlib
from typing import Any

from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel, Confirm, Exchange, Queue, Tx
from pamqp.header import ContentHeader

from tests.conformance.differential.peer import Conn, Stage, method_payload, octets
from tests.conformance.differential.script import script


def publish(
    c: Conn,
    key: str,
    body: bytes = b"x",
    exchange: str = "",
    channel: int = 1,
    mandatory: bool = False,
    immediate: bool = False,
    **properties: Any,
) -> None:
    """A whole message in one piece."""
    method = Basic.Publish(0, exchange, key, mandatory, immediate)
    header = ContentHeader(body_size=len(body), properties=Basic.Properties(**properties))
    c.send(channel, method, header, *([ContentBody(body)] if body else []))


def queue(c: Conn, name: str, count: int = 0) -> None:
    """An exclusive queue with messages 0, 1, ... in it, none of this in the transcript."""
    c.call(1, Queue.Declare(0, name, exclusive=True))
    for n in range(count):
        publish(c, name, b"%d" % n)
    c.log[1].clear()


def drain(c: Conn, name: str, most: int = 10) -> None:
    """Get until it is empty."""
    for _ in range(most):
        if not isinstance(c.call(1, Basic.Get(0, name, no_ack=True)), Basic.GetOk):
            return


# ---- publish and return


@script(("empty", 0), ("one", 1), ("frame", 131064), ("frame and one", 131065), ("large", 400_000))
def bodies(s: Stage, size: int) -> None:
    c = s.open()
    queue(c, f"bo.{size}")
    publish(c, f"bo.{size}", bytes(size))
    c.call(1, Basic.Get(0, f"bo.{size}", no_ack=True))


@script()
def small_frames(s: Stage) -> None:
    c = s.dial().open(1, frame_max=4096)
    queue(c, "sf")
    body = bytes(10_000)
    c.send(1, Basic.Publish(routing_key="sf"), ContentHeader(body_size=len(body)))
    for at in range(0, len(body), 4088):
        c.send(1, ContentBody(body[at : at + 4088]))
    c.call(1, Basic.Get(0, "sf", no_ack=True))


@script()
def all_properties(s: Stage) -> None:
    import datetime

    c = s.open()
    queue(c, "ap")
    publish(
        c,
        "ap",
        content_type="text/plain",
        content_encoding="utf-8",
        headers={"a": 1, "b": "text", "c": [1, "x", True], "d": {"e": None}, "f": 1.5},
        delivery_mode=2,
        priority=3,
        correlation_id="corr",
        reply_to="nobody",
        expiration="60000",
        message_id="id",
        timestamp=datetime.datetime.fromtimestamp(1_700_000_000, tz=datetime.UTC),
        message_type="kind",
        user_id="guest",
        app_id="app",
    )
    c.call(1, Basic.Get(0, "ap", no_ack=True))


@script("soon", "-1", "1.5", "", "99999999999999999999")
def expiration_malformed(s: Stage, value: str) -> None:
    c = s.open()
    queue(c, "em" + value)
    publish(c, "em" + value, expiration=value)
    c.call(1, Basic.Get(0, "em" + value, no_ack=True))


@script()
def user_id_of_somebody_else(s: Stage) -> None:
    c = s.open()
    publish(c, "x", user_id="nobody")
    c.read(1)


@script(("0", 0), ("1", 1), ("3", 3))
def delivery_mode_is_kept(s: Stage, mode: int) -> None:
    c = s.open()
    queue(c, f"dm.{mode}")
    c.send(1, Basic.Publish(routing_key=f"dm.{mode}"))
    c.raw(octets(2, 1, b"\0\x3c\0\0" + (1).to_bytes(8, "big") + b"\x10\0" + bytes((mode,))))
    c.send(1, ContentBody(b"x"))
    c.call(1, Basic.Get(0, f"dm.{mode}", no_ack=True))


@script()
def publish_to_a_missing_exchange(s: Stage) -> None:
    c = s.open()
    publish(c, "x", exchange="nowhere")
    c.read(1)


@script()
def publish_to_a_missing_exchange_with_confirms(s: Stage) -> None:
    c = s.open()
    c.call(1, Confirm.Select())
    publish(c, "x", exchange="nowhere")
    c.read(1)


@script()
def mandatory_without_a_queue(s: Stage) -> None:
    c = s.open()
    publish(c, "nobody", b"come back", mandatory=True, message_id="7")
    c.read(1)


@script()
def mandatory_with_confirm(s: Stage) -> None:
    c = s.open()
    c.call(1, Confirm.Select())
    publish(c, "nobody", b"come back", mandatory=True)
    c.read(1, 2)


@script()
def mandatory_with_a_queue(s: Stage) -> None:
    c = s.open()
    queue(c, "mw")
    c.call(1, Confirm.Select())
    publish(c, "mw", mandatory=True)
    c.read(1)


@script()
def immediate_is_gone(s: Stage) -> None:
    c = s.open()
    publish(c, "x", immediate=True)
    c.read(0)


@script()
def reply_to_pseudo_queue_without_a_consumer(s: Stage) -> None:
    c = s.open()
    publish(c, "x", reply_to="amq.rabbitmq.reply-to")
    c.read(1)


@script()
def default_exchange_routes_by_queue_name(s: Stage) -> None:
    c = s.open()
    queue(c, "de")
    publish(c, "de")
    publish(c, "de.not")
    c.call(1, Basic.Get(0, "de"))
    c.call(1, Basic.Get(0, "de"))


@script()
def one_message_to_a_queue_bound_twice(s: Stage) -> None:
    c = s.open()
    queue(c, "obt")
    for key in ("obt.#", "obt.*"):
        c.call(1, Queue.Bind(queue="obt", exchange="amq.topic", routing_key=key))
    publish(c, "obt.x", exchange="amq.topic")
    drain(c, "obt")


@script(
    ("CC", {"CC": ["cc.2"]}),
    ("BCC", {"BCC": ["cc.2"]}),
    ("CC text", {"CC": "cc.2"}),
    ("CC same", {"CC": ["cc.1"]}),
)
def sender_selected_distribution(s: Stage, headers: dict[str, Any]) -> None:
    c = s.open()
    prefix = f"{zlib.crc32(str(headers).encode())}."
    headers = {k: [prefix + x for x in v] if isinstance(v, list) else v for k, v in headers.items()}
    queue(c, prefix + "cc.1")
    queue(c, prefix + "cc.2")
    publish(c, prefix + "cc.1", headers=headers)
    c.read(1, 0)
    drain(c, prefix + "cc.1")
    drain(c, prefix + "cc.2")


# ---- content out of order


@script(
    ("header first", [octets(2, 1, bytes(14))]),
    ("body first", [octets(3, 1, b"x")]),
    ("method in between", ["publish", octets(1, 1, method_payload(60, 10, bytes(7)))]),
    ("body without header", ["publish", octets(3, 1, b"x")]),
    ("two headers", ["publish", "header 5", "header 5"]),
    ("header of another class", ["publish", octets(2, 1, b"\0\x32\0\0" + bytes(10))]),
    ("weight", ["publish", octets(2, 1, b"\0\x3c\0\1" + bytes(10))]),
    ("too much body", ["publish", "header 5", octets(3, 1, b"123456")]),
    (
        "method within the body",
        ["publish", "header 5", octets(1, 1, method_payload(60, 10, bytes(7)))],
    ),
    ("empty body frame", ["publish", "header 5", octets(3, 1, b""), octets(3, 1, b"12345")]),
    ("header cut short", ["publish", octets(2, 1, b"\0\x3c\0\0\0\0")]),
)
def content_out_of_order(s: Stage, parts: list[Any]) -> None:
    c = s.open()
    for part in parts:
        if part == "publish":
            c.send(1, Basic.Publish(routing_key="nobody"))
        elif part == "header 5":
            c.send(1, ContentHeader(body_size=5))
        else:
            c.raw(part)
    c.call(1, Basic.Qos())


@script()
def channels_interleave_their_contents(s: Stage) -> None:
    c = s.open(1, 2)
    queue(c, "ci")
    c.send(1, Basic.Publish(routing_key="ci"), ContentHeader(body_size=4))
    publish(c, "ci", b"two", channel=2)
    c.call(2, Basic.Qos())
    c.send(1, ContentBody(b"on"))
    c.send(1, ContentBody(b"e!"))
    c.call(1, Basic.Qos())
    drain(c, "ci")


# ---- consume and cancel


@script()
def deliveries_in_order(s: Stage) -> None:
    c = s.open()
    queue(c, "dio", 4)
    c.call(1, Basic.Consume(0, "dio", "tag", no_ack=True), 5)
    publish(c, "dio", b"late")
    c.read(1)
    c.call(1, Basic.Cancel("tag"))
    publish(c, "dio", b"too late")
    c.call(1, Basic.Get(0, "dio"))


@script()
def consumer_tag_by_the_server(s: Stage) -> None:
    c = s.open()
    queue(c, "ctbs")
    c.call(1, Basic.Consume(0, "ctbs"))


@script()
def consumer_tag_twice(s: Stage) -> None:
    c = s.open()
    queue(c, "ctt")
    c.call(1, Basic.Consume(0, "ctt", "same"))
    c.send(1, Basic.Consume(0, "ctt", "same"))
    c.read(0)


@script()
def consumer_tag_twice_on_two_channels(s: Stage) -> None:
    c = s.open(1, 2)
    queue(c, "ctc")
    c.call(1, Basic.Consume(0, "ctc", "same"))
    c.call(2, Basic.Consume(0, "ctc", "same"))


@script()
def consume_what_is_not_there(s: Stage) -> None:
    s.open().call(1, Basic.Consume(0, "nowhere"))


@script()
def consume_nowait(s: Stage) -> None:
    c = s.open()
    queue(c, "cnw", 1)
    c.send(1, Basic.Consume(0, "cnw", "t", no_ack=True, nowait=True))
    c.read(1)
    c.send(1, Basic.Cancel("t", nowait=True))
    c.call(1, Basic.Qos())


@script()
def consume_nowait_without_a_tag(s: Stage) -> None:
    c = s.open()
    queue(c, "cnwt", 1)
    c.send(1, Basic.Consume(0, "cnwt", "", no_ack=True, nowait=True))
    c.read(1)


@script()
def cancel_unknown(s: Stage) -> None:
    s.open().call(1, Basic.Cancel("never"))


@script()
def exclusive_consumer(s: Stage) -> None:
    a, b = s.open(), s.open()
    a.call(1, Queue.Declare(0, "xc", auto_delete=True))
    a.call(1, Basic.Consume(0, "xc", "a", exclusive=True))
    b.call(1, Basic.Consume(0, "xc", "b"))


@script()
def exclusive_consumer_comes_second(s: Stage) -> None:
    a, b = s.open(), s.open()
    a.call(1, Queue.Declare(0, "xcs", auto_delete=True))
    a.call(1, Basic.Consume(0, "xcs", "a"))
    b.call(1, Basic.Consume(0, "xcs", "b", exclusive=True))


@script()
def consumers_take_turns(s: Stage) -> None:
    c = s.open(1, 2, 3)
    queue(c, "turns")
    for channel in (1, 2, 3):
        c.call(channel, Basic.Consume(0, "turns", f"t{channel}", no_ack=True))
    for n in range(6):
        publish(c, "turns", b"%d" % n)
        c.read(n % 3 + 1)


@script()
def consumer_priorities(s: Stage) -> None:
    c = s.open(1, 2, 3)
    queue(c, "prio")
    c.call(2, Basic.Qos(0, 2, False))
    c.call(3, Basic.Qos(0, 1, False))
    c.call(1, Basic.Consume(0, "prio", "low", arguments={"x-priority": -5}))
    c.call(2, Basic.Consume(0, "prio", "middle"))
    c.call(3, Basic.Consume(0, "prio", "high", arguments={"x-priority": 10}))
    for n, channel in enumerate((3, 2, 2, 1, 1)):
        publish(c, "prio", b"%d" % n)
        c.read(channel)


@script(("text", "high"), ("true", True))
def consumer_priority_refused(s: Stage, value: Any) -> None:
    c = s.open()
    queue(c, f"cpr.{value}")
    c.call(1, Basic.Consume(0, f"cpr.{value}", arguments={"x-priority": value}))


@script()
def queue_deletion_cancels_consumers(s: Stage) -> None:
    a, b = s.open(), s.open()
    a.call(1, Queue.Declare(0, "qdcc"))
    a.call(1, Basic.Consume(0, "qdcc", "gone"))
    b.call(1, Queue.Delete(0, "qdcc"))
    a.read(1)


@script()
def queue_deletion_without_the_capability(s: Stage) -> None:
    a, b = s.open(capabilities={}), s.open()
    a.call(1, Queue.Declare(0, "qdwc"))
    a.call(1, Basic.Consume(0, "qdwc", "gone"))
    b.call(1, Queue.Delete(0, "qdwc"))
    a.call(1, Basic.Cancel("gone"))


@script()
def own_queue_deletion_comes_before_the_cancel(s: Stage) -> None:
    c = s.open()
    c.call(1, Queue.Declare(0, "oqd"))
    c.call(1, Basic.Consume(0, "oqd", "gone"))
    c.call(1, Queue.Delete(0, "oqd"), 2)


# ---- get


@script()
def get_counts_what_is_left(s: Stage) -> None:
    c = s.open()
    queue(c, "gc", 3)
    for _ in range(4):
        c.call(1, Basic.Get(0, "gc"))


@script()
def get_what_is_not_there(s: Stage) -> None:
    s.open().call(1, Basic.Get(0, "nowhere"))


# ---- acknowledgement


@script(
    ("ack unknown", Basic.Ack(5)),
    ("ack zero", Basic.Ack(0)),
    ("ack multiple unknown", Basic.Ack(5, True)),
    ("ack multiple zero", Basic.Ack(0, True)),
    ("nack unknown", Basic.Nack(5)),
    ("nack multiple zero", Basic.Nack(0, True)),
    ("nack multiple unknown", Basic.Nack(9, True)),
    ("reject unknown", Basic.Reject(5)),
    ("reject zero", Basic.Reject(0)),
)
def settle_what_was_not_delivered(s: Stage, method: Any) -> None:
    c = s.open()
    c.send(1, method)
    c.call(1, Basic.Qos())


@script(("ack", Basic.Ack(1)), ("reject", Basic.Reject(1)), ("multiple", Basic.Ack(1, True)))
def settle_twice(s: Stage, method: Any) -> None:
    c = s.open()
    queue(c, f"st.{method.name}.{len(str(dict(method)))}", 1)
    c.call(1, Basic.Get(0, f"st.{method.name}.{len(str(dict(method)))}"))
    c.send(1, method)
    c.send(1, method)
    c.call(1, Basic.Qos())


@script()
def ack_of_a_delivery_without_acks(s: Stage) -> None:
    c = s.open()
    queue(c, "ada", 1)
    c.call(1, Basic.Get(0, "ada", no_ack=True))
    c.send(1, Basic.Ack(1))
    c.call(1, Basic.Qos())


@script()
def ack_on_another_channel(s: Stage) -> None:
    c = s.open(1, 2)
    queue(c, "aac", 1)
    c.call(1, Basic.Get(0, "aac"))
    c.send(2, Basic.Ack(1))
    c.call(2, Basic.Qos())


@script(
    ("reject last", [Basic.Reject(3, True)]),
    ("reject first", [Basic.Reject(1, True)]),
    ("nack all", [Basic.Nack(3, True, True)]),
    ("one by one", [Basic.Reject(1, True), Basic.Reject(2, True), Basic.Reject(3, True)]),
    ("backwards", [Basic.Reject(3, True), Basic.Reject(2, True), Basic.Reject(1, True)]),
    ("nack zero", [Basic.Nack(0, True, True)]),
    ("drop the middle", [Basic.Reject(2, False), Basic.Nack(0, True, True)]),
    ("recover", [Basic.Recover(True)]),
)
def requeue_order(s: Stage, methods: list[Any]) -> None:
    c = s.open()
    name = f"ro.{zlib.crc32(str([dict(m) for m in methods]).encode())}.{methods[0].name}"
    queue(c, name, 5)
    for _ in range(3):
        c.call(1, Basic.Get(0, name))
    c.send(1, *methods)
    if methods[0].name == "Basic.Recover":
        c.read(1)
    drain(c, name)


@script()
def closing_the_channel_requeues(s: Stage) -> None:
    c = s.open(1, 2)
    queue(c, "ccr", 3)
    c.call(2, Basic.Consume(0, "ccr", "t"), 4)
    c.call(2, Channel.Close(200, "", 0, 0))
    drain(c, "ccr")


@script()
def recover_redelivers_to_the_consumer(s: Stage) -> None:
    c = s.open()
    queue(c, "rrc", 2)
    c.call(1, Basic.Consume(0, "rrc", "t"), 3)
    c.call(1, Basic.Recover(True), 3)


@script()
def recover_without_requeue(s: Stage) -> None:
    s.open().call(1, Basic.Recover(False))


@script()
def recover_async(s: Stage) -> None:
    c = s.open()
    queue(c, "ra", 1)
    c.call(1, Basic.Get(0, "ra"))
    c.raw(octets(1, 1, method_payload(60, 100, b"\1")))
    c.call(1, Basic.Get(0, "ra"))


# ---- prefetch


@script()
def prefetch_per_consumer(s: Stage) -> None:
    c = s.open()
    queue(c, "ppc", 5)
    c.call(1, Basic.Qos(0, 2, False))
    c.call(1, Basic.Consume(0, "ppc", "t"), 3)
    c.send(1, Basic.Ack(1))
    c.read(1)
    c.send(1, Basic.Ack(3, True))
    c.read(1, 2)


@script()
def prefetch_per_channel(s: Stage) -> None:
    c = s.open()
    queue(c, "ppch", 6)
    c.call(1, Basic.Qos(0, 3, True))
    c.call(1, Basic.Consume(0, "ppch", "a"), 4)
    c.call(1, Basic.Consume(0, "ppch", "b"))
    c.send(1, Basic.Ack(3, True))
    c.read(1, 3)


@script()
def prefetch_is_for_later_consumers(s: Stage) -> None:
    c = s.open()
    queue(c, "pflc", 4)
    c.call(1, Basic.Consume(0, "pflc", "a"), 5)
    c.call(1, Basic.Qos(0, 1, False))
    publish(c, "pflc", b"more")
    c.read(1)


@script()
def prefetch_size_is_not_there(s: Stage) -> None:
    c = s.open()
    c.send(1, Basic.Qos(1000, 0, False))
    c.read(0)


@script()
def get_ignores_prefetch(s: Stage) -> None:
    c = s.open()
    queue(c, "gip", 3)
    c.call(1, Basic.Qos(0, 1, True))
    for _ in range(3):
        c.call(1, Basic.Get(0, "gip"))


# ---- confirms


@script()
def confirm_select_twice(s: Stage) -> None:
    c = s.open()
    c.call(1, Confirm.Select())
    c.call(1, Confirm.Select())
    c.send(1, Confirm.Select(nowait=True))
    c.call(1, Basic.Qos())


@script()
def confirms_one_by_one(s: Stage) -> None:
    c = s.open()
    queue(c, "cobo")
    c.call(1, Confirm.Select())
    for _ in range(3):
        publish(c, "cobo", delivery_mode=2)
        c.read(1)


@script()
def confirms_count_from_the_select(s: Stage) -> None:
    c = s.open()
    queue(c, "ccfs", 3)
    c.call(1, Confirm.Select())
    publish(c, "ccfs")
    c.read(1)


@script(
    ("tx then confirm", Tx.Select(), Confirm.Select()),
    ("confirm then tx", Confirm.Select(), Tx.Select()),
)
def confirm_and_tx(s: Stage, first: Any, second: Any) -> None:
    c = s.open()
    c.call(1, first)
    c.call(1, second)


# ---- transactions


@script(("commit", Tx.Commit()), ("rollback", Tx.Rollback()))
def tx_without_select(s: Stage, method: Any) -> None:
    s.open().call(1, method)


@script()
def tx_publishes(s: Stage) -> None:
    c = s.open()
    queue(c, "txp")
    c.call(1, Tx.Select())
    c.call(1, Tx.Select())
    publish(c, "txp", b"1")
    publish(c, "txp", b"2")
    c.call(1, Basic.Get(0, "txp", no_ack=True))
    c.call(1, Tx.Commit())
    publish(c, "txp", b"3")
    c.call(1, Tx.Rollback())
    c.call(1, Tx.Commit())
    drain(c, "txp")


@script()
def tx_acknowledgements(s: Stage) -> None:
    c = s.open(1, 2)
    queue(c, "txa", 4)
    c.call(2, Tx.Select())
    c.call(2, Basic.Get(0, "txa"))
    c.call(2, Basic.Get(0, "txa"))
    c.send(2, Basic.Ack(1))
    c.send(2, Basic.Reject(2, True))
    c.call(2, Tx.Rollback())
    c.send(2, Basic.Ack(1))
    c.send(2, Basic.Reject(2, True))
    c.call(2, Tx.Commit())
    drain(c, "txa")


@script()
def tx_returns_at_commit(s: Stage) -> None:
    c = s.open()
    c.call(1, Tx.Select())
    publish(c, "nobody", b"back", mandatory=True)
    c.call(1, Tx.Commit(), 2)


@script()
def tx_publish_to_a_missing_exchange(s: Stage) -> None:
    c = s.open()
    c.call(1, Tx.Select())
    publish(c, "x", exchange="nowhere")
    c.read(1)


@script()
def tx_ack_unknown(s: Stage) -> None:
    c = s.open()
    c.call(1, Tx.Select())
    c.send(1, Basic.Ack(9))
    c.call(1, Tx.Commit())


@script()
def tx_ends_with_the_channel(s: Stage) -> None:
    c = s.open(1, 2)
    queue(c, "tec")
    c.call(2, Tx.Select())
    publish(c, "tec", b"lost", channel=2)
    c.call(2, Channel.Close(200, "", 0, 0))
    c.call(1, Basic.Get(0, "tec"))


# ---- what a guest with few rights may do


@script(
    ("declare queue", Queue.Declare(0, "secret")),
    ("delete queue", Queue.Delete(0, "secret")),
    ("declare exchange", Exchange.Declare(exchange="secret")),
    ("delete exchange", Exchange.Delete(exchange="secret")),
    ("read", Basic.Consume(0, "secret")),
    ("get", Basic.Get(0, "secret")),
    ("purge", Queue.Purge(0, "secret")),
    ("bind source", Queue.Bind(queue="c.q", exchange="amq.direct")),
    ("bind queue", Queue.Bind(queue="secret", exchange="amq.direct")),
    ("unbind queue", Queue.Unbind(queue="secret", exchange="amq.direct")),
    ("exchange bind", Exchange.Bind(destination="secret", source="amq.direct")),
    ("alternate", Exchange.Declare(exchange="c.x", arguments={"alternate-exchange": "secret"})),
    ("dead letter", Queue.Declare(0, "c.q2", arguments={"x-dead-letter-exchange": "secret"})),
    ("passive", Queue.Declare(0, "secret", passive=True)),
    ("allowed", Queue.Declare(0, "c.allowed", auto_delete=True)),
    restricted=True,
)
def refused(s: Stage, method: Any) -> None:
    s.open().call(1, method)


@script(("default", ""), ("direct", "amq.direct"), ("missing", "secret"), restricted=True)
def publish_refused(s: Stage, exchange: str) -> None:
    c = s.open()
    publish(c, "k", exchange=exchange)
    c.read(1)


@script(restricted=True)
def publish_refused_in_a_transaction(s: Stage) -> None:
    c = s.open()
    c.call(1, Tx.Select())
    publish(c, "k", exchange="amq.direct")
    c.read(1)


@script(restricted=True)
def publish_allowed(s: Stage) -> None:
    c = s.open()
    c.call(1, Exchange.Declare(exchange="c.x", auto_delete=True))
    publish(c, "k", exchange="c.x", mandatory=True)
    c.read(1)
    publish(c, "k", exchange="c.missing")
    c.read(1)
