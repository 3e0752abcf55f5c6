"""Back-pressure on a publisher: why its connection is not read, and when it is read again.

Three things stop a publisher: an alarm of the node, a queue whose consumers' connections take no more, a log that the disk does not
keep up with. The transport is paused while there is a reason, and each reason names who takes it away.
"""

from __future__ import annotations

from typing import Protocol

from posthouse.broker.dispatch import Dispatcher, QueueCore


class Publisher(Protocol):
    """What a brake needs of its connection."""

    queue_high: int

    @property
    def dispatcher(self) -> Dispatcher: ...

    def pause(self) -> None:
        """Read no more."""

    def resume(self) -> None:
        """Read again."""

    def tell_alarm(self, is_on: bool) -> None:
        """``connection.blocked`` or ``connection.unblocked``, to a client that understands them."""


class Brake:
    """The reasons of one connection.

    Invariant: the connection is paused exactly while `is_on`.

    Attributes:
        is_blocked: an alarm; `Session.on_alarm_cleared` takes it away.
        is_behind: the log; the tick takes it away when the disk has caught up.
    """

    __slots__ = ("_publisher", "_queues", "is_behind", "is_blocked")

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._queues = 0
        self.is_blocked = False
        self.is_behind = False

    @property
    def is_on(self) -> bool:
        """Whether there is a reason."""
        return self._queues > 0 or self.is_blocked or self.is_behind

    def _resume(self) -> None:
        if not self.is_on:
            self._publisher.resume()

    # --- a queue --------------------------------------------------------------------------------

    def stop_for(self, queue: QueueCore) -> None:
        """Until ``queue`` is half drained, or the next second.

        Only where a consumer's connection is the bottleneck: consumers that wait for their own acknowledgements, or no
        consumers at all, let the backlog grow, as RabbitMQ does, up to the memory watermark.
        """
        if queue.is_congested and self._queues:
            return
        self._queues += 1
        queue.hold(self._on_drained, self._publisher.queue_high // 2)  # type: ignore[attr-defined]  # a Queue
        self._publisher.pause()

    def _on_drained(self) -> None:
        if self._queues:
            self._queues -= 1
            self._resume()

    def on_second(self) -> None:
        """A consumer that reads nothing any more must not stop its publishers for ever."""
        if self._queues:
            self._queues = 0
            self._resume()

    # --- an alarm -------------------------------------------------------------------------------

    def stop_for_alarm(self) -> None:
        """RabbitMQ: a client that understands it hears ``connection.blocked``."""
        if self.is_blocked:
            return
        self.is_blocked = True
        self._publisher.tell_alarm(True)
        self._publisher.pause()

    def alarm_cleared(self) -> None:
        """There is no alarm any more."""
        if not self.is_blocked:
            return
        self.is_blocked = False
        self._publisher.tell_alarm(False)
        self._resume()

    # --- the log --------------------------------------------------------------------------------

    def stop_for_log(self) -> None:
        """Until the disk has caught up. The client is not told: it takes as long as a sync."""
        if not self.is_behind:
            self.is_behind = True
            self._publisher.dispatcher.held.append(self)
            self._publisher.pause()

    def caught_up(self) -> None:
        """The disk has caught up."""
        self.is_behind = False
        self._resume()
