"""What the broker promised, as the clients saw it: which messages each queue holds, for certain or perhaps, and in which order.

The model is told of everything at the moment at which the broker takes it, so within a life it is exact. A death makes part of it
uncertain; `Model.found` then compares with what the next life has, and is exact again. The promises are those of the kill test
(`tests.support.history`): P1, P2, P4 to P7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from posthouse.broker.queues.queue import Queue
from posthouse.core import layout
from tests.simulation.letters import Letter, Name


class Violation(AssertionError):
    """A promise was broken."""


@dataclass(slots=True, eq=False)
class Entry:
    """A message in one queue.

    Attributes:
        order: by which the queue delivers.
        is_sure: it must be there; otherwise it may.
        is_delivered: a client got it, so it is flagged from then on.
        holder: the client's channel that has it and did not settle it.
        acked_at: when the broker took its acknowledgement; -1 before.
    """

    letter: Letter
    shelf: Shelf
    order: int
    is_persistent: bool
    is_sure: bool = True
    is_delivered: bool = False
    holder: Any = None
    acked_at: float = -1.0
    is_purge_answered: bool = False

    @property
    def counts(self) -> bool:
        """Whether a death may take or leave it only by the rules."""
        shelf = self.shelf
        is_at_rest = not shelf.going and not shelf.is_loose
        return self.is_persistent and is_at_rest and self.letter.name not in shelf.purged

    def __str__(self) -> str:
        return f"message {self.letter.name} in queue '{self.shelf.name}'"


@dataclass(slots=True, eq=False)
class Shelf:
    """A queue, from its declaration to its end.

    Attributes:
        is_loose: messages may leave it that nobody told the model of (no-ack consumers).
        purged: what an unanswered purge took; `purge_answered` ones are gone.
        going: it was deleted, and the answer is not there.
    """

    name: str
    queue_id: int
    is_loose: bool = False
    entries: dict[Name, Entry] = field(default_factory=dict)
    acked: dict[Name, Entry] = field(default_factory=dict)
    purged: dict[Name, Entry] = field(default_factory=dict)
    going: bool = False
    found: frozenset[Name] = frozenset()
    queue: Queue | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the queue was deleted in this life."""
        return self.queue is None or self.queue.deleted


@dataclass(slots=True, eq=False)
class Group:
    """A transaction whose commit was taken, and not answered yet."""

    letters: list[Letter]
    acked: list[Entry]
    is_answered: bool = False


@dataclass(frozen=True)
class Death:
    """How a life ended.

    Attributes:
        at: virtual time.
        is_clean: an orderly stop with exit code 0: nothing at all is forgotten.
        trouble_at: when the disk began to be full, or failed; infinite if it was not. What was taken not long before it, or later,
            may be forgotten.
    """

    kind: str
    at: float
    is_clean: bool
    trouble_at: float


class Model:
    """All queues of all lives."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._order = 0
        self.durable: dict[int, Shelf] = {}
        self._by_queue: dict[Queue, Shelf] = {}
        self._groups: list[Group] = []
        self.confirmed = 0
        self.delivered_count = 0
        self.oldest_forgotten_s = 0.0
        self.forgotten = 0
        self.tell: Callable[[str], object] | None = None

    def shelf(self, queue: Queue) -> Shelf:
        """The shelf of a queue of this life."""
        found = self._by_queue.get(queue)
        if found is None:
            found = self.durable.get(queue.queue_id) if queue.queue_id else None
            if found is None:
                is_loose = queue.auto_delete or queue.exclusive_owner is not None
                found = Shelf(queue.name, queue.queue_id, is_loose)
                if queue.queue_id:
                    self.durable[queue.queue_id] = found
            self._by_queue[queue] = found
            found.queue = queue
        return found

    # --- what the broker takes ------------------------------------------------------------------

    def publish(self, letter: Letter, queues: Iterable[Queue]) -> None:
        """A message goes to these queues."""
        letter.is_taken = True
        self._order += 1
        if self.tell is not None:
            self.tell(
                f"{letter.name} goes to {[q.name for q in queues]}, {'' if letter.is_persistent else 'not '}persistent"
            )
        for queue in queues:
            if queue.deleted:
                continue
            shelf = self.shelf(queue)
            is_persistent = letter.is_persistent and queue.queue_id > 0
            entry = Entry(letter, shelf, self._order, is_persistent)
            shelf.entries[letter.name] = entry
            letter.entries.append(entry)

    def settle(self, entry: Entry, now: float) -> None:
        """Acknowledged, or rejected for good."""
        if self.tell is not None:
            self.tell(f"{entry} is settled")
        entry.holder = None
        entry.acked_at = now
        if entry.shelf.entries.pop(entry.letter.name, None) is not None:
            entry.shelf.acked[entry.letter.name] = entry

    def give_back(self, entry: Entry) -> None:
        """It is ready again."""
        if self.tell is not None:
            self.tell(f"{entry} goes back")
        entry.holder = None

    def commit(
        self, letters: list[tuple[Letter, list[Queue]]], acked: list[Entry], now: float
    ) -> Group:
        """A transaction."""
        for letter, queues in letters:
            self.publish(letter, queues)
        for entry in acked:
            self.settle(entry, now)
        group = Group([letter for letter, _ in letters], acked)
        self._groups.append(group)
        return group

    def purge(self, queue: Queue) -> list[Entry]:
        """The ready messages are dropped: returns them. What somebody holds stays, and who holds what is not always known."""
        shelf = self.shelf(queue)
        if self.tell is not None:
            self.tell(f"{queue.name} is purged, {queue.unacked} are held")
        if queue.unacked or shelf.is_loose:
            for entry in shelf.entries.values():
                entry.is_sure = False
            return []
        dropped = list(shelf.entries.values())
        shelf.purged.update(shelf.entries)
        shelf.entries.clear()
        return dropped

    # --- what clients see -----------------------------------------------------------------------

    def confirm(self, letter: Letter) -> None:
        """The broker took responsibility."""
        if self.tell is not None:
            self.tell(f"{letter.name} is confirmed")
        self.confirmed += 1
        if not letter.is_taken:
            raise Violation(f"P1: message {letter.name} was confirmed before it was sent")
        letter.is_confirmed = True

    def answer(self, group: Group) -> None:
        """``tx.commit-ok``."""
        group.is_answered = True
        for letter in group.letters:
            letter.is_confirmed = True

    def deliver(self, shelf: Shelf, name: Name, is_redelivered: bool, holder: Any) -> Entry:
        """A client got a message."""
        self.delivered_count += 1
        if self.tell is not None:
            self.tell(
                f"{name} is delivered from {shelf.name} to {holder}, redelivered {is_redelivered}"
            )
        entry = shelf.entries.get(name)
        if entry is None:
            known = (
                "acknowledged"
                if name in shelf.acked
                else "purged"
                if name in shelf.purged
                else "unknown"
            )
            raise Violation(f"P5: queue '{shelf.name}' delivers message {name}, which is {known}")
        if entry.holder is not None:
            raise Violation(f"P5: {entry} is delivered to {holder} while {entry.holder} has it")
        if entry.is_delivered and not is_redelivered:
            raise Violation(f"P5: {entry} is delivered again without redelivered")
        entry.is_delivered = True
        entry.holder = holder
        return entry

    # --- deaths ---------------------------------------------------------------------------------

    def die(self) -> None:
        """What was only in memory is gone."""
        self._by_queue.clear()
        for shelf in self.durable.values():
            shelf.entries = {n: e for n, e in shelf.entries.items() if e.is_persistent}
            shelf.acked = {n: e for n, e in shelf.acked.items() if e.is_persistent}
            shelf.purged = {n: e for n, e in shelf.purged.items() if e.is_persistent}
            for entry in shelf.entries.values():
                entry.holder = None
            shelf.queue = None

    def found(self, there: dict[int, list[tuple[Name, int]]], death: Death) -> None:
        """Compare with what a new life has: by queue, names and flags in order."""
        for queue_id, shelf in list(self.durable.items()):
            shelf.found = frozenset(name for name, _ in there.get(queue_id, ()))
            if queue_id not in there:
                # Whether it was promised is known to the `Facts`; a confirm promised it too.
                self._compare(shelf, [], death)
                del self.durable[queue_id]
                continue
            self._compare(shelf, there[queue_id], death)
        self._check_groups(death)
        for queue_id, shelf in self.durable.items():
            self._take_over(shelf, there[queue_id])
        self._groups.clear()

    def _compare(self, shelf: Shelf, found: Sequence[tuple[Name, int]], death: Death) -> None:
        last = -1
        names = dict(found)
        if len(names) != len(found):
            raise Violation(
                f"P5: queue '{shelf.name}' holds a message twice after {death.kind}: {found}"
            )
        for name, flags in found:
            entry = shelf.entries.get(name) or self._came_back(shelf, name, death)
            if entry.order <= last:
                raise Violation(f"P6: {entry} changed its place at {death.kind}")
            last = entry.order
            if entry.is_delivered and not flags & layout.REDELIVERED:
                raise Violation(f"P5: {entry} is not flagged after {death.kind}")
        if shelf.is_loose or shelf.going:
            return
        for name, entry in shelf.entries.items():
            is_promised = entry.letter.is_confirmed or death.is_clean
            if entry.is_sure and is_promised and name not in names:
                raise Violation(f"P1: {entry} was confirmed and is lost by {death.kind}")

    def _came_back(self, shelf: Shelf, name: Name, death: Death) -> Entry:
        entry = shelf.acked.get(name)
        if entry is not None:
            age = min(death.at, death.trouble_at) - entry.acked_at
            if death.is_clean or age > self._grace_s:
                raise Violation(
                    f"P4: {entry} was acknowledged {age:.3f} s before {death.kind} and came back"
                )
            self.forgotten += 1
            self.oldest_forgotten_s = max(self.oldest_forgotten_s, age)
            return entry
        entry = shelf.purged.get(name)
        if entry is None:
            raise Violation(
                f"queue '{shelf.name}' has message {name} after {death.kind}, which it had not"
            )
        if entry.is_purge_answered:
            raise Violation(f"P3: {entry} was purged and came back after {death.kind}")
        return entry

    def _check_groups(self, death: Death) -> None:
        for group in self._groups:
            self._check_group(group, death)

    def _check_group(self, group: Group, death: Death) -> None:
        """All or nothing, as far as it was to survive at all."""
        published = (entry for letter in group.letters for entry in letter.entries)
        marks = [
            (str(entry), entry.letter.name in entry.shelf.found)
            for entry in published
            if entry.acked_at < 0 and entry.is_sure and entry.counts
        ]
        # What was never durable itself says nothing by not being there.
        marks += [
            (f"settled {entry}", entry.letter.name not in entry.shelf.found)
            for entry in group.acked
            if entry.letter.is_confirmed and entry.counts
        ]
        if len({is_there for _, is_there in marks}) > 1:
            raise Violation(f"P2: a transaction is there in part after {death.kind}: {marks}")
        if group.is_answered and marks and not marks[0][1]:
            raise Violation(f"P2: an answered transaction is lost by {death.kind}: {marks}")

    def _take_over(self, shelf: Shelf, found: Sequence[tuple[Name, int]]) -> None:
        known = {**shelf.purged, **shelf.acked, **shelf.entries}
        shelf.entries = {}
        for name, _ in found:
            entry = known[name]
            entry.acked_at = -1.0
            entry.is_sure = True
            entry.letter.is_confirmed = True
            shelf.entries[name] = entry
        shelf.acked = {}
        shelf.purged = {}
        shelf.going = False

    # --- the end --------------------------------------------------------------------------------

    def expected(self, queue: Queue) -> list[Entry]:
        """What the queue has now, in order."""
        return sorted(self.shelf(queue).entries.values(), key=lambda entry: entry.order)
