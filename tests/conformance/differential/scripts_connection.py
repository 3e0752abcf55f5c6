"""Handshake, tuning, channels, closing."""

from __future__ import annotations

import struct

from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel, Connection, Queue
from pamqp.header import ContentHeader

from tests.conformance.differential.peer import HEADER, Stage, method_payload, octets, short
from tests.conformance.differential.script import script


@script(
    ("0-9", b"AMQP\x01\x01\x00\x09"),
    ("0-8", b"AMQP\x01\x01\x08\x00"),
    ("0-10", b"AMQP\x01\x01\x00\x0a"),
    ("http", b"GET / HT"),
    ("version 0-9-2", b"AMQP\x00\x00\x09\x02"),
    ("0-9-1", HEADER),
)
def protocol_header(s: Stage, header: bytes) -> None:
    c = s.dial()
    c.raw(header)
    c.read(0)


@script("PLAIN", "AMQPLAIN")
def login(s: Stage, mechanism: str) -> None:
    c = s.dial()
    c.begin()
    if mechanism == "PLAIN":
        c.start_ok()
    else:
        table = short("LOGIN") + b"S\0\0\0\x05guest" + short("PASSWORD") + b"S\0\0\0\x05guest"
        c.start_ok("AMQPLAIN", table)
    c.tune_ok()
    c.call(0, Connection.Open("/"))


@script(
    ("wrong password", "\0guest\0wrong"),
    ("nobody", "\0nobody\0guest"),
    ("empty password", "\0guest\0"),
    ("utf-8 name", "\0gu\u00e9st\0guest"),
)
def login_refused(s: Stage, response: str) -> None:
    c = s.dial()
    c.begin()
    c.start_ok(response=response)


@script()
def login_refused_without_the_capability(s: Stage) -> None:
    c = s.dial()
    c.begin()
    c.start_ok(response="\0guest\0wrong", capabilities={})


@script(
    ("no zeros", "guest"),
    ("one zero", "guest\0guest"),
    ("four parts", "\0guest\0guest\0x"),
    ("authzid", "guest\0guest\0guest"),
    ("empty", ""),
)
def plain_malformed(s: Stage, response: str) -> None:
    c = s.dial()
    c.begin()
    c.start_ok(response=response)


@script(
    ("empty table", b""),
    ("no password", short("LOGIN") + b"S\0\0\0\x05guest"),
    ("wrong password", short("LOGIN") + b"S\0\0\0\x05guest" + short("PASSWORD") + b"S\0\0\0\x01x"),
)
def amqplain_refused(s: Stage, response: bytes) -> None:
    c = s.dial()
    c.begin()
    c.start_ok("AMQPLAIN", response)


@script()
def mechanism_unknown(s: Stage) -> None:
    c = s.dial()
    c.begin()
    c.start_ok("KERBEROS")


@script(
    ("frame_max too high", {"frame_max": 131073}),
    ("frame_max unlimited", {"frame_max": 0}),
    ("frame_max too low", {"frame_max": 4095}),
    ("frame_max least", {"frame_max": 4096}),
    ("channel_max too high", {"channel_max": 2048}),
    ("channel_max unlimited", {"channel_max": 0}),
    ("channel_max least", {"channel_max": 1}),
    ("heartbeat higher", {"heartbeat_s": 600}),
)
def tuned(s: Stage, values: dict[str, int]) -> None:
    c = s.dial()
    c.begin()
    c.start_ok()
    c.tune_ok(**values)
    c.call(0, Connection.Open("/"))


@script(("missing", "nowhere"), ("empty", ""), ("without slash", "%2f"))
def vhost_not_there(s: Stage, vhost: str) -> None:
    c = s.dial()
    c.begin()
    c.start_ok()
    c.tune_ok()
    c.raw(octets(1, 0, method_payload(10, 40, short(vhost) + b"\0\0")))
    c.read(0)


@script()
def close_by_the_client(s: Stage) -> None:
    s.open().call(0, Connection.Close(200, "bye", 0, 0))


@script()
def close_before_open(s: Stage) -> None:
    c = s.dial()
    c.begin()
    c.start_ok()
    c.tune_ok()
    c.call(0, Connection.Close(200, "bye", 0, 0))


@script()
def frames_behind_close_are_dropped(s: Stage) -> None:
    c = s.open()
    c.send(0, Connection.Close(200, "bye", 0, 0))
    c.send(1, Queue.Declare(0, "never"))
    c.read(0)


@script()
def close_ok_ends_an_error(s: Stage) -> None:
    c = s.open()
    c.call(0, Connection.Open("/"))
    c.send(0, Connection.CloseOk())


@script()
def close_crosses_an_error(s: Stage) -> None:
    c = s.open()
    c.call(0, Connection.Open("/"))
    c.call(0, Connection.Close(200, "me too", 0, 0))


@script(
    ("start-ok again", Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US")),
    ("tune-ok again", Connection.TuneOk(0, 0, 0)),
    ("open again", Connection.Open("/")),
    ("open-ok", Connection.OpenOk()),
    ("secure-ok", Connection.SecureOk("x")),
    ("blocked", Connection.Blocked("x")),
)
def out_of_place_on_channel_0(s: Stage, method: object) -> None:
    s.open().call(0, method)


@script(
    ("channel.open on 0", method_payload(20, 10, b"\0")),
    ("queue.declare on 0", method_payload(50, 10, b"\0\0\x01q\0\0\0\0\0")),
    ("basic.publish on 0", method_payload(60, 40, b"\0\0\0\x01q\0")),
)
def channel_methods_on_channel_0(s: Stage, payload: bytes) -> None:
    c = s.open()
    c.raw(octets(1, 0, payload))
    c.read(0)


@script(("header", 2), ("body", 3))
def content_frame_on_channel_0(s: Stage, kind: int) -> None:
    c = s.open()
    c.raw(octets(kind, 0, bytes(14)))
    c.read(0)


@script()
def heartbeats_are_not_answered(s: Stage) -> None:
    c = s.open()
    c.raw(octets(8, 0, b"") * 3)
    c.call(1, Basic.Qos())


@script(("with payload", 0, b"x"), ("on a channel", 1, b""))
def heartbeat_malformed(s: Stage, channel: int, payload: bytes) -> None:
    c = s.open()
    c.raw(octets(8, channel, payload))
    c.read(0)


@script(("4", 4), ("0", 0), ("9", 9), ("255", 255))
def frame_type_unknown(s: Stage, kind: int) -> None:
    c = s.open()
    c.raw(octets(kind, 1, b"abc"))
    c.read(0)


@script()
def frame_end_wrong(s: Stage) -> None:
    c = s.open()
    c.raw(octets(1, 1, method_payload(60, 10, b"\0\0\0\0\0\0\0"), b"\xcd"))
    c.read(0)


@script(("1", 131073), ("many", 10_000_000))
def frame_too_large(s: Stage, size: int) -> None:
    c = s.open()
    c.raw(struct.pack(">BHI", 1, 1, size) + bytes(100))
    c.read(0)


@script(("class 40", 40, 99), ("class 99", 99, 10), ("class 60", 60, 55), ("class 0", 0, 0))
def method_unknown(s: Stage, class_id: int, method_id: int) -> None:
    c = s.open()
    c.raw(octets(1, 1, method_payload(class_id, method_id, b"")))
    c.read(0)


@script()
def access_request_is_no_more(s: Stage) -> None:
    c = s.open()
    c.raw(octets(1, 1, method_payload(30, 10, short("/data") + b"\0")))
    c.read(0)


@script()
def arguments_cut_short(s: Stage) -> None:
    c = s.open()
    c.raw(octets(1, 1, method_payload(50, 10, b"\0\0\x09abc")))
    c.read(0)


@script()
def update_secret_of_an_internal_user(s: Stage) -> None:
    s.open().call(0, Connection.UpdateSecret("guest", "rotation"))


@script()
def channel_opened_twice(s: Stage) -> None:
    s.open(1).call(1, Channel.Open())


@script()
def channel_never_opened(s: Stage) -> None:
    c = s.open(1)
    c.send(7, Queue.Declare(0, "q"))
    c.read(0)


@script()
def content_on_a_channel_never_opened(s: Stage) -> None:
    c = s.open(1)
    c.raw(octets(2, 7, bytes(14)))
    c.read(0)


@script()
def channel_closed_and_opened_again(s: Stage) -> None:
    c = s.open(1)
    c.call(1, Channel.Close(200, "done", 0, 0))
    c.call(1, Channel.Open())
    c.call(1, Queue.Declare(0, "", exclusive=True))


@script()
def close_ok_of_a_channel_that_is_not_closing(s: Stage) -> None:
    c = s.open(1)
    c.send(1, Channel.CloseOk())
    c.call(1, Basic.Qos())


@script()
def channel_close_ok_of_a_channel_never_opened(s: Stage) -> None:
    c = s.open(1)
    c.send(5, Channel.CloseOk())
    c.call(1, Basic.Qos())


@script()
def what_follows_a_channel_error_is_dropped(s: Stage) -> None:
    c = s.open(1)
    c.send(1, Queue.Declare(0, "missing", passive=True))
    c.send(1, Queue.Declare(0, "cc.dropped", exclusive=True))
    c.send(1, Basic.Publish(routing_key="x"), ContentHeader(body_size=1), ContentBody(b"x"))
    c.read(1)
    c.send(1, Channel.CloseOk())
    c.call(1, Channel.Open())
    c.call(1, Queue.Declare(0, "cc.dropped", passive=True))


@script()
def closes_cross_on_a_channel(s: Stage) -> None:
    c = s.open(1)
    c.send(1, Queue.Declare(0, "missing", passive=True))
    c.send(1, Channel.Close(200, "mine", 0, 0))
    c.read(1, 2)


@script()
def an_error_on_one_channel_spares_the_other(s: Stage) -> None:
    c = s.open(1, 2)
    c.call(1, Queue.Declare(0, "missing", passive=True))
    c.call(2, Queue.Declare(0, "", exclusive=True))


@script(("above", 11), ("highest", 10), ("far above", 2000))
def channel_number_and_the_limit(s: Stage, number: int) -> None:
    c = s.dial().open(channel_max=10)
    c.send(number, Channel.Open())
    c.read(number if number <= 10 else 0)


@script()
def more_channels_than_agreed(s: Stage) -> None:
    c = s.dial().open(1, 2, channel_max=2)
    c.send(3, Channel.Open())
    c.read(0)


@script(("off", False), ("on", True))
def channel_flow(s: Stage, active: bool) -> None:
    s.open().call(1, Channel.Flow(active))


@script()
def flow_ok_unasked(s: Stage) -> None:
    c = s.open()
    c.send(1, Channel.FlowOk(True))
    c.read(0)


@script()
def a_server_method_from_the_client(s: Stage) -> None:
    c = s.open()
    c.send(1, Queue.DeclareOk("q", 0, 0))
    c.read(0)
