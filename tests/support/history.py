"""What the kill test knows: every confirm, commit, delivery and acknowledgement; and the verdict over them.

The promises that are checked (design: a confirm leaves only after the entry that holds the message is durable; acks are lazy, at most
5 ms; a transaction is one entry):

- no confirmed message is missing from any of its queues, and none is in a queue twice;
- a message is delivered a second time only with the redelivered flag;
- a producer's messages keep their order, in the archive over all kills, and within a consumer's session elsewhere;
- a transaction is there whole or not at all: groups of messages, and messages moved by ack and publish;
- definitions that were answered are there, those whose deletion was answered are not (`definer`);
- an acknowledgement that was sent a second before the end of its connection is not forgotten.
"""

from __future__ import annotations

import struct
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

ACK_GRACE_S = 1.0
_body = struct.Struct(">4sIII")
MAGIC = b"LTTR"


class Identity(NamedTuple):
    """A message: its producer and its number there."""

    producer: int
    number: int


def body_size(number: int) -> int:
    """Mostly small; some span several kilobytes, a few several frames and a good part of a block."""
    if number % 2003 == 2002:
        return 300_000
    if number % 97 == 96:
        return 5_000
    return 16 + number * 7919 % 200


def make_body(producer: int, number: int) -> bytes:
    """Magic, producer, number, size, and a filling that depends on the number."""
    size = body_size(number)
    head = _body.pack(MAGIC, producer, number, size)
    return head + bytes([number % 251]) * (size - 16)


def read_body(body: bytes) -> Identity:
    """The message that a body belongs to.

    Raises:
        ValueError: it is not byte for byte what was published.
    """
    if len(body) >= 16:
        _, producer, number, _ = _body.unpack_from(body)
        if body == make_body(producer, number):
            return Identity(producer, number)
    raise ValueError(f"a body of {len(body)} bytes that nobody published: {body[:64]!r}")


class Session:
    """The life of one connection; `ended` is when it was cut or its broker killed."""

    def __init__(self) -> None:
        self.ended: float | None = None
        self.last: dict[
            tuple[str, int, bool], int
        ] = {}  # queue, producer, redelivered -> last number

    def end(self) -> None:
        if self.ended is None:
            self.ended = time.monotonic()


@dataclass
class Verdict:
    """Counts of broken promises; all must be zero. `examples` has the first of each kind."""

    lost: int = 0
    duplicates: int = 0
    order: int = 0
    half_transactions: int = 0
    definitions: int = 0
    forgotten_acks: int = 0
    refused: int = 0
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, example: str) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        self.examples.setdefault(kind, example)

    @property
    def is_clean(self) -> bool:
        return not self.examples and not self.refused


class History:
    """Facts as they come in; the checks that need no end are made at once, the others by `judge`."""

    def __init__(self) -> None:
        self.confirmed: dict[str, list[Identity]] = defaultdict(list)  # by routing key
        self.moved: set[Identity] = set()
        self.refused = 0
        self.deliveries = 0
        self.redeliveries = 0
        self.oldest_forgotten_ms = 0.0  # also below the grace: what a kill really costs
        self.acks_beyond_grace = 0
        self.verdict = Verdict()
        self._seen: dict[str, set[Identity]] = defaultdict(set)
        self._acks: dict[tuple[str, Identity], tuple[float, Session]] = {}
        self._groups: list[tuple[list[Identity], bool]] = []  # messages, whether to be rolled back
        self._committed: set[Identity] = set()
        self._behind: Counter[int] = Counter()  # by producer: confirmed and not yet acknowledged

    # ---- facts

    def confirm(self, key: str, identity: Identity) -> None:
        """The broker took a message over."""
        self.confirmed[key].append(identity)
        self._behind[identity.producer] += 1

    def behind(self, producer: int) -> int:
        """About how many of a producer's messages wait for their acknowledgement."""
        return self._behind[producer]

    def delivered(
        self, queue: str, identity: Identity, redelivered: bool, session: Session, strict: bool
    ) -> None:
        """A consumer got a message."""
        self.deliveries += 1
        self.redeliveries += redelivered
        seen = self._seen[queue]
        if identity in seen and not redelivered:
            self.verdict.add("duplicates", f"{queue}: {identity} again without redelivered")
        seen.add(identity)
        # What was never requeued keeps its order; where nobody requeues, so does the rest within a session.
        if strict or not redelivered:
            place = (queue, identity.producer, redelivered and not strict)
            if session.last.get(place, -1) >= identity.number:
                self.verdict.add("order", f"{queue}: {identity} after {session.last[place]}")
            session.last[place] = identity.number
        known = self._acks.get((queue, identity))
        if known is not None:
            self._check_forgotten(queue, identity, *known)

    def acked(self, queue: str, identity: Identity, session: Session) -> None:
        """A consumer's acknowledgement was sent."""
        if (queue, identity) not in self._acks:
            self._behind[identity.producer] -= 1
        self._acks[queue, identity] = (time.monotonic(), session)

    def move(self, identities: list[Identity]) -> None:
        """A transaction that took messages from one queue and put them into another was committed."""
        self.moved.update(identities)
        for identity in identities:
            self._behind[identity.producer] -= 1

    def open_group(self, group: list[Identity]) -> bool:
        """A transaction is about to be sent; returns whether it shall be rolled back."""
        rolled_back = len(self._groups) % 7 == 6
        self._groups.append((list(group), rolled_back))
        return rolled_back

    def commit_group(self, group: list[Identity]) -> None:
        self._committed.update(group)

    def _check_forgotten(
        self, queue: str, identity: Identity, sent: float, session: Session
    ) -> None:
        """An acknowledged message came again: that is right only if the connection ended soon after the ack."""
        if session.ended is None:
            self.verdict.add("forgotten_acks", f"{queue}: {identity} while its session lives")
            return
        age = session.ended - sent
        self.oldest_forgotten_ms = max(self.oldest_forgotten_ms, age * 1000.0)
        if age >= ACK_GRACE_S:
            self.verdict.add("forgotten_acks", f"{queue}: {identity}, acked {age:.3f} s before")

    # ---- the end

    def judge(self, left: dict[str, list[Identity]], routes: dict[str, list[str]]) -> Verdict:
        """The verdict, when nobody sends any more.

        `left` has what each queue held at the end, in order, queues that nobody reads before among them (archive and the
        transactions'); `routes` says to which queues a routing key leads.
        """
        for sent, session in self._acks.values():
            if session.ended is not None and session.ended - sent >= ACK_GRACE_S:
                self.acks_beyond_grace += 1
        for queue, identities in left.items():
            self._judge_archive(queue, identities)
        for key, identities in self.confirmed.items():
            for queue in routes[key]:
                there = self._seen[queue] | set(left.get(queue, []))
                for identity in set(identities) - there:
                    self.verdict.add("lost", f"{queue}: {identity}")
        self.verdict.refused = self.refused
        return self.verdict

    def judge_groups(self, present: list[Identity]) -> None:
        """Groups of transactions: whole or not at all, and there if committed, and gone if rolled back."""
        there = set(present)
        for group, rolled_back in self._groups:
            found = sum(identity in there for identity in group)
            if found not in (0, len(group)):
                self.verdict.add("half_transactions", f"{found} of {len(group)}: {group[0]}")
            elif found and rolled_back:
                self.verdict.add("half_transactions", f"rolled back, but there: {group[0]}")
            elif not found and group[0] in self._committed:
                self.verdict.add("lost", f"the transaction of {group[0]}")

    def judge_moved(self, key: str, source: list[Identity], target: list[Identity]) -> None:
        """Ack and publish in one transaction: each message is in one of the two queues, never in both or none."""
        before, after = set(source), set(target)
        for identity in before & after:
            self.verdict.add("half_transactions", f"moved, but still there: {identity}")
        for identity in self.moved - after:
            self.verdict.add("lost", f"moved, but not there: {identity}")
        for identity in set(self.confirmed[key]) - before - after:
            self.verdict.add("lost", f"gone while being moved: {identity}")

    def _judge_archive(self, queue: str, identities: list[Identity]) -> None:
        """A queue read once, at the end: nothing twice, every producer's messages in order."""
        for identity, count in Counter(identities).items():
            if count > 1:
                self.verdict.add("duplicates", f"{queue}: {identity} {count} times")
        last: dict[int, int] = {}
        for producer, number in identities:
            if last.get(producer, -1) > number:
                self.verdict.add("order", f"{queue}: {producer}: {number} after {last[producer]}")
            last[producer] = number

    def figures(self) -> dict[str, Any]:
        """How much there was to check."""
        return {
            "confirmed": sum(len(confirmed) for confirmed in self.confirmed.values()),
            "committed_in_tx": len(self._committed),
            "transactions": len(self._groups),
            "moved": len(self.moved),
            "deliveries": self.deliveries,
            "redeliveries": self.redeliveries,
            "acks": len(self._acks),
            "acks_beyond_grace": self.acks_beyond_grace,
            "oldest_forgotten_ack_ms": round(self.oldest_forgotten_ms, 1),
        }
