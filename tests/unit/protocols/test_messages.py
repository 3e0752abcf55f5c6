"""Messages through a channel: publish, consume, get, settle, requeue, qos, confirm, tx (AMQP 0-9-1 §1.8; RabbitMQ)."""

from __future__ import annotations

import pathlib

import pytest

from posthouse.journal import entry
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.fields import Timestamp, Typed
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.inmemory import Peer, World

PERSISTENT = BasicProperties(delivery_mode=2)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def peer(world: World) -> Peer:
    peer = world.peer()
    peer.call(methods.QueueDeclare(queue="q"))
    peer.take()
    return peer


def bodies(peer: Peer) -> list[bytes]:
    return [body for _, body in peer.messages()]


def consume(peer: Peer, queue: str = "q", tag: str = "c", **options: bool) -> None:
    peer.send(methods.BasicConsume(queue=queue, consumer_tag=tag, **options))
    peer.received = [
        (channel, m) for channel, m in peer.received if not isinstance(m, methods.BasicConsumeOk)
    ]


def test_a_message_arrives_as_it_was_sent(peer: Peer) -> None:
    consume(peer, no_ack=True)
    sent = BasicProperties(content_type="text/plain", headers={"a": 1}, message_id="m")
    peer.publish(b"q", b"hello", properties=sent)
    deliver, body = peer.messages()[0]
    assert (deliver.consumer_tag, deliver.delivery_tag, deliver.redelivered) == ("c", 1, False)
    assert (deliver.exchange, deliver.routing_key, body) == ("", b"q", b"hello")


@pytest.mark.parametrize("size", [0, 1, 4087, 4088, 4089, 8176, 70000, 200_000, 700_000])
def test_bodies_of_all_sizes_and_framings(world: World, size: int) -> None:
    sender, receiver = world.peer(), world.peer(frame_max=4096)
    sender.call(methods.QueueDeclare(queue="sizes"))
    consume(receiver, "sizes", no_ack=True)
    body = bytes(i * 31 & 255 for i in range(256)) * (size // 256 + 1)
    body = body[:size]
    sender.publish(b"sizes", body)
    sender.publish(b"sizes", body, frame_max=4096)
    assert bodies(receiver) == [body, body]


def test_the_stream_may_be_cut_anywhere(world: World) -> None:
    peer = world.peer()
    peer.call(methods.QueueDeclare(queue="cut"))
    consume(peer, "cut", no_ack=True)
    peer.take()
    octets = Peer.publish_octets(b"cut", b"first") + Peer.publish_octets(
        b"cut", b"second" * 20, frame_max=50
    )
    for step in (1, 2, 3, 7, 11, 50):
        for at in range(0, len(octets), step):
            peer.octets(octets[at : at + step])
        assert bodies(peer) == [b"first", b"second" * 20]


def test_channels_may_interleave_their_contents(world: World) -> None:
    peer = world.peer()
    peer.send(methods.ChannelOpen(), channel=2)
    peer.call(methods.QueueDeclare(queue="mixed"))
    one = Peer.publish_octets(b"mixed", b"one", channel=1)
    two = Peer.publish_octets(b"mixed", b"two", channel=2)
    method_1 = 8 + int.from_bytes(one[3:7], "big")
    method_2 = 8 + int.from_bytes(two[3:7], "big")
    peer.octets(one[:method_1] + two[:method_2] + one[method_1:] + two[method_2:])
    consume(peer, "mixed", no_ack=True)
    assert sorted(bodies(peer)) == [b"one", b"two"]


def test_get_tells_how_many_are_left(peer: Peer) -> None:
    peer.publish(b"q", b"1")
    peer.publish(b"q", b"2")
    peer.send(methods.BasicGet(queue="q", no_ack=True))
    get, body = peer.messages()[0]
    assert (get.message_count, get.redelivered, body) == (1, False, b"1")
    peer.send(methods.BasicGet(queue="q", no_ack=True))
    assert bodies(peer) == [b"2"]
    assert peer.call(methods.BasicGet(queue="q")) == methods.BasicGetEmpty()


def test_mandatory_without_a_queue_comes_back_before_the_confirm(peer: Peer) -> None:
    peer.call(methods.ConfirmSelect())
    peer.take()
    peer.publish(b"nobody", b"back", mandatory=True)
    items = peer.take()
    returned = items[0]
    assert isinstance(returned, methods.BasicReturn)
    assert (returned.reply_code, returned.reply_text) == (312, "NO_ROUTE")
    assert items[-1] == methods.BasicAck(delivery_tag=1)


def test_publish_to_a_missing_exchange(peer: Peer) -> None:
    peer.publish(b"k", b"x", exchange="missing")
    close = peer.last()
    assert (close.reply_code, close.reply_text) == (
        404,
        "NOT_FOUND - no exchange 'missing' in vhost '/'",
    )
    assert (close.failing_class_id, close.failing_method_id) == (60, 40)


def test_confirms_come_in_order_and_cover_a_batch(peer: Peer) -> None:
    peer.call(methods.ConfirmSelect())
    peer.take()
    peer.octets(b"".join(Peer.publish_octets(b"q", b"x") for _ in range(10)))
    assert peer.take() == [methods.BasicAck(delivery_tag=10, multiple=True)]
    peer.publish(b"q", b"x")
    assert peer.take() == [methods.BasicAck(delivery_tag=11)]


def test_a_persistent_publish_is_confirmed_after_its_commit(tmp_path: pathlib.Path) -> None:
    world = World(str(tmp_path / "data"))
    peer = world.peer()
    peer.call(methods.QueueDeclare(queue="d", durable=True))
    peer.call(methods.ConfirmSelect())
    peer.take()
    done = world.journal.on_committed
    held: list[int] = []
    world.journal.on_committed = held.append
    peer.publish(b"d", b"x", properties=PERSISTENT)
    peer.publish(b"d", b"transient")
    assert peer.take() == []
    for number in held:
        done(number)
    world.settle()
    assert peer.take()[-1].delivery_tag == 2
    world.stop()


def test_a_publish_is_not_confirmed_by_the_commit_that_a_snapshot_makes(
    tmp_path: pathlib.Path,
) -> None:
    world = World(str(tmp_path / "data"))
    peer = world.peer()
    peer.call(methods.QueueDeclare(queue="d", durable=True))
    peer.call(methods.ConfirmSelect())
    peer.take()
    done = world.journal.on_committed
    held: list[int] = []
    world.journal.on_committed = held.append
    world.snapshotter.begin()
    world.snapshotter.step()
    world.loop.run()
    before = list(held)
    assert before
    peer.publish(b"d", b"x", properties=PERSISTENT)
    for number in before:
        done(number)
    world.settle()
    assert peer.take() == []
    for number in held[len(before) :]:
        done(number)
    world.settle()
    assert peer.take() == [methods.BasicAck(delivery_tag=1)]
    world.stop()


def test_requeued_messages_go_back_to_their_place(peer: Peer) -> None:
    for n in range(5):
        peer.publish(b"q", b"%d" % n)
    peer.send(methods.BasicQos(prefetch_count=3))
    consume(peer)
    assert bodies(peer) == [b"0", b"1", b"2"]
    peer.send(methods.BasicCancel(consumer_tag="c"))
    peer.send(methods.BasicNack(delivery_tag=2, requeue=True))
    peer.send(methods.BasicReject(delivery_tag=1, requeue=True))
    peer.take()
    consume(peer, tag="again", no_ack=True)
    messages = peer.messages()
    assert [body for _, body in messages] == [b"0", b"1", b"3", b"4"]
    assert [deliver.redelivered for deliver, _ in messages] == [True, True, False, False]


def test_recover_redelivers_everything_outstanding(peer: Peer) -> None:
    peer.publish(b"q", b"1")
    peer.publish(b"q", b"2")
    consume(peer)
    assert bodies(peer) == [b"1", b"2"]
    peer.send(methods.BasicRecover(requeue=True))
    assert methods.BasicRecoverOk() in peer.received[0]
    messages = peer.messages()
    assert [(d.delivery_tag, d.redelivered, b) for d, b in messages] == [
        (3, True, b"1"),
        (4, True, b"2"),
    ]


def test_prefetch_stops_and_acks_go_on(peer: Peer) -> None:
    peer.send(methods.BasicQos(prefetch_count=2))
    consume(peer)
    for n in range(6):
        peer.publish(b"q", b"%d" % n)
    assert bodies(peer) == [b"0", b"1"]
    peer.send(methods.BasicAck(delivery_tag=1))
    assert bodies(peer) == [b"2"]
    peer.send(methods.BasicAck(delivery_tag=3, multiple=True))
    assert bodies(peer) == [b"3", b"4"]


def test_global_prefetch_is_shared_by_the_channels_consumers(peer: Peer) -> None:
    peer.call(methods.QueueDeclare(queue="r"))
    peer.send(methods.BasicQos(prefetch_count=3, global_=True))
    consume(peer, "q", "a")
    consume(peer, "r", "b")
    peer.take()
    for key in (b"q", b"r") * 3:
        peer.publish(key, key)
    assert len(bodies(peer)) == 3
    peer.send(methods.BasicAck(delivery_tag=0, multiple=True))
    assert len(bodies(peer)) == 3


@pytest.mark.parametrize(
    "settle",
    [
        methods.BasicAck(delivery_tag=2),
        methods.BasicAck(delivery_tag=9, multiple=True),
        methods.BasicReject(delivery_tag=0),
        methods.BasicNack(delivery_tag=2),
    ],
)
def test_unknown_delivery_tags_close_the_channel(peer: Peer, settle: methods.Method) -> None:
    peer.publish(b"q", b"1")
    consume(peer)
    close = peer.call(settle)
    tag = settle.delivery_tag  # type: ignore[attr-defined]  # all of them have one
    assert (close.reply_code, close.reply_text) == (
        406,
        f"PRECONDITION_FAILED - unknown delivery tag {tag}",
    )


def test_acked_twice_is_unknown(peer: Peer) -> None:
    peer.publish(b"q", b"1")
    consume(peer)
    peer.send(methods.BasicAck(delivery_tag=1), methods.BasicAck(delivery_tag=1))
    assert peer.last().reply_code == 406


def test_a_closed_channel_gives_everything_back(world: World, peer: Peer) -> None:
    peer.publish(b"q", b"1")
    peer.publish(b"q", b"2")
    consume(peer)
    peer.take()
    other = world.peer()
    other.call(methods.BasicConsume(queue="q", consumer_tag="o"))
    assert bodies(other) == []
    peer.send(methods.ChannelClose())
    assert [(d.redelivered, b) for d, b in other.messages()] == [(True, b"1"), (True, b"2")]


def test_consumers_take_turns(world: World, peer: Peer) -> None:
    peers = [world.peer() for _ in range(3)]
    for other in peers:
        consume(other, no_ack=True)
    peer.octets(b"".join(Peer.publish_octets(b"q", b"%d" % n) for n in range(9)))
    assert [bodies(other) for other in peers] == [
        [b"0", b"3", b"6"],
        [b"1", b"4", b"7"],
        [b"2", b"5", b"8"],
    ]


def test_higher_priority_is_served_first_while_it_can_take(world: World, peer: Peer) -> None:
    low, high = world.peer(), world.peer()
    consume(low, no_ack=True)
    high.send(methods.BasicQos(prefetch_count=2))
    high.send(methods.BasicConsume(queue="q", consumer_tag="h", arguments={"x-priority": 10}))
    high.take()
    peer.octets(b"".join(Peer.publish_octets(b"q", b"%d" % n) for n in range(4)))
    assert bodies(high) == [b"0", b"1"]
    assert bodies(low) == [b"2", b"3"]


def test_exclusive_consumer_is_alone(world: World, peer: Peer) -> None:
    consume(peer, exclusive=True)
    other = world.peer()
    close = other.call(methods.BasicConsume(queue="q"))
    assert (close.reply_code, close.reply_text) == (
        403,
        "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use",
    )


def test_deleting_the_queue_cancels_its_consumers(world: World, peer: Peer) -> None:
    consume(peer)
    other = world.peer()
    assert other.call(methods.QueueDelete(queue="q")) == methods.QueueDeleteOk(message_count=0)
    assert peer.last() == methods.BasicCancel(consumer_tag="c", nowait=True)


def test_a_slow_reader_stops_deliveries_and_resumes(world: World, peer: Peer) -> None:
    slow = world.peer()
    flush = slow.flush
    slow.flush = lambda: None  # type: ignore[method-assign]  # the socket takes nothing
    slow.send(methods.BasicConsume(queue="q", consumer_tag="s", no_ack=True))
    body = bytes(100_000)
    for _ in range(30):
        peer.publish(b"q", body)
    assert slow.session.on - slow.session.oo < (1 << 20) + 200_000
    assert world.broker.vhosts["/"].queues["q"].ready_count > 15
    slow.flush = flush  # type: ignore[method-assign]
    slow.session.touch()
    world.settle()
    assert len(slow.messages()) == 30


class TestTransactions:
    def test_publishes_appear_at_the_commit(self, peer: Peer) -> None:
        peer.call(methods.TxSelect())
        peer.publish(b"q", b"1")
        assert peer.call(methods.BasicGet(queue="q")) == methods.BasicGetEmpty()
        assert peer.call(methods.TxCommit()) == methods.TxCommitOk()
        peer.take()
        peer.send(methods.BasicGet(queue="q", no_ack=True))
        assert bodies(peer) == [b"1"]

    def test_rollback_drops_publishes_and_restores_settlements(self, peer: Peer) -> None:
        peer.publish(b"q", b"0")
        peer.call(methods.TxSelect())
        peer.send(methods.BasicGet(queue="q"))
        peer.send(methods.BasicAck(delivery_tag=1))
        peer.publish(b"q", b"1")
        assert peer.call(methods.TxRollback()) == methods.TxRollbackOk()
        queue = peer.world.broker.vhosts["/"].queues["q"]
        assert (queue.ready_count, queue.unacked) == (0, 1)
        peer.send(methods.BasicAck(delivery_tag=1), methods.TxCommit())
        assert (queue.ready_count, queue.unacked) == (0, 0)

    def test_commit_without_select(self, peer: Peer) -> None:
        close = peer.call(methods.TxCommit())
        assert close.reply_text == "PRECONDITION_FAILED - channel is not transactional"

    def test_confirm_and_tx_do_not_mix(self, peer: Peer) -> None:
        peer.call(methods.TxSelect())
        close = peer.call(methods.ConfirmSelect())
        assert close.reply_text == "PRECONDITION_FAILED - cannot switch from tx to confirm mode"

    def test_a_transaction_is_one_journal_entry(self, tmp_path: pathlib.Path) -> None:
        world = World(str(tmp_path / "data"))
        peer = world.peer()
        peer.call(methods.QueueDeclare(queue="d", durable=True))
        peer.publish(b"d", b"before", properties=PERSISTENT)
        peer.call(methods.TxSelect())
        peer.send(methods.BasicGet(queue="d"))
        peer.send(methods.BasicAck(delivery_tag=1))
        for n in range(30):
            peer.publish(b"d", bytes(100_000) + b"%d" % n, properties=PERSISTENT)
        assert peer.call(methods.TxCommit()) == methods.TxCommitOk()
        world.stop()
        segment = next((tmp_path / "data" / "shard").glob("*.seg")).read_bytes()
        found, end, _ = entry.scan(bytearray(segment), 0, len(segment), 0, -1)
        assert end == len(segment)
        frames = [int.from_bytes(segment[at + 28 : at + 32], "little") for at, _ in found]
        assert frames.count(31) == 1


class TestRestart:
    def test_durable_things_and_persistent_messages_come_back(self, tmp_path: pathlib.Path) -> None:
        directory = str(tmp_path / "data")
        world = World(directory)
        peer = world.peer()
        peer.send(
            methods.ExchangeDeclare(exchange="x", type="topic", durable=True),
            methods.QueueDeclare(queue="d", durable=True, arguments={"x-max-length": 100}),
            methods.QueueDeclare(queue="t"),
            methods.QueueBind(queue="d", exchange="x", routing_key=b"a.*"),
        )
        for n in range(10):
            peer.publish(b"a.b", b"%d" % n, exchange="x", properties=PERSISTENT)
        peer.publish(b"a.b", b"transient", exchange="x")
        peer.send(methods.BasicQos(prefetch_count=4))
        consume(peer, "d")
        peer.take()
        peer.send(methods.BasicAck(delivery_tag=3))
        peer.send(methods.BasicAck(delivery_tag=1))
        world.stop()

        again = World(directory)
        assert again.recovered == 8
        vhost = again.broker.vhosts["/"]
        assert set(vhost.queues) == {"d"}
        assert vhost.queues["d"].arguments == {"x-max-length": 100}
        other = again.peer()
        consume(other, "d", no_ack=True)
        assert bodies(other) == [b"1", *[b"%d" % n for n in range(3, 10)]]
        other.publish(b"a.c", b"new", exchange="x", properties=PERSISTENT)
        assert bodies(other) == [b"new"]
        again.stop()

    def test_a_deleted_queue_stays_deleted_and_its_id_is_not_used_again(
        self, tmp_path: pathlib.Path
    ) -> None:
        directory = str(tmp_path / "data")
        world = World(directory)
        peer = world.peer()
        peer.call(methods.QueueDeclare(queue="d", durable=True))
        first = world.broker.vhosts["/"].queues["d"].queue_id
        peer.publish(b"d", b"old", properties=PERSISTENT)
        peer.call(methods.QueueDelete(queue="d"))
        peer.call(methods.QueueDeclare(queue="d", durable=True))
        assert world.broker.vhosts["/"].queues["d"].queue_id > first
        world.stop()
        again = World(directory)
        assert again.recovered == 0
        again.stop()

    def test_a_purge_stays(self, tmp_path: pathlib.Path) -> None:
        directory = str(tmp_path / "data")
        world = World(directory)
        peer = world.peer()
        peer.call(methods.QueueDeclare(queue="d", durable=True))
        for n in range(5):
            peer.publish(b"d", b"%d" % n, properties=PERSISTENT)
        peer.send(methods.BasicGet(queue="d"))
        assert peer.call(methods.QueuePurge(queue="d")) == methods.QueuePurgeOk(message_count=4)
        world.stop()
        again = World(directory)
        assert again.recovered == 1
        again.stop()


@pytest.mark.parametrize(
    ("expiration", "problem"),
    [
        ("²", "no_integer"),  # a digit to Python, and no number
        ("٣", "no_integer"),
        ("--5", "no_integer"),
        ("", "no_integer"),
        (" 1", "no_integer"),
        ("1 ", '{leftover_string," "}'),
        ("1e3", '{leftover_string,"e3"}'),
        ("-1", "{value_negative,-1}"),
        ("9" * 100, "{value_too_large,99"),
    ],
)
def test_refuses_an_expiration_that_is_no_number_of_milliseconds(
    peer: Peer, expiration: str, problem: str
) -> None:
    """Found by the session fuzz (seed 4): some of these ended the connection with 541."""
    peer.publish(b"q", b"x", properties=BasicProperties(expiration=expiration))
    close = peer.last()
    assert isinstance(close, methods.ChannelClose)
    assert close.reply_code == 406
    assert close.reply_text.startswith(
        f"PRECONDITION_FAILED - invalid expiration '{expiration}': {problem}"
    )


@pytest.mark.parametrize("expiration", ["0", "+5", "60000", "315360000000"])
def test_takes_an_expiration_in_milliseconds(peer: Peer, expiration: str) -> None:
    peer.publish(b"q", b"x", properties=BasicProperties(expiration=expiration))
    assert peer.call(methods.BasicGet(queue="q", no_ack=True)) is not None
    assert bodies(peer) == [b"x"]


@pytest.mark.parametrize(
    ("value", "kind"),
    [(Timestamp(1 << 63), "timestamp"), (True, "bool"), (1.5, "double"), ("9", "longstr")],
)
def test_refuses_a_consumer_priority_that_is_no_integer(
    peer: Peer, value: object, kind: str
) -> None:
    """Found by the session fuzz (seed 30): a timestamp passed for an integer, and did not fit where it was kept."""
    peer.call(methods.BasicConsume(queue="q", consumer_tag="c", arguments={"x-priority": value}))
    assert peer.last().reply_text == (
        "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': "
        f'"expected integer, got {kind}"'
    )


@pytest.mark.parametrize("value", [Typed("l", -(1 << 63)), Typed("l", (1 << 63) - 1), 0, -1])
def test_takes_a_consumer_priority_of_any_size(peer: Peer, value: object) -> None:
    asked = methods.BasicConsume(queue="q", consumer_tag="c", arguments={"x-priority": value})
    assert isinstance(peer.call(asked), methods.BasicConsumeOk)
