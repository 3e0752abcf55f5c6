"""The per-message road of an AMQP 0-9-1 connection: publishes in, deliveries and confirms out.

`ConnectionCore.parse` walks the received bytes. A complete ``basic.publish`` with its content, on an open channel, to a
known exchange, is laid into a log block and pushed onto its queues right here; ``basic.ack`` is settled here; every
other frame goes to `ConnectionCore.on_frame`, which `posthouse.protocols.amqp091.session.Session` implements in Python. What is
unusual in a publish (unknown exchange, missing permission, mandatory without a queue, a property that needs
checking, pieces that come interleaved) takes the same cold road, so the rules stand in one place only.

Kernel: compiled with ``engine.pxd``. AMQP 0-9-1 §2.3.5 (frames), §1.8 (basic).
"""

from __future__ import annotations

from collections import deque

from posthouse.broker.dispatch import Consumer, Dispatcher, QueueCore
from posthouse.broker.routing import Route, RouteTable
from posthouse.broker.walk import Walker
from posthouse.core import layout, mem
from posthouse.journal.block import Block
from posthouse.protocols.amqp091 import scan
from posthouse.protocols.amqp091.arrival import Arrival
from posthouse.protocols.amqp091.outlet import Outlet
from posthouse.protocols.amqp091.unacked import Unacked

BASIC_PUBLISH = 60 << 16 | 40
BASIC_ACK = 60 << 16 | 80
BASIC_DELIVER = 60 << 16 | 60
BASIC_CLASS = 60 << 16
FRAME_END = 206
# A larger body can only be taken while it arrives, or piece by piece: the shared receive buffer must hold a whole message.
WHOLE_BODY_MAX = 131072
# Bodies that are laid into their block while they arrive: smaller ones are cheaper to copy than to keep account of, larger
# ones do not fit an ordinary block. So many at a time in one node; the others wait or are assembled piece by piece.
ARRIVAL_MIN = 16384
ARRIVAL_MAX = (1 << 20) - 16384
ARRIVALS_MAX = 64


class AmqpConsumer(Consumer):
    """A ``basic.consume``, or the taker of ``basic.get`` deliveries for one queue of a channel.

    Attributes:
        prefix: the deliver frame up to the delivery tag; its size field is filled per delivery.
        number: index in the channel's `subscribers`.
        limit: prefetch count of this consumer, 0 for none.
        unacked: its outstanding deliveries.
    """

    def __init__(
        self,
        queue: QueueCore,
        priority: int,
        channel: ChannelCore,
        tag: str,
        prefix: bytes,
        no_ack: bool,
        limit: int,
    ) -> None:
        self.queue = queue
        self.priority = priority
        self.channel = channel
        self.connection = channel.connection
        self.tag = tag
        self.prefix = prefix
        self.prefix_len = len(prefix)
        self.no_ack = no_ack
        self.limit = limit
        self.unacked = 0
        self.number = 0
        self.exclusive = False

    def take(self, limit: int) -> int:
        """Deliver up to ``limit`` messages, within the prefetch limits and the output's high-water mark."""
        connection = self.connection
        channel = self.channel
        index = self.queue.index
        n = 0
        while n < limit:
            if connection.on - connection.oo + connection.transport_bytes > connection.out_high:
                connection.throttled = True
                self.queue.is_throttled = True
                break
            if channel.is_stopped or connection.stopped:
                break
            if not self.no_ack:
                if self.limit and self.unacked >= self.limit:
                    break
                if channel.limit and channel.unacked.count >= channel.limit:
                    break
            if not index.pop():
                break
            x = connection.dispatcher.blocks.blocks[index.block]
            block = x
            if not block.is_whole and not connection.dispatcher.blocks.bring(block, index.offset):
                self.queue.lose(index.sequence, index.block, index.offset, index.size, index.flags)
                continue
            connection.deliver(self, block, index.offset, index.flags)
            if self.no_ack:
                self.queue.settle(index.sequence, index.block, index.offset, index.flags)
            else:
                channel.unacked.add(
                    channel.delivery_tag,
                    index.block,
                    index.offset,
                    index.size,
                    index.flags,
                    index.sequence,
                    self.number,
                )
                self.unacked += 1
                self.queue.unacked += 1
            n += 1
        if n:
            connection.touch()
        return n

    def cancelled(self) -> None:
        """The queue is gone: the channel tells the client if it understands ``basic.cancel``."""
        self.channel.on_cancelled(self)


class ChannelCore:
    """The hot half of a channel.

    Attributes:
        is_slow: publishes take the cold road (transaction, content being assembled, channel closing).
        is_stopped: nothing is delivered (channel closing, or ``channel.flow`` off).
        published, confirmed: publish sequence numbers given, and answered.
        waiting: (commit number, sequence number) pairs that confirms wait for, rising in both.
        write_ok: names of exchanges whose write permission was checked.
        limit: prefetch of the whole channel (``basic.qos`` with global), 0 for none.
    """

    def __init__(self, connection: ConnectionCore, number: int) -> None:
        self.connection = connection
        self.number = number
        self.unacked = Unacked()
        self.subscribers: list[AmqpConsumer] = []
        self.delivery_tag = 0
        self.limit = 0
        self.is_slow = False
        self.is_stopped = False
        self.is_transactional = False
        self.confirm = False
        self.published = 0
        self.confirmed = 0
        self.is_confirming = False
        self.has_persistent = False
        self.waiting: deque[tuple[int, int]] = deque()
        self.last_commit = 0
        self.write_ok: set[str] = set()
        self.last_ok: object = None
        self.routes_seen = -1
        self.last_route: Route | None = None

    def on_cancelled(self, consumer: AmqpConsumer) -> None:
        """The broker cancelled ``consumer``; implemented by the channel."""
        raise AssertionError("on_cancelled is overridden by the channel")

    def acknowledge(self, tag: int, multiple: bool) -> bool:
        """Settle one outstanding delivery or all up to ``tag`` (0: all); False if the tag is unknown."""
        unacked = self.unacked
        if multiple and tag == 0:
            while unacked.count:
                self.settle(unacked.front())
            return True
        at = unacked.find(tag)
        if at < 0:
            return False
        if multiple:
            p = unacked.p
            while unacked.count:
                at = unacked.front()
                if mem.le64(p, at) > tag:
                    break
                self.settle(at)
        else:
            self.settle(at)
        return True

    def settle(self, at: int) -> None:
        """Settle the delivery in the slot at byte offset ``at``."""
        p = self.unacked.p
        x = self.subscribers[mem.le32(p, at + 32)]
        consumer = x
        queue = consumer.queue
        consumer.unacked -= 1
        queue.unacked -= 1
        queue.acknowledged += 1
        queue.settle(
            mem.le64(p, at + 24), mem.le32(p, at + 8), mem.le32(p, at + 12), mem.le32(p, at + 20)
        )
        self.unacked.clear(at)
        if self.limit:
            self.mark_queues()
        elif not queue.dirty and not queue.deleted:
            queue.dispatcher.mark(queue)

    def requeue(self, at: int) -> None:
        """Give the delivery in the slot at byte offset ``at`` back to its queue."""
        p = self.unacked.p
        x = self.subscribers[mem.le32(p, at + 32)]
        consumer = x
        queue = consumer.queue
        consumer.unacked -= 1
        queue.unacked -= 1
        queue.requeue(
            mem.le64(p, at + 24),
            mem.le32(p, at + 8),
            mem.le32(p, at + 12),
            mem.le32(p, at + 16),
            mem.le32(p, at + 20),
        )
        self.unacked.clear(at)
        if self.limit:
            self.mark_queues()

    def reject(self, tag: int, multiple: bool, requeue: bool) -> bool:
        """``basic.reject`` and ``basic.nack``: as `acknowledge`, giving back when ``requeue``."""
        if not requeue:
            return self.acknowledge(tag, multiple)
        unacked = self.unacked
        if multiple and tag == 0:
            self.requeue_all()
            return True
        at = unacked.find(tag)
        if at < 0:
            return False
        if multiple:
            p = unacked.p
            while unacked.count:
                at = unacked.front()
                if mem.le64(p, at) > tag:
                    break
                self.requeue(at)
        else:
            self.requeue(at)
        return True

    def requeue_all(self) -> None:
        """Give back everything outstanding."""
        while self.unacked.count:
            self.requeue(self.unacked.front())

    def tell(self, walker: Walker) -> None:
        """Tell a walk of the outstanding deliveries."""
        unacked = self.unacked
        p = unacked.p
        i = unacked.first
        while i < unacked.last:
            at = (i & unacked.mask) * layout.UNACKED_SLOT
            if mem.le32(p, at + 36):
                x = self.subscribers[mem.le32(p, at + 32)]
                consumer = x
                queue = consumer.queue
                if not queue.deleted:
                    walker.hold(
                        queue,
                        mem.le32(p, at + 8),
                        mem.le32(p, at + 12),
                        mem.le32(p, at + 16),
                        mem.le32(p, at + 20),
                    )
            i += 1

    def note_get(
        self, getter: AmqpConsumer, block: int, offset: int, size: int, flags: int, sequence: int
    ) -> None:
        """A ``basic.get`` delivery with the current delivery tag is outstanding."""
        self.unacked.add(self.delivery_tag, block, offset, size, flags, sequence, getter.number)
        getter.unacked += 1
        getter.queue.unacked += 1

    def mark_queues(self) -> None:
        """Have the queues of all consumers pumped: the channel can take more."""
        for x in self.subscribers:
            if x is not None:
                consumer = x
                queue = consumer.queue
                if not queue.dirty and not queue.deleted:
                    queue.dispatcher.mark(queue)


class ConnectionCore(Outlet):
    """The hot half of a connection: parsing, deliveries, confirms.

    Attributes:
        frame_max: largest payload accepted (negotiated frame-max less 8).
        stopped: nothing more is parsed (the connection is closing).
        arrival: the large message that is being received, if there is one.
        seen_bytes: octets arrived since the heartbeat timer looked last.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__(dispatcher)
        self.routes: RouteTable | None = None
        self.channels: dict[int, ChannelCore] = {}
        self.current: ChannelCore | None = None
        self.confirming: list[ChannelCore] = []
        self.queue_high = 32 << 20
        self.frame_max = 4096
        self.message_max = 134217728
        self.is_open = False
        self.stopped = False
        self.has_published = False
        self.seen_bytes = False
        self.props = scan.PropsCheck()
        self.arrival: Arrival | None = None
        self.deliveries = 0
        self.publishes = 0

    # --- output ---------------------------------------------------------------------------------

    def on_low(self) -> None:
        """Deliver again: mark the queues of all consumers."""
        for x in self.channels.values():
            channel = x
            channel.mark_queues()

    def committed(self, number: int) -> bool:
        """Commit ``number`` and all before it are durable: confirms and held replies may go.

        Returns whether the connection waits for later commits.
        """
        barriers = self.barriers
        while barriers and barriers[0][0] <= number:
            barriers.popleft()
            self.touch()
        more = len(barriers) > 0
        for x in self.channels.values():
            channel = x
            tag = 0
            waiting = channel.waiting
            while waiting and waiting[0][0] <= number:
                tag = waiting.popleft()[1]
            if tag:
                self.send_confirm(channel, tag)
            if waiting:
                more = True
        return more

    def send_confirm(self, channel: ChannelCore, tag: int) -> None:
        """One ``basic.ack`` for all publishes up to ``tag``."""
        self.room(21)
        o = self.o
        at = self.on
        o[at] = 1
        mem.st16(o, at + 1, channel.number)
        mem.st32(o, at + 3, 13)
        mem.st32(o, at + 7, BASIC_ACK)
        mem.st64(o, at + 11, tag)
        o[at + 19] = tag - channel.confirmed > 1
        o[at + 20] = FRAME_END
        self.on += 21
        channel.confirmed = tag
        self.touch()

    def deliver(self, consumer: AmqpConsumer, block: Block, offset: int, flags: int) -> None:
        """Write one delivery (method, header, body frames) and count the delivery tag."""
        channel = consumer.channel
        channel.delivery_tag += 1
        r = block.p
        route_len = mem.le16(r, offset + 6)
        n = consumer.prefix_len
        props_len = mem.le32(r, offset + 8)
        left = mem.le32(r, offset + 12)
        self.room(n + 10 + route_len + self.content_room(props_len, left))
        o = self.o
        at = self.on
        b = consumer.prefix
        p = b
        mem.copy(o, at, p, 0, n)
        mem.st32(o, at + 3, n + 2 + route_len)
        at += n
        mem.st64(o, at, channel.delivery_tag)
        o[at + 8] = flags & layout.REDELIVERED
        mem.copy(o, at + 9, r, offset + 24, route_len)
        at += 9 + route_len
        o[at] = FRAME_END
        self.on = at + 1
        self.put_content(channel.number, block, offset + 24 + route_len, props_len, left)
        self.deliveries += 1

    # --- input ----------------------------------------------------------------------------------

    def on_frame(self, kind: int, number: int, payload: bytes) -> None:
        """Any frame that is not handled here; implemented by the session."""
        raise AssertionError("on_frame is overridden by the session")

    def on_bad_frame(self, kind: int, size: int, payload: bytes, end: int) -> None:
        """A frame above the limit (``end`` is -1, no payload) or with a wrong end octet."""
        raise AssertionError("on_bad_frame is overridden by the session")

    def on_congested(self, queue: QueueCore) -> None:
        """``queue`` passed the high-water mark by a publish of this connection."""
        raise AssertionError("on_congested is overridden by the session")

    def parse(self, data: bytearray, size: int) -> int:
        """Handle the complete frames in ``data[:size]``; returns how many octets were used up.

        ``data`` is the whole receive buffer: when it is full and nothing was used, a message of many frames is taken
        piece by piece.
        """
        p = mem.address(data)
        at = 0
        capacity = len(data)
        self.seen_bytes = True
        arrival = self.arrival
        if arrival is not None and arrival.in_frame:
            at = self.fill(arrival, p, 0, size)
        while size - at >= 7 and not self.stopped:
            n = mem.ld32(p, at + 3)
            if n > self.frame_max:
                self.on_bad_frame(p[at], n, b"", -1)
                break
            number = mem.ld16(p, at + 1)
            arrival = self.arrival
            if arrival is not None and arrival.number == number:
                if p[at] == 3 and 0 < n <= arrival.left:
                    arrival.begin_frame(n)
                    at = self.fill(arrival, p, at + 7, size)
                    continue
                self.retreat(arrival)
            if size - at < n + 8:
                break
            if p[at + 7 + n] != FRAME_END:
                self.on_bad_frame(p[at], n, mem.take(p, at + 7, n), p[at + 7 + n])
                break
            if p[at] == 1 and n >= 7 and number and self.is_open:
                channel = self.current
                if channel is None or channel.number != number:
                    channel = self.channels.get(number)
                    self.current = channel
                if channel is not None and not channel.is_slow:
                    method = mem.ld32(p, at + 7)
                    if method == BASIC_PUBLISH:
                        used = self.publish(channel, p, at, size)
                        if used > 0:
                            at += used
                            continue
                        if used == 0 and not (at == 0 and size == capacity):
                            break
                    elif method == BASIC_ACK and n == 13:
                        if channel.acknowledge(mem.ld64(p, at + 11), p[at + 19] & 1 == 1):
                            at += 21
                            continue
            self.on_frame(p[at], number, mem.take(p, at + 7, n))
            at += n + 8
        self.finish_batch()
        return at

    def finish_batch(self) -> None:
        """Answer, or note for later, the confirms of what this batch published."""
        if not self.confirming:
            return
        dispatcher = self.dispatcher
        for x in self.confirming:
            channel = x
            channel.is_confirming = False
            if channel.is_stopped or channel.published == channel.confirmed:
                continue
            if channel.has_persistent:
                channel.has_persistent = False
                channel.last_commit = dispatcher.next_commit
                channel.waiting.append((channel.last_commit, channel.published))
                dispatcher.must_commit = True
                dispatcher.waiters[self] = None
            elif channel.waiting:
                channel.waiting.append((channel.last_commit, channel.published))
            else:
                self.send_confirm(channel, channel.published)
        self.confirming.clear()

    def publish(self, channel: ChannelCore, p: bytearray, at: int, size: int) -> int:
        """Take a whole plain publish at ``p[at]``.

        Returns the octets used, 0 when the message is not complete yet, -1 for the cold road.
        """
        n = mem.ld32(p, at + 3)
        route_at = at + 13
        route_len = n - 7
        if route_len < 2 or p[route_at] + 2 > route_len:
            return -1
        if p[route_at] + p[route_at + 1 + p[route_at]] + 2 != route_len:
            return -1
        header = at + n + 8
        limit = ARRIVAL_MAX if self.message_max > ARRIVAL_MAX else self.message_max
        end = scan.find_end(channel.number, p, header, size, self.frame_max, limit)
        if end < 0 or (
            end == 0 and (size - header < 7 or size - header < mem.ld32(p, header + 3) + 8)
        ):
            return end
        props_at = header + 19
        props_len = mem.ld32(p, header + 3) - 12
        if not self.props.is_plain(p, props_at, props_len):
            return -1
        route = channel.last_route
        routes = self.routes
        assert routes is not None
        if (
            route is None
            or channel.routes_seen != routes.generation
            or route.blob_len != route_len
            or not route.matches(p, route_at)
        ):
            route = routes.find(p, route_at, route_len)
            channel.last_route = route
            channel.routes_seen = routes.generation
        if not route.plain:
            return -1
        if route.exchange is not channel.last_ok:
            if route.exchange not in channel.write_ok:
                return -1
            channel.last_ok = route.exchange
        bits = p[at + n + 6]
        if bits and (bits != 1 or route.queue_count == 0):
            return -1
        if end == 0:
            return self.welcome(channel, p, at, header)
        self.count_publish(channel)
        if route.queue_count:
            persistent = self.props.persistent and route.ids_len > 0
            self.lay(
                channel, route, persistent, p, route_at, route_len, props_at, props_len, header
            )
        return end - at

    def count_publish(self, channel: ChannelCore) -> None:
        """Give the publish its sequence number if the channel confirms."""
        self.publishes += 1
        if channel.confirm:
            channel.published += 1
            if not channel.is_confirming:
                channel.is_confirming = True
                self.confirming.append(channel)

    def lay(
        self,
        channel: ChannelCore,
        route: Route,
        persistent: bool,
        p: bytearray,
        route_at: int,
        route_len: int,
        props_at: int,
        props_len: int,
        header: int,
    ) -> None:
        """Lay the message of the checked frames into its log and push it onto the route's queues."""
        dispatcher = self.dispatcher
        log = dispatcher.transient
        ids_len = 0
        flags = 0
        if persistent and dispatcher.durable is not None:
            log = dispatcher.durable
            ids_len = route.ids_len
            flags = layout.RECORD_PERSISTENT
            channel.has_persistent = True
            dispatcher.must_commit = True
        left = mem.ld64(p, header + 11)
        offset = log.open_record(
            flags, p, route_at, route_len, p, props_at, props_len, left, route.ids, ids_len
        )
        block = log.current
        assert block is not None
        q = block.p
        target = offset + 24 + route_len + props_len
        source = props_at + props_len + 8
        while left:
            n = mem.ld32(p, source - 4)
            mem.copy(q, target, p, source, n)
            target += n
            source += n + 8
            left -= n
        self.push(route.queues, route.queue_count, block, offset, flags)

    # --- large messages -------------------------------------------------------------------------

    def welcome(self, channel: ChannelCore, p: bytearray, at: int, header: int) -> int:
        """Open the record of a plain publish at ``p[at]`` whose body is not there yet; returns as `publish`."""
        left = mem.ld64(p, header + 11)
        dispatcher = self.dispatcher
        if left < ARRIVAL_MIN or self.arrival is not None or dispatcher.arrivals >= ARRIVALS_MAX:
            return 0 if left <= WHOLE_BODY_MAX else -1
        route_len = mem.ld32(p, at + 3) - 7
        props_len = mem.ld32(p, header + 3) - 12
        log = dispatcher.transient
        offset = log.open_record(0, p, at + 13, route_len, p, header + 19, props_len, left, b"", 0)
        block = log.current
        assert block is not None
        target = offset + 24 + route_len + props_len
        self.arrival = Arrival(channel.number, block, offset, target, left, self.props.persistent)
        dispatcher.arrivals += 1
        return header + 20 + props_len - at

    def fill(self, arrival: Arrival, p: bytearray, at: int, size: int) -> int:
        """Take ``p[at:size]`` as far as it belongs to the frame that `arrival` is in; returns where it ends."""
        at += arrival.fill(p, at, size)
        if arrival.gap == 0 and at < size:
            if p[at] != FRAME_END:
                self.on_bad_frame(3, arrival.frame_size, arrival.frame(), p[at])
            arrival.in_frame = False
            at += 1
            if arrival.number < 0 or self.stopped:
                self.drop_arrival()
            elif arrival.left == 0:
                self.complete(arrival)
        return at

    def complete(self, arrival: Arrival) -> None:
        """All of the body is there. Routes and permissions may have changed meanwhile: then the cold road decides."""
        channel = self.channels[arrival.number]
        block = arrival.block
        offset = arrival.offset
        r = block.p
        route_len = mem.le16(r, offset + 6)
        routes = self.routes
        assert routes is not None
        route = routes.find(r, offset + 24, route_len)
        if not route.plain or route.exchange not in channel.write_ok or channel.is_slow:
            self.retreat(arrival)
            return
        self.count_publish(channel)
        if route.queue_count:
            log = self.dispatcher.durable
            if arrival.is_persistent and route.ids_len and log is not None:
                props_len = mem.le32(r, offset + 8)
                left = mem.le32(r, offset + 12)
                props_at = offset + 24 + route_len
                at = log.open_record(
                    layout.RECORD_PERSISTENT,
                    r,
                    offset + 24,
                    route_len,
                    r,
                    props_at,
                    props_len,
                    left,
                    route.ids,
                    route.ids_len,
                )
                kept = log.current
                assert kept is not None
                size = route_len + props_len
                mem.copy(kept.p, at + 24 + size, r, offset + 24 + size, left)
                channel.has_persistent = True
                self.dispatcher.must_commit = True
                self.push(route.queues, route.queue_count, kept, at, layout.RECORD_PERSISTENT)
            else:
                self.push(route.queues, route.queue_count, block, offset, 0)
        self.drop_arrival()

    def retreat(self, arrival: Arrival) -> None:
        """Give what came so far to the cold road, frame by frame, as if it had come there at first."""
        number = arrival.number
        block = arrival.block
        r = block.p
        offset = arrival.offset
        route_len = mem.le16(r, offset + 6)
        props_len = mem.le32(r, offset + 8)
        body_len = mem.le32(r, offset + 12)
        props_at = offset + 24 + route_len
        route = mem.take(r, offset + 24, route_len)
        props = mem.take(r, props_at, props_len)
        body = mem.take(r, props_at + props_len, body_len - arrival.left)
        self.drop_arrival()
        self.on_frame(1, number, b"\0\x3c\0\x28\0\0" + route + b"\0")
        self.on_frame(2, number, b"\0\x3c\0\0" + body_len.to_bytes(8, "big") + props)
        if body:
            self.on_frame(3, number, body)

    def abandon(self, number: int) -> None:
        """Channel ``number`` is closing: what is arriving there is dropped, once the frame it is in has ended."""
        arrival = self.arrival
        if arrival is not None and arrival.number == number:
            arrival.number = -1
            if not arrival.in_frame:
                self.drop_arrival()

    def drop_arrival(self) -> None:
        """Let go of the record that was being filled; harmless when there is none."""
        arrival = self.arrival
        if arrival is not None:
            self.arrival = None
            self.dispatcher.arrivals -= 1
            self.dispatcher.blocks.unpin(arrival.block)

    def push(
        self, queues: list[QueueCore], count: int, block: Block, offset: int, flags: int
    ) -> None:
        """Push the record at ``offset`` of ``block`` onto the first ``count`` of ``queues``."""
        size = mem.le32(block.p, offset)
        dispatcher = self.dispatcher
        block.refs += count
        for i in range(count):
            queue = queues[i]
            if flags and queue.number:
                queue.index.push(block.id, offset, size, layout.PERSISTENT)
            else:
                queue.index.push(block.id, offset, size, 0)
            queue.published += 1
            if not queue.dirty:
                queue.dirty = True
                dispatcher.dirty.append(queue)
            if queue.is_throttled and queue.index.bytes_ready > self.queue_high:
                self.on_congested(queue)

    def enqueue(
        self,
        channel: ChannelCore,
        queues: list[QueueCore],
        durable_ids: bytes,
        persistent: bool,
        route: bytes,
        props: bytes,
        body: bytes,
    ) -> None:
        """The cold road's end: lay a message built from whole parts and push it onto ``queues``."""
        if not queues:
            return
        dispatcher = self.dispatcher
        log = dispatcher.transient
        flags = 0
        ids = b""
        if persistent and durable_ids and dispatcher.durable is not None:
            log = dispatcher.durable
            flags = layout.RECORD_PERSISTENT
            ids = durable_ids
            channel.has_persistent = True
            dispatcher.must_commit = True
        offset = log.append_message(flags, route, props, body, ids)
        block = log.current
        assert block is not None
        self.push(queues, len(queues), block, offset, flags)
