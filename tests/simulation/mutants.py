"""Small ways to break the broker, each of which the simulation must see: what finds nothing may be blind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from posthouse.broker.queues.queue import Queue
from posthouse.journal.local.journal import LocalJournal
from posthouse.journal.local.log import LocalLog
from posthouse.protocols.amqp091.brake import Brake
from posthouse.protocols.amqp091.channel import Channel
from posthouse.protocols.amqp091.transaction import Transaction
from posthouse.server.tick import Tick
from tests.simulation.disk import FaultyFiles

Method = Callable[..., Any]


@contextmanager
def replaced(owner: type, name: str, method: Method) -> Iterator[None]:
    """With another method."""
    before = owner.__dict__.get(name)
    setattr(owner, name, method)
    try:
        yield
    finally:
        if before is None:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


def _confirming_at_once() -> Method:
    commit = LocalJournal.commit

    def mutant(self: Any) -> int:
        number = commit(self)
        self.on_committed(number)
        return number

    return mutant


def _without_sync(self: Any) -> None:
    self._dirty = False


def _forgetting_acks() -> Method:
    commit = Tick.commit

    def mutant(self: Any) -> None:
        self._dispatcher.acked.clear()
        commit(self)

    return mutant


def _trimming_all(self: Any) -> None:
    position = self._shard.buffer.position
    if self._committer is not None and not self.has_failed and not self._shard.buffer.has_pending():
        self._shard.trim(position)


def _requeue_unflagged(
    self: Any, sequence: int, block: int, offset: int, size: int, flags: int
) -> None:
    if self.deleted:
        self.settle(sequence, block, offset, flags)
        return
    self.index.give_back(sequence, block, offset, size, flags)
    self.dispatcher.mark(self)


def _answering_at_once(self: Any, method: Any, nowait: bool = False) -> None:
    if not nowait:
        self.send(method)


# What is broken -> where, and how.
MUTANTS: dict[str, tuple[type, str, Callable[[], Method]]] = {
    "confirms leave before the sync": (LocalJournal, "commit", _confirming_at_once),
    "commits are not synced": (LocalLog, "sync", lambda: _without_sync),
    "directories are not synced": (
        FaultyFiles,
        "sync_directory",
        lambda: lambda _self, _path: None,
    ),
    "acknowledgements are not written": (Tick, "commit", _forgetting_acks),
    "a snapshot counts before the log is durable": (
        LocalJournal,
        "end_snapshot",
        lambda: lambda _self, writer: writer.finish(),
    ),
    "what is needed is trimmed": (LocalJournal, "trim", lambda: _trimming_all),
    "what comes back is not flagged": (Queue, "requeue", lambda: _requeue_unflagged),
    "transactions are torn": (Transaction, "log_size", lambda: lambda _self: 0),
    "definitions are answered at once": (Channel, "reply_durably", lambda: _answering_at_once),
    "publishers are not resumed": (Brake, "_resume", lambda: lambda _self: None),
}


def mutated(name: str) -> Any:
    """A context in which the broker is broken in that way."""
    owner, method, make = MUTANTS[name]
    return replaced(owner, method, make())
