"""What must add up in a broker between two batches: references to blocks, counts, and nothing left of clients that went.

ARCHITECTURE.md, section 11. The books are read, never written, and only through what the kernels show.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable

from posthouse.core import layout
from posthouse.protocols.amqp091.channel import Channel
from tests.fuzz.witness import Broken, Witness
from tests.support.inmemory import World

SLOT = struct.Struct("<QIIIIQII")


def outstanding(channel: Channel) -> list[tuple[int, int, int]]:
    """(block, offset, subscriber) of the deliveries of a channel that are not settled."""
    found = []
    for at in range(0, len(channel.unacked.ring), layout.UNACKED_SLOT):
        _, block, offset, _, _, _, subscriber, is_out = SLOT.unpack_from(channel.unacked.ring, at)
        if is_out:
            found.append((block, offset, subscriber))
    if len(found) != channel.unacked.count:
        raise Broken(f"{len(found)} deliveries are outstanding, {channel.unacked.count} counted")
    return found


def check(world: World, peers: Iterable[Witness]) -> None:
    """References, counts and marks. Everything appended is committed by this."""
    world.tick.commit()
    world.settle()
    dispatcher = world.dispatcher
    if dispatcher.has_dirty() or dispatcher.touched or dispatcher.must_commit:
        raise Broken("something is marked and not done")
    expected: Counter[int] = Counter()
    definitions = getattr(world.journal, "_definitions", None)
    logs = [dispatcher.transient, dispatcher.durable, definitions and definitions.buffer]
    for log in logs:
        if log is not None and log.current is not None:
            expected[log.current.id] += 1
    unacked: Counter[int] = Counter()
    for channel in dispatcher.holders:
        for block, _, subscriber in outstanding(channel):
            expected[block] += 1
            unacked[id(channel.subscribers[subscriber].queue)] += 1
    arrivals = channels = connections = 0
    for peer in peers:
        session = peer.session
        channels += len(session.channels)
        connections += session.vhost is not None
        for _, block, _, _ in session.extents:
            expected[block.id] += 1
        if session.arrival is not None:
            expected[session.arrival.block.id] += 1
            arrivals += 1
    if arrivals != dispatcher.arrivals:
        raise Broken(f"{arrivals} messages are arriving, {dispatcher.arrivals} counted")
    limits = world.broker.limits
    counted = limits._user_connections.total(), limits._user_channels.total()
    if counted != (connections, channels):
        raise Broken(f"connections and channels {connections, channels}, counted {counted}")
    for vhost in world.broker.vhosts.values():
        for queue in vhost.queues.values():
            entries = queue.index.entries()
            if sum(size for _, _, _, size, _ in entries) != queue.index.bytes_ready:
                raise Broken(f"queue {queue.name!r}: {queue.index.bytes_ready} octets counted")
            if [entry[0] for entry in entries] != sorted({entry[0] for entry in entries}):
                raise Broken(f"queue {queue.name!r} is out of order")
            if queue.unacked != unacked[id(queue)]:
                raise Broken(f"queue {queue.name!r}: {queue.unacked} unacked were counted")
            expected.update(block for _, block, _, _, _ in entries)
    held = {block.id: block.refs for block in world.blocks.blocks if block is not None}
    if held != dict(expected):
        wrong = {n: (held.get(n), expected.get(n)) for n in held.keys() | expected.keys()}
        wrong = {n: pair for n, pair in wrong.items() if pair[0] != pair[1]}
        raise Broken(f"references to blocks (held, accounted for): {wrong}")


def check_session(peer: Witness) -> None:
    """Whoever does not read has a reason, and every consumer has a queue that knows it (invariant 8)."""
    session = peer.session
    if peer.is_closed or session.vhost is None:
        return
    if peer.is_paused is not session.brake.is_on:
        raise Broken(f"paused: {peer.is_paused}, and a reason for it: {session.brake.is_on}")
    for channel in session.channels.values():
        assert isinstance(channel, Channel)
        for tag, consumer in channel.consumers.items():
            queue = consumer.queue
            if queue.deleted or consumer not in queue.consumers:
                raise Broken(f"consumer {tag!r} of channel {channel.number} has no queue")


def check_nobody(world: World) -> None:
    """All clients are gone: nothing is left of them. Then the queues go too, and all memory comes back."""
    world.tick.commit()
    world.settle()
    world.run_later()
    world.settle()
    dispatcher = world.dispatcher
    if dispatcher.holders or dispatcher.waiters or dispatcher.arrivals or dispatcher.touched:
        raise Broken(
            f"left over: {len(dispatcher.holders)} channels, {len(dispatcher.waiters)} waiters, "
            f"{dispatcher.arrivals} arrivals, {len(dispatcher.touched)} touched"
        )
    for vhost in world.broker.vhosts.values():
        for queue in vhost.queues.values():
            if queue.consumers or queue.unacked or queue.exclusive_owner is not None:
                raise Broken(f"queue {queue.name!r} still belongs to somebody")
    check(world, ())


def check_empty(world: World) -> None:
    """The queues go as well: all memory but the logs' own blocks comes back."""
    for vhost in world.broker.vhosts.values():
        vhost.clear()
    check_nobody(world)
    blocks = [block for block in world.blocks.blocks if block is not None]
    if len(blocks) > 3 or world.blocks.bytes_live != sum(block.capacity for block in blocks):
        raise Broken(f"{len(blocks)} blocks with {world.blocks.bytes_live} octets are left")
