"""A world whose disk does something only when it is told to: commits wait, and whoever waits for them."""

from __future__ import annotations

from typing import Any

from posthouse.core.config import LimitsConfig
from posthouse.testing.files import MemoryFiles
from posthouse.wire.amqp091 import methods
from tests.support.inmemory import Peer, World
from tests.support.journals import StepCommitter


class SlowDisk:
    """Commits are handed over by the world, and carried out by `disk`."""

    def __init__(self, limits: LimitsConfig | None = None) -> None:
        self.world = World("/data", files=MemoryFiles(), make_committer=self._make, limits=limits)
        self.disk()

    def _make(self, *arguments: Any) -> StepCommitter:
        self.committer = StepCommitter(*arguments)
        return self.committer

    def disk(self) -> None:
        """Everything handed over is written, synced and reported, again until nothing is left."""
        while self.committer.queue or self.committer.written:
            self.committer.write()
            self.committer.sync()
            self.world.settle()

    def peer(self) -> Peer:
        """A client with channel 1; nothing of its coming waits any more."""
        peer = Peer(self.world)
        peer.open(channel=False)
        peer.send(methods.ChannelOpen())
        self.disk()
        peer.take()
        return peer
