"""Looks into a node without changing it: what its queues hold, and whether its books balance (ARCHITECTURE.md, section 11)."""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any

from posthouse.broker.queues.queue import Queue
from posthouse.broker.walk import Walker, walk
from posthouse.server.node import Node
from tests.simulation.letters import Name, name_of
from tests.simulation.model import Violation

SIZES = struct.Struct("<HII")


class Inspector:
    """One look: what is out of memory is read aside."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._bytes: dict[int, Any] = {}

    def _block_bytes(self, block: Any) -> Any:
        if not block.is_out:
            return block.data
        found = self._bytes.get(block.id)
        if found is None:
            found = self._bytes[block.id] = bytearray(block.capacity)
            if self._node.blocks.pager.read(block, found) < 0:
                raise Violation(f"block {block.id} at {block.base} cannot be read back")
        return found

    def name(self, block_id: int, offset: int) -> Name:
        """Whose record that is."""
        block = self._node.blocks.blocks[block_id]
        data = self._block_bytes(block)
        if data[offset + 4] != 1:
            raise Violation(f"P7: no record where an entry points, at {block.base + offset}")
        route, props, _ = SIZES.unpack_from(data, offset + 6)
        at = offset + 24 + route
        return name_of(bytes(data[at : at + props]))

    def ready(self, queue: Queue) -> list[tuple[Name, int]]:
        """Names and flags of the ready messages, in order."""
        found = []
        last = -1
        for sequence, block, offset, _, flags in queue.index.entries():
            if sequence <= last:
                raise Violation(f"invariant 5: sequence numbers of queue '{queue.name}' fall")
            last = sequence
            found.append((self.name(block, offset), flags))
        return found

    def all_ready(self) -> dict[int, list[tuple[Name, int]]]:
        """The same for all durable queues, by their number."""
        queues: dict[int, Any] = self._node.broker.durable_queues()
        return {number: self.ready(queue) for number, queue in queues.items()}

    def check_references(self) -> None:
        """Invariant 6, while nothing is on its way to the disk or to clients."""
        node = self._node
        census = _Census(node.blocks)
        queues = [q for vhost in node.broker.vhosts.values() for q in vhost.queues.values()]
        for _ in walk(census, queues, node.dispatcher.holders):
            pass
        counts = census.counts
        logs = [node.dispatcher.transient, node.journal.shard, node.journal._definitions.buffer]
        for log in logs:
            if log.current is not None:
                counts[log.current.id] += 1
        for _, ranges, _ in node.journal._in_flight:
            counts.update(block.id for block, _, _ in ranges)
        live = {block.id for block in node.blocks.blocks if block is not None}
        for number in sorted(live | set(counts)):
            block = node.blocks.blocks[number]
            refs = 0 if block is None else block.refs
            if refs != counts[number]:
                raise Violation(
                    f"invariant 6: block {number} has {refs} references, and {counts[number]} are known"
                )


class _Census(Walker):
    """Counts entries by block."""

    def __init__(self, blocks: Any) -> None:
        super().__init__(blocks, 1 << 40)
        self.counts: Counter[int] = Counter()

    def ready(self, queue: Any, block_id: int, offset: int, size: int, flags: int) -> bool:
        self.counts[block_id] += 1
        return True

    def hold(self, queue: Any, block_id: int, offset: int, size: int, flags: int) -> None:
        self.counts[block_id] += 1
