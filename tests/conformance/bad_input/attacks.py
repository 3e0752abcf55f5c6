"""The table: what is sent, in which state of the connection, and what must come back.

An answer is the reply code of ``connection.close``, ``("channel", code)``, or one of the words below. Codes and drops are those of the
specification, and RabbitMQ's where it leaves room (docs/compatibility.md).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tests.conformance.bad_input.octets import (
    EMPTY_MESSAGE,
    HEADER,
    QOS,
    body,
    declare,
    frame,
    header,
    long,
    method,
    nested,
    opening,
    publish,
    short,
    start_ok,
    tune_ok,
)

Answer = int | str | tuple[str, int]

# The protocol header that we speak, then the end.
REFUSED = "protocol header"
# The end without a word.
DROPPED = "dropped"
# Nothing: more is expected. The client's end of the connection is all that follows.
WAITS = "waits"
# As if nothing had been wrong: the next method is answered.
FINE = "fine"

NEW, STARTED, TUNED, OPEN = "new", "started", "tuned", "open"


@dataclass(frozen=True)
class Attack:
    """One sequence; ``state`` says how far the connection is before it."""

    name: str
    state: str
    octets: bytes
    answers: tuple[Answer, ...]


ATTACKS: list[Attack] = []


def add(state: str, name: str, octets: bytes, *answers: Answer) -> None:
    """Put one more into the table."""
    ATTACKS.append(Attack(f"{state}: {name}", state, octets, answers))


# ---- the protocol header

for _name, _octets in {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls hello": bytes.fromhex("16030100c8010000c40303") + bytes(50),
    "amqp 1.0": b"AMQP\0\x01\0\0",
    "amqp 1.0 sasl": b"AMQP\x03\x01\0\0",
    "amqp 0-10": b"AMQP\x01\x01\0\x0a",
    "amqp 0-8": b"AMQP\x01\x01\x08\0",
    "0-9-2": b"AMQP\0\0\x09\x02",
    "0-9-0": b"AMQP\0\0\x09\0",
    "lower case": b"amqp\0\0\x09\x01",
    "zeros": bytes(8),
    "all ones": b"\xff" * 8,
    "wrong first octet": b"X",
    "a frame at once": start_ok(),
    "mqtt connect": bytes.fromhex("101000044d5154540402003c000474657374"),
    "stomp": b"CONNECT\naccept-version:1.2\n\n\0",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
}.items():
    add(NEW, _name, _octets, REFUSED)
for _cut in (1, 4, 7):
    add(NEW, f"{_cut} octets of the header", HEADER[:_cut], WAITS)

# ---- before login

for _name, _octets in {
    "tune-ok": tune_ok(),
    "open": opening(),
    "channel.open": method(20, 10, b"\0"),
    "publish": EMPTY_MESSAGE,
    "queue.declare": declare(),
    "close": method(10, 50, bytes(7), 0),
    "secure-ok": method(10, 21, long(b"x"), 0),
    "heartbeat with payload": frame(8, 0, b"x"),
    "header frame": header(0, channel=0),
    "body frame": body(b"x", 0),
    "unknown class": method(99, 1, b"", 0),
    "unknown frame type": frame(9, 0, b"abc"),
    "wrong frame end": frame(1, 0, b"\0\x0a\0\x0b", b"\0"),
    "frame above 4,096": frame(1, 0, b"\0\x0a\0\x0b", size=4097),
    "64 MB announced": frame(1, 0, b"\0\x0a\0\x0b", size=64 << 20),
    "4 GB announced": frame(1, 0, b"\0\x0a\0\x0b", size=0xFFFFFFFF),
    "start-ok cut short": method(10, 11, long(b"")[:3], 0),
    "start-ok with a lying table": method(10, 11, struct.pack(">I", 1 << 30) + bytes(20), 0),
    "start-ok with a negative table": method(10, 11, b"\xff\xff\xff\xff" + bytes(20), 0),
    "start-ok with a type unknown": start_ok(table=short("a") + b"Q1234"),
    "start-ok nested 1,000 deep": start_ok(table=nested(200)),
    "start-ok with NaN": start_ok(table=short("a") + b"d" + b"\x7f\xf8" + bytes(6)),
}.items():
    add(STARTED, _name, _octets, DROPPED)
for _name, _response in {
    "wrong password": b"\0guest\0wrong",
    "nobody": b"\0nobody\0guest",
    "empty password": b"\0guest\0",
    "empty name": b"\0\0guest",
    "nothing": b"",
    "without zeros": b"guestguest",
    "three zeros": b"\0guest\0guest\0",
    "not utf-8": b"\0\xff\xfe\0guest",
    "for somebody else": b"root\0guest\0guest",
    "long name": b"\0" + b"a" * 3000 + b"\0guest",
}.items():
    add(STARTED, "login: " + _name, start_ok(_response), 403)
add(STARTED, "mechanism unknown", start_ok(mechanism="GSSAPI"), 503)
add(STARTED, "mechanism empty", start_ok(mechanism=""), 503)
add(STARTED, "mechanism of 255 octets", start_ok(mechanism="X" * 255), 503)
add(STARTED, "amqplain: not a table", start_ok(b"\x05LOGINS\xff\xff\xff\xff", "AMQPLAIN"), 403)
add(STARTED, "amqplain: numbers", start_ok(short("LOGIN") + b"I\0\0\0\1", "AMQPLAIN"), 403)
add(STARTED, "login: wrong, and no reason wanted", start_ok(b"\0guest\0no", flags=b""), DROPPED)
add(STARTED, "half a start-ok", start_ok()[:40], WAITS)

# ---- tuning and opening

for _name, _octets in {
    "frame_max above": tune_ok(size=131073),
    "frame_max unlimited": tune_ok(size=0),
    "frame_max below": tune_ok(size=4095),
    "frame_max 4 GB": tune_ok(size=0xFFFFFFFF),
    "channel_max above": tune_ok(channels=2048),
    "channel_max unlimited": tune_ok(channels=0),
    "vhost missing": tune_ok() + opening("nowhere"),
    "vhost empty": tune_ok() + opening(""),
    "vhost with dots": tune_ok() + opening("../../etc"),
    "vhost of 255 octets": tune_ok() + opening("v" * 255),
    "vhost with a zero": tune_ok() + opening(b"/\0"),
}.items():
    add(TUNED, _name, _octets, 530)
add(TUNED, "start-ok again", start_ok(), 504)
add(TUNED, "open without tune-ok", opening(), 504)
add(TUNED, "channel before open", tune_ok() + method(20, 10, b"\0"), 504)
add(TUNED, "publish before open", tune_ok() + EMPTY_MESSAGE, 504)
add(TUNED, "vhost not utf-8", tune_ok() + opening(b"\xff\xfe"), 501)
add(TUNED, "tune-ok cut short", method(10, 31, bytes(3), 0), 501)

# ---- frames

for _kind in (0, 4, 5, 6, 7, 9, 0x41, 0xFF):
    add(OPEN, f"frame type {_kind}", frame(_kind, 1, b"abc"), 501)
for _end in (0, 0xCD, 0xFF):
    add(OPEN, f"frame end {_end}", frame(1, 1, b"\0\x3c\0\x0a" + bytes(7), bytes((_end,))), 501)
for _size in (131073, 1 << 24, 1 << 31, 0xFFFFFFFF):
    add(OPEN, f"frame of {_size}", struct.pack(">BHI", 1, 1, _size) + bytes(500), 501)
add(OPEN, "method frame of 0 octets", frame(1, 1, b""), 501)
add(OPEN, "method frame of 3 octets", frame(1, 1, b"\0\x3c\0"), 501)
add(OPEN, "heartbeat on a channel", frame(8, 1, b""), 505)
add(OPEN, "heartbeat with payload", frame(8, 0, b"x"), 501)
add(OPEN, "half a frame", QOS[:9], WAITS)
add(OPEN, "a frame but for its end", QOS[:-1], WAITS)
add(OPEN, "body frame on channel 0", body(b"x", 0), 505)
add(OPEN, "header frame on channel 0", header(0, channel=0), 505)
add(OPEN, "noise", bytes(range(7, 256)) * 3, 501)

# ---- methods

for _class, _method in (
    (0, 0),
    (10, 99),
    (20, 99),
    (40, 99),
    (50, 99),
    (60, 99),
    (85, 99),
    (90, 99),
    (99, 10),
    (65535, 65535),
):
    add(OPEN, f"method {_class}.{_method}", method(_class, _method), 503)
for _name, _octets in {
    "start on channel 1": method(10, 10, bytes(20)),
    "queue.declare-ok": method(50, 11, short("q") + bytes(8)),
    "basic.deliver": method(60, 60, short("t") + bytes(9) + short("") + short("")),
    "basic.return": method(60, 50, bytes(2) + short("") + short("") + short("")),
    "channel.open-ok": method(20, 11, long(b"")),
    "tx.select-ok": method(90, 11),
    "connection.open on channel 1": method(10, 40, short("/") + b"\0\0"),
}.items():
    add(OPEN, "not a client's: " + _name, _octets, 501, 503, 504)
for _name, _octets in {
    "qos cut short": method(60, 10, bytes(4)),
    "qos too long": method(60, 10, bytes(9)),
    "declare cut in the name": method(50, 10, b"\0\0\x09abc"),
    "declare without flags": method(50, 10, b"\0\0\x03abc"),
    "ack cut short": method(60, 80, bytes(5)),
    "publish cut short": method(60, 40, b"\0\0\x04ab"),
    "publish with more": method(60, 40, b"\0\0\0\x01a\0extra"),
    "consume cut short": method(60, 20, b"\0\0\x01q\x01t"),
    "table beyond the frame": declare(arguments=struct.pack(">I", 500)),
    "table of 2 GB": declare(arguments=struct.pack(">I", 1 << 31)),
}.items():
    add(OPEN, "arguments: " + _name, _octets, 501)
for _what, _octets in {
    "queue": declare(b"\xff\xfe"),
    "queue, cut code point": declare(b"abc\xe2\x82"),
    "queue, overlong": declare(b"\xc0\xaf"),
    "exchange": method(40, 10, b"\0\0" + short(b"\xff") + short("direct") + b"\0" + long(b"")),
    "consumer tag": method(60, 20, b"\0\0" + short("q") + short(b"\xff") + b"\0" + long(b"")),
}.items():
    add(OPEN, f"not utf-8: {_what}", _octets, 501)

# ---- tables

for _name, _inside in {
    "type unknown": short("a") + b"Q1234",
    "key cut short": b"\x09abc",
    "no value": short("a"),
    "number cut short": short("a") + b"I\0\0",
    "string longer than the table": short("a") + b"S" + long(b"abc", 99),
    "string of 4 GB": short("a") + b"S" + long(b"abc", 0xFFFFFFFF),
    "table longer than its table": short("a") + b"F" + long(b"\1", 50),
    "array longer than its table": short("a") + b"A" + long(b"I", 50),
    "array with half a value": short("a") + b"A" + long(b"I\0"),
    "nan": short("a") + b"d\x7f\xf8" + bytes(6),
    "infinity": short("a") + b"d\x7f\xf0" + bytes(6),
    "float nan": short("a") + b"f\x7f\xc0\0\0",
    "decimal cut short": short("a") + b"D\x01\0",
    "bool cut short": short("a") + b"t",
    "nested 10,000 deep": nested(10_000),
    "65 deep": nested(66),
    "arrays 10,000 deep": short("a")
    + b"A"
    + b"".join(struct.pack(">I", 5 * n - 5) + b"A" for n in range(10_000, 1, -1))
    + long(b""),
}.items():
    add(OPEN, f"table: {_name}", declare(arguments=long(_inside)), 502)
    add(OPEN, f"headers: {_name}", publish() + header(0, b"\x20\0" + long(_inside)), 502)
add(OPEN, "table: 60 deep", declare(arguments=long(nested(60))), FINE)
add(OPEN, "table: the same key twice", declare(arguments=long((short("a") + b"t\1") * 2)), FINE)

# ---- contents

for _name, _octets in {
    "header without publish": header(0),
    "body without publish": body(b"x"),
    "method amid content": publish() + QOS,
    "publish amid content": publish() + publish(),
    "body before header": publish() + body(b"x"),
    "two headers": publish() + header(5) + header(5),
    "header of another class": publish() + header(0, class_id=50),
    "weight": publish() + header(0, weight=1),
    "method amid the body": publish() + header(5) + body(b"ab") + QOS,
    "header amid the body": publish() + header(5) + body(b"ab") + header(5),
}.items():
    add(OPEN, "content: " + _name, _octets, 505)
for _name, _octets in {
    "body longer than announced": publish() + header(5) + body(b"123456"),
    "second body longer": publish() + header(5) + body(b"1234") + body(b"56"),
    "large body longer": publish() + header(70_000) + body(bytes(60_000)) + body(bytes(20_000)),
    "body above frame_max": publish()
    + header(400_000)
    + struct.pack(">BHI", 3, 1, 400_000)
    + bytes(1000),
    "header of 2 octets": publish() + frame(2, 1, b"\0\x3c"),
}.items():
    add(OPEN, "content: " + _name, _octets, 501)
add(OPEN, "content: body of 2^63", publish() + header(1 << 63), ("channel", 406))
add(OPEN, "content: body of 2^64 - 1", publish() + header((1 << 64) - 1), ("channel", 406))
add(OPEN, "content: body of 1 GB", publish() + header(1 << 30), ("channel", 406))
add(OPEN, "content: body never comes", publish() + header(100), WAITS)
add(
    OPEN, "content: large body half there", publish() + header(100_000) + body(bytes(50_000)), WAITS
)
for _name, _properties in {
    "flags and nothing behind": b"\xff\xf8",
    "content type cut short": b"\x80\0\x09abc",
    "timestamp cut short": b"\0\x40\0\0\0",
    "headers cut short": b"\x20\0\0\0\0\x09",
    "octets left over": b"\0\0more",
    "continued for ever": b"\0\1" * 40,
}.items():
    add(OPEN, "properties: " + _name, publish() + header(0, _properties), 501, 502, FINE)

# ---- channels

add(OPEN, "channel 0: queue.declare", declare(channel=0), 504)
add(OPEN, "channel 0: publish", publish(channel=0), 504)
add(OPEN, "channel 0: channel.open", method(20, 10, b"\0", 0), 504)
add(OPEN, "channel not open: declare", declare(channel=9), 504)
add(OPEN, "channel not open: header", header(0, channel=9), 505)
add(OPEN, "channel not open: close-ok", method(20, 41, channel=9), 504)
add(OPEN, "channel opened twice", method(20, 10, b"\0"), 504)
add(OPEN, "channel used after close", method(20, 40, bytes(7)) + QOS, 504)
add(
    OPEN,
    "channel above the maximum",
    b"".join(method(20, 10, b"\0", n) for n in range(2, 2050)),
    530,
)
add(OPEN, "tune-ok again", tune_ok(), 504)
add(OPEN, "open again", opening(), 504)

# ---- misuse that closes a channel or the connection

for _name, _octets, _code in (
    ("reserved queue name", declare("amq.mine"), 403),
    (
        "default exchange declared",
        method(40, 10, b"\0\0\0" + short("direct") + b"\0" + long(b"")),
        403,
    ),
    ("default exchange deleted", method(40, 20, b"\0\0\0\0"), 403),
    (
        "exchange type unknown",
        method(40, 10, b"\0\0" + short("x") + short("cubist") + b"\0" + long(b"")),
        406,
    ),
    ("ttl negative", declare(arguments=long(short("x-message-ttl") + b"I\xff\xff\xff\xff")), 406),
    ("ttl a text", declare(arguments=long(short("x-message-ttl") + b"S" + long(b"soon"))), 406),
    ("unknown delivery tag", method(60, 80, struct.pack(">QB", 77, 0)) + QOS, 406),
    ("delivery tag 2^64 - 1", method(60, 80, b"\xff" * 8 + b"\0") + QOS, 406),
    ("confirms after tx", method(90, 10) + method(85, 10, b"\0"), 406),
    ("tx after confirms", method(85, 10, b"\0") + method(90, 10), 406),
    ("length a text", declare(arguments=long(short("x-max-length") + b"S" + long(b"9"))), 406),
    ("length negative", declare(arguments=long(short("x-max-length") + b"I\xff\xff\xff\xff")), 406),
    ("expires 0", declare(arguments=long(short("x-expires") + b"I\0\0\0\0")), 406),
    ("commit without tx", method(90, 20), 406),
    ("missing queue", declare("nowhere", 1), 404),
    ("missing exchange", publish(exchange="nowhere") + header(0), 404),
    ("expiration a word", publish() + header(0, b"\1\0" + short("soon")), 406),
    ("user-id of another", publish() + header(0, b"\0\x10" + short("root")), 406),
):
    add(OPEN, "misuse: " + _name, _octets, ("channel", _code))
add(OPEN, "misuse: immediate", publish(bits=2) + header(0), 540)
add(OPEN, "misuse: prefetch size", method(60, 10, struct.pack(">IHB", 1, 0, 0)), 540)
add(
    OPEN,
    "misuse: consumer tag twice",
    declare("twice")
    + method(60, 20, b"\0\0" + short("twice") + short("t") + b"\0" + long(b"")) * 2,
    530,
)

# ---- odd, but allowed

for _name, _text in {
    "zero": "a\0b",
    "line end": "a\r\nb",
    "dots": "../../etc/passwd",
    "markup": "<script>alert(1)</script>",
    "percent": "%s%n%x",
    "255 octets": "q" * 255,
    "escape": "\x1b[31mred",
}.items():
    add(OPEN, "name with " + _name, declare(_text), FINE)
add(
    OPEN,
    "topic pattern of many #",
    method(40, 10, b"\0\0" + short("many") + short("topic") + b"\4" + long(b""))
    + declare("many")
    + method(
        50, 20, b"\0\0" + short("many") + short("many") + short("#." * 49 + "#") + b"\0" + long(b"")
    )
    + publish(".".join("a" * 120), "many")
    + header(0),
    FINE,
)
