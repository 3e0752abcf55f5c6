"""``tx``: publishes and settlements held until commit, then done in one journal entry.

RabbitMQ routes a publish when it arrives (errors and permissions at once) and enqueues it at commit; settlements are
held too, and put back by a rollback. Stronger than RabbitMQ: after a crash all of a transaction is there, or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from posthouse.broker.dispatch import QueueCore


@dataclass(frozen=True, slots=True)
class HeldPublish:
    """A routed message waiting for the commit."""

    queues: list[QueueCore]
    durable_ids: bytes
    persistent: bool
    route: bytes
    props: bytes
    body: bytes

    def record_size(self) -> int:
        """Octets its record takes in the log, at most."""
        return 40 + len(self.route) + len(self.props) + len(self.body) + len(self.durable_ids)


@dataclass(slots=True)
class Transaction:
    """What a channel gathered since ``tx.select`` or the last commit or rollback.

    Attributes:
        settled: delivery tag to whether it goes back to its queue, in order of arrival.
    """

    publishes: list[HeldPublish] = field(default_factory=list)
    settled: dict[int, bool] = field(default_factory=dict)

    @property
    def is_durable(self) -> bool:
        """Whether there is anything that the log is needed for."""
        return bool(self.settled) or any(p.persistent and p.durable_ids for p in self.publishes)

    def log_size(self) -> int:
        """Octets the whole transaction takes in the log, at most: it must fit one entry."""
        return sum(p.record_size() for p in self.publishes) + 64 * len(self.settled)

    def clear(self) -> None:
        """Forget everything (rollback, or after the commit)."""
        self.publishes.clear()
        self.settled.clear()
