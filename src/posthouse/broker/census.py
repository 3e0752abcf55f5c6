"""Which records of a block are needed, and by whom: what the cleaner asks before it copies them (`docs/format/journal.md`, MOVE).

Kernel: compiled with ``census.pxd``.
"""

from __future__ import annotations

from posthouse.broker.dispatch import QueueCore
from posthouse.broker.walk import Walker
from posthouse.core import layout, mem
from posthouse.journal.block import Block, BlockTable


class Census(Walker):
    """Counts the needed octets of all blocks (`Block.live`; a record once per queue), and notes what needs the watched ones.

    Attributes:
        named: by block, the records and the queues that hold them.
    """

    def __init__(self, blocks: BlockTable, slice_entries: int) -> None:
        super().__init__(blocks, slice_entries)
        self.named: dict[int, set[tuple[int, QueueCore]]] = {}

    def watch(self, block: Block) -> None:
        """Note who needs what of ``block`` in this walk; settlements go to `Dispatcher.settled` from now on."""
        block.is_watched = True
        self.named[block.id] = set()

    def ready(self, queue: QueueCore, block_id: int, offset: int, size: int, flags: int) -> bool:
        """See `Walker.ready`."""
        self.hold(queue, block_id, offset, size, flags)
        return True

    def hold(self, queue: QueueCore, block_id: int, offset: int, size: int, flags: int) -> None:
        """See `Walker.hold`."""
        x = self.blocks.blocks[block_id]
        block = x
        block.live += size
        if block.is_watched:
            self.named[block_id].add((offset, queue))

    def forget(self, settled: list[tuple[int, int, QueueCore]]) -> None:
        """Take out what was settled since the walk began."""
        for block_id, offset, queue in settled:
            found = self.named.get(block_id)
            if found is not None:
                found.discard((offset, queue))

    def frame(self, block: Block) -> bytes:
        """A MOVE frame with the records of a watched block that are needed now; its bytes are in memory.

        Records whose bytes are damaged stay behind: there is nothing to copy.
        """
        queues: dict[int, list[int]] = {}
        for offset, queue in self.named.pop(block.id):
            if not queue.deleted and block.p[offset + 4] == layout.KIND_ENQ:
                numbers = queues.setdefault(offset, [])
                if queue.number:
                    numbers.append(queue.number)
        offsets = sorted(queues)
        if not offsets:
            return b""
        p = block.p
        head = 24 + ((4 * len(offsets) + 7) & ~7)
        size = head
        for offset in offsets:
            size += mem.le32(p, offset)
        out = bytearray(size)
        o = mem.address(out)
        mem.put_le32(o, 0, size)
        mem.put_le32(o, 4, layout.KIND_MOVE)
        mem.put_le64(o, 8, block.base)
        mem.put_le32(o, 16, block.used)
        mem.put_le32(o, 20, len(offsets))
        at = 24
        to = head
        for offset in offsets:
            mem.put_le32(o, at, offset)
            at += 4
            length = mem.le32(p, offset)
            mem.copy(o, to, p, offset, length)
            self.address(out, to, queues[offset])
            to += length
        return bytes(out)

    def address(self, out: bytearray, at: int, numbers: list[int]) -> None:
        """Write who needs the record at ``at``: never more queues than it was published to."""
        o = mem.address(out)
        ids_at = mem.le16(o, at + 6) + mem.le32(o, at + 8) + mem.le32(o, at + 12) + 24
        ids_at = at + ((ids_at + 3) & ~3)
        mem.put_le32(o, at + 16, len(numbers))
        numbers.sort()
        for number in numbers:
            mem.put_le32(o, ids_at, number)
            ids_at += 4
