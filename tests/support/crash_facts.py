"""What a client of the broker knows, and when it came to know it: the measure of what must be there after a crash (P1 to P6).

Times are *moments*: how many operations the disk had seen (`recorded_disk`). What was sent at moment m may be on a disk that
saw more than m operations; what was answered at moment m must be on one that saw m.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

NEVER = 1 << 60

# ("queue", name), ("exchange", name), ("binding", exchange, queue, key).
Key = tuple[str, ...]
# The message's number, and whether it was marked as redelivered.
Found = tuple[int, bool]


@dataclass
class Place:
    """A message in one queue.

    Attributes:
        delivered_at: it was seen by a client.
        gone_from: it may be settled: acknowledged, purged, deleted.
        gone_by: it must be.
    """

    delivered_at: int = NEVER
    gone_from: int = NEVER
    gone_by: int = NEVER


@dataclass
class Message:
    """A message that was published.

    Attributes:
        number: unique; its body begins with it.
        order: of publishing, or of the commit of its transaction; 0 for one that was never published.
        places: by queue.
    """

    number: int
    body: bytes
    is_persistent: bool
    places: dict[str, Place]
    order: int = 0
    sent_at: int = NEVER
    confirmed_at: int = NEVER


@dataclass
class Change:
    """A definition is there from some moment on, or is not."""

    is_there: bool
    sent_at: int
    answered_at: int = NEVER


@dataclass
class Transaction:
    """What is published and acknowledged together."""

    messages: list[Message]
    settled: list[tuple[str, Message]]
    sent_at: int
    answered_at: int = NEVER


@dataclass
class Seen:
    """What was found after a crash.

    Attributes:
        queues: messages of each durable queue, in the order of delivery.
        problems: what must not be, whenever the crash was.
    """

    queues: dict[str, list[Found]] = field(default_factory=dict)
    definitions: set[Key] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


class Facts:
    """Everything that is known of one load."""

    def __init__(self) -> None:
        self.messages: dict[int, Message] = {}
        self.changes: dict[Key, list[Change]] = {}
        self.transactions: list[Transaction] = []

    def violations(self, moment: int, seen: Seen) -> list[str]:
        """What is wrong with ``seen`` if the crash was at ``moment``."""
        wrong = list(seen.problems)
        wrong += self._wrong_definitions(moment, seen)
        for queue, found in seen.queues.items():
            wrong += self._wrong_in_queue(moment, queue, found)
        wrong += self._missing(moment, seen)
        wrong += self._half_transactions(moment, seen)
        return wrong

    def _wrong_definitions(self, moment: int, seen: Seen) -> Iterable[str]:
        for key, changes in self.changes.items():
            allowed = {False}
            for change in changes:
                if change.answered_at <= moment:
                    allowed = {change.is_there}
                elif change.sent_at < moment:
                    allowed.add(change.is_there)
            if (key in seen.definitions) not in allowed:
                yield f"{key} is {'there' if key in seen.definitions else 'missing'}"
        for key in seen.definitions - self.changes.keys():
            yield f"{key} was never declared"

    def _wrong_in_queue(self, moment: int, queue: str, found: list[Found]) -> Iterable[str]:
        last = 0
        for number, is_redelivered in found:
            message = self.messages.get(number)
            place = message.places.get(queue) if message else None
            if message is None or place is None or message.sent_at >= moment:
                yield f"{queue}: message {number} was never published to it"
                continue
            if message.order <= last:
                yield f"{queue}: message {number} is out of order, or there twice"
            last = message.order
            if place.gone_by <= moment:
                yield f"{queue}: message {number} is back"
            if place.delivered_at <= moment and not is_redelivered:
                yield f"{queue}: message {number} is delivered again, without a flag"

    def _missing(self, moment: int, seen: Seen) -> Iterable[str]:
        there = {(queue, number) for queue, found in seen.queues.items() for number, _ in found}
        for message in self.messages.values():
            if not message.is_persistent or message.confirmed_at > moment:
                continue
            for queue, place in message.places.items():
                if place.gone_from >= moment and (queue, message.number) not in there:
                    yield f"{queue}: message {message.number} was confirmed and is lost"

    def _half_transactions(self, moment: int, seen: Seen) -> Iterable[str]:
        """A transaction under way is there whole or not at all: nothing else happened since it was sent."""
        there = {(queue, number) for queue, found in seen.queues.items() for number, _ in found}
        for transaction in self.transactions:
            if not transaction.sent_at < moment < transaction.answered_at:
                continue
            done = {
                (queue, message.number) in there
                for message in transaction.messages
                if message.is_persistent
                for queue in message.places
            }
            done |= {
                (queue, message.number) not in there
                for queue, message in transaction.settled
                if message.is_persistent and message.confirmed_at <= transaction.sent_at
            }
            if len(done) > 1:
                yield f"half of the transaction sent at {transaction.sent_at} is there"
