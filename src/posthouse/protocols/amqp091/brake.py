"""Back-pressure on a publisher: why its connection is not read, and when it is read again.

Three things stop a publisher: an alarm of the node, a queue whose consumers' connections take no more, a log that the disk does not
keep up with. The transport is paused while there is a reason, and each reason names who takes it away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from posthouse.broker.dispatch import QueueCore
from posthouse.wire.amqp091 import methods

if TYPE_CHECKING:
    from posthouse.protocols.amqp091.session import Session


class Brake:
    """The reasons of one connection.

    Invariant: the transport is paused exactly while `is_on`.

    Attributes:
        is_blocked: an alarm; `Session.on_alarm_cleared` takes it away.
        is_behind: the log; `Session.on_caught_up` takes it away.
    """

    __slots__ = ("_queues", "_session", "is_behind", "is_blocked")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._queues = 0
        self.is_blocked = False
        self.is_behind = False

    @property
    def is_on(self) -> bool:
        """Whether there is a reason."""
        return self._queues > 0 or self.is_blocked or self.is_behind

    def _pause(self) -> None:
        if self._session.transport is not None:
            self._session.transport.pause()

    def _resume(self) -> None:
        if not self.is_on and self._session.transport is not None:
            self._session.transport.resume()

    # --- a queue --------------------------------------------------------------------------------

    def stop_for(self, queue: QueueCore) -> None:
        """Until ``queue`` is half drained, or the next second.

        Only where a consumer's connection is the bottleneck: consumers that wait for their own acknowledgements, or no
        consumers at all, let the backlog grow, as RabbitMQ does, up to the memory watermark.
        """
        if queue.is_congested and self._queues:
            return
        self._queues += 1
        queue.hold(self._on_drained, self._session.queue_high // 2)  # type: ignore[attr-defined]  # a Queue
        self._pause()

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
        session = self._session
        if session.capabilities.get("connection.blocked"):
            session.send(0, methods.ConnectionBlocked(reason=session.services.alarm_reason()))
        self._pause()

    def alarm_cleared(self) -> None:
        """There is no alarm any more."""
        if not self.is_blocked:
            return
        self.is_blocked = False
        if self._session.capabilities.get("connection.blocked"):
            self._session.send(0, methods.ConnectionUnblocked())
        self._resume()

    # --- the log --------------------------------------------------------------------------------

    def stop_for_log(self) -> None:
        """Until the disk has caught up. The client is not told: it takes as long as a sync."""
        if not self.is_behind:
            self.is_behind = True
            self._session.dispatcher.held.append(self)
            self._pause()

    def caught_up(self) -> None:
        """The disk has caught up."""
        self.is_behind = False
        self._resume()
