"""Methods against octets written out by hand from the specification, and RabbitMQ's refusals (seen on 3.10.8)."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.methods import METHODS, decode_method
from posthouse.wire.errors import BadField, SyntaxProblem, UnknownFrame, UnknownMethod

ROOT = pathlib.Path(__file__).resolve().parents[4]

# Class id, method id, arguments as AMQP 0-9-1 §1 orders them.
BY_HAND = [
    (
        methods.ConnectionTuneOk(channel_max=2047, frame_max=131072, heartbeat=60),
        "000a001f 07ff 00020000 003c",
    ),
    (methods.ConnectionOpen(virtual_host="/"), "000a0028 012f 00 00"),
    (methods.ConnectionCloseOk(), "000a0033"),
    (methods.ConnectionBlocked(reason="low on memory"), "000a003c 0d6c6f77206f6e206d656d6f7279"),
    (
        methods.ConnectionUpdateSecret(new_secret=b"s", reason="r"),
        "000a0046 00000001 73 01 72",
    ),
    (methods.ChannelOpen(), "0014000a 00"),
    (methods.ChannelOpenOk(), "0014000b 00000000"),
    (
        methods.ChannelClose(
            reply_code=404, reply_text="no", failing_class_id=50, failing_method_id=10
        ),
        "00140028 0194 026e6f 0032 000a",
    ),
    (
        methods.ExchangeDeclare(exchange="e", type="topic", durable=True, internal=True),
        "0028000a 0000 0165 05746f706963 0a 00000000",
    ),
    (
        methods.ExchangeBind(destination="d", source="s", routing_key=b"k", nowait=True),
        "0028001e 0000 0164 0173 016b 01 00000000",
    ),
    (methods.ExchangeUnbindOk(), "00280033"),
    (
        methods.QueueDeclare(queue="q", durable=True, auto_delete=True, arguments={"x": 1}),
        "0032000a 0000 0171 0a 00000007 0178 49 00000001",
    ),
    (
        methods.QueueDeclareOk(queue="q", message_count=7, consumer_count=2),
        "0032000b 0171 00000007 00000002",
    ),
    (methods.QueueDelete(queue="q", if_empty=True), "00320028 0000 0171 02"),
    (
        methods.BasicQos(prefetch_size=0, prefetch_count=10, global_=True),
        "003c000a 00000000 000a 01",
    ),
    (
        methods.BasicConsume(queue="q", consumer_tag="c", no_ack=True, exclusive=True),
        "003c0014 0000 0171 0163 06 00000000",
    ),
    (
        methods.BasicPublish(exchange="", routing_key=b"\xff", mandatory=True),
        "003c0028 0000 00 01ff 01",
    ),
    (
        methods.BasicDeliver(
            consumer_tag="c", delivery_tag=1 << 40, redelivered=True, exchange="e", routing_key=b"k"
        ),
        "003c003c 0163 0000010000000000 01 0165 016b",
    ),
    (
        methods.BasicGetOk(delivery_tag=3, exchange="", routing_key=b"q", message_count=5),
        "003c0047 0000000000000003 00 00 0171 00000005",
    ),
    (methods.BasicAck(delivery_tag=9, multiple=True), "003c0050 0000000000000009 01"),
    (methods.BasicRecoverAsync(requeue=True), "003c0064 01"),
    (
        methods.BasicNack(delivery_tag=9, multiple=True, requeue=True),
        "003c0078 0000000000000009 03",
    ),
    (methods.ConfirmSelect(nowait=True), "0055000a 01"),
    (methods.TxCommit(), "005a0014"),
]


@pytest.mark.parametrize(("method", "octets"), BY_HAND, ids=lambda v: getattr(v, "name", ""))
def test_speaks_the_octets_of_the_specification(method: methods.Method, octets: str) -> None:
    payload = bytes.fromhex(octets)
    assert method.encode() == payload
    assert decode_method(payload) == method


def test_knows_every_method_of_the_specification_and_of_rabbitmq() -> None:
    names = {kind.name for kind in METHODS.values()}
    assert len(METHODS) == len(names) == 66
    assert {
        "basic.nack",
        "basic.recover-async",
        "access.request",
        "connection.update-secret",
        "connection.unblocked",
        "exchange.unbind",
        "tx.rollback-ok",
    } <= names


def test_names_its_classes_after_their_methods() -> None:
    for code, kind in METHODS.items():
        owner, method = kind.name.split(".")
        assert kind.__name__ == "".join(map(str.capitalize, [owner, *method.split("-")]))
        assert code == kind.class_id << 16 | kind.method_id


def test_only_publish_return_deliver_and_get_ok_carry_content() -> None:
    assert {k.name for k in METHODS.values() if k.has_content} == {
        "basic.publish",
        "basic.return",
        "basic.deliver",
        "basic.get-ok",
    }


def test_generated_code_is_current() -> None:
    tool = ROOT / "tools" / "generate_amqp091.py"
    assert subprocess.run([sys.executable, str(tool), "--check"], check=False).returncode == 0


def test_specification_gives_each_method_its_own_number() -> None:
    spec = json.loads((ROOT / "spec" / "amqp091.json").read_text())
    numbers = [(c["id"], m["id"]) for c in spec["classes"] for m in c["methods"]]
    assert len(set(numbers)) == len(numbers) == len(METHODS)


# --- refusals -----------------------------------------------------------------------------------


def test_refuses_octets_behind_the_arguments() -> None:
    payload = methods.BasicQos(prefetch_count=1).encode() + b"zz"
    with pytest.raises(SyntaxProblem) as caught:
        decode_method(payload)
    assert caught.value.reply_code == 501
    assert caught.value.explanation == "cannot decode <<0,0,0,0,0,1,0,122,122>>"
    assert (caught.value.class_id, caught.value.method_id) == (60, 10)


@pytest.mark.parametrize("kind", METHODS.values(), ids=lambda kind: kind.name)
def test_refuses_arguments_cut_short_at_any_octet(kind: type[methods.Method]) -> None:
    payload = kind().encode()
    for size in range(4, len(payload)):
        with pytest.raises(SyntaxProblem) as caught:
            decode_method(payload[:size])
        assert caught.value.explanation.startswith("cannot decode <<")
        assert caught.value.class_id == kind.class_id


@pytest.mark.parametrize("kind", METHODS.values(), ids=lambda kind: kind.name)
def test_refuses_octets_behind_any_method(kind: type[methods.Method]) -> None:
    with pytest.raises(SyntaxProblem, match="cannot decode"):
        decode_method(kind().encode() + b"\0")


@pytest.mark.parametrize(
    "cut",
    [
        "0032000a 0000 05 61",  # a short string
        "003c0028 0000 05 61",  # one that need not be UTF-8
        "003c0028 0000 00 05 61",  # a routing key
        "000a0015 00000005 61",  # a long string
    ],
)
def test_refuses_strings_longer_than_the_frame(cut: str) -> None:
    with pytest.raises(SyntaxProblem, match="cannot decode"):
        decode_method(bytes.fromhex(cut))


def test_shows_only_the_first_octets_of_long_arguments() -> None:
    with pytest.raises(SyntaxProblem) as caught:
        decode_method(methods.TxCommit().encode() + bytes(100_000))
    assert 255 < len(caught.value.explanation) < 300


@pytest.mark.parametrize(("class_id", "method_id"), [(50, 99), (153, 10), (10, 99), (0, 0)])
def test_refuses_unknown_methods(class_id: int, method_id: int) -> None:
    with pytest.raises(UnknownMethod) as caught:
        decode_method(class_id.to_bytes(2, "big") + method_id.to_bytes(2, "big"))
    assert caught.value.reply_code == 503
    assert caught.value.explanation == "unimplemented method"
    assert (caught.value.class_id, caught.value.method_id) == (class_id, method_id)


@pytest.mark.parametrize("payload", [b"", b"\x00\x32", b"\x00\x32\x00"])
def test_refuses_a_payload_without_its_numbers(payload: bytes) -> None:
    with pytest.raises(UnknownFrame, match=r"^type 1, all octets = <<.*>>: unknown_frame$"):
        decode_method(payload)


def test_refuses_a_table_longer_than_the_frame() -> None:
    payload = methods.QueueDeclare(queue="o1", auto_delete=True).encode()[:-4] + b"\0\0\xff\xff"
    with pytest.raises(SyntaxProblem, match="cannot decode <<0,0,2,111,49,8,0,0,255,255>>"):
        decode_method(payload)


def test_names_the_method_whose_table_is_malformed() -> None:
    payload = methods.QueueDeclare().encode()[:-4] + b"\0\0\0\x03\x01aQ"
    with pytest.raises(BadField) as caught:
        decode_method(payload)
    assert caught.value.reply_code == 502
    assert (caught.value.class_id, caught.value.method_id) == (50, 10)


@pytest.mark.parametrize(
    "payload",
    [
        methods.QueueDeclare(queue="\udcff\udcfe").encode(),
        methods.QueueBind(queue="q", exchange="e", routing_key=b"\xff\xfe").encode(),
        methods.ExchangeBind(source="q", destination="e", routing_key=b"\xff\xfe").encode(),
        methods.BasicConsume(consumer_tag="\udcff").encode(),
        methods.ChannelOpen(reserved_1="\udcc0\udc80").encode(),
    ],
    ids=["queue", "binding key", "exchange binding key", "consumer tag", "overlong"],
)
def test_refuses_names_that_are_not_utf8(payload: bytes) -> None:
    with pytest.raises(SyntaxProblem) as caught:
        decode_method(payload)
    assert caught.value.explanation == "Malformed UTF-8 in shortstr"
    assert (caught.value.class_id, caught.value.method_id) == (0, 0)


def test_publishes_keys_and_exchanges_of_any_octets() -> None:
    method = methods.BasicPublish(exchange="\udcff", routing_key=b"\xff\xfe")
    assert decode_method(method.encode()) == method


def test_reads_a_reply_text_cut_inside_a_character() -> None:
    method = methods.ConnectionClose(reply_code=404, reply_text="no queue '\udcc3")
    assert decode_method(method.encode()) == method


def test_ignores_bits_that_no_argument_has() -> None:
    payload = bytes.fromhex("0032000a 0000 0171 e8 00000000")
    assert decode_method(payload) == methods.QueueDeclare(queue="q", auto_delete=True)


def test_keeps_no_table_between_methods() -> None:
    first, second = methods.QueueDeclare(), methods.QueueDeclare()
    first.arguments["x"] = 1
    assert second.arguments == {}


def test_shows_its_arguments() -> None:
    assert repr(methods.BasicAck(delivery_tag=3)) == "BasicAck(delivery_tag=3, multiple=False)"
    assert methods.BasicAck(delivery_tag=3) != methods.BasicReject(delivery_tag=3)


def test_refuses_to_write_a_short_string_above_255_octets() -> None:
    with pytest.raises(ValueError, match="256"):
        methods.QueueDeclare(queue="q" * 256).encode()
    assert len(methods.QueueDeclare(queue="q" * 255).encode()) == 4 + 2 + 256 + 1 + 4


def test_decodes_what_thousands_of_clients_say_only_once() -> None:
    payload = methods.ConnectionOpen(virtual_host="/").encode()
    assert decode_method(payload) is decode_method(bytes(bytearray(payload)))


@pytest.mark.parametrize(
    "method",
    [
        methods.ConnectionStartOk(mechanism="PLAIN", response=b"\0guest\0guest", locale="en_US"),
        methods.ConnectionSecureOk(response=b"guest"),
        methods.ConnectionUpdateSecret(new_secret=b"guest", reason=""),
        methods.QueueDeclare(queue="q"),
    ],
)
def test_keeps_no_secret_and_no_table(method: methods.Method) -> None:
    payload = method.encode()
    assert decode_method(payload) is not decode_method(bytes(bytearray(payload)))
