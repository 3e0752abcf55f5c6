"""The tick: what happens after every batch of input, in a fixed order.

Queues that were marked are pumped, what the batch appended is handed to the journal as one commit if somebody waits for
it, and every connection that was written to is flushed with one send. A flush that drains a slow consumer's
output marks its queues again, so the pass repeats, at most `ROUNDS_MAX` times before the loop gets its turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from posthouse.broker.dispatch import Dispatcher
from posthouse.journal.api import Journal

ROUNDS_MAX = 64
# After a pass that broke off.
RETRY_S = 0.1


class Loop(Protocol):
    """What the tick needs of the event loop."""

    def call_soon(self, callback: Callable[[], object]) -> object: ...

    def call_later(self, delay: float, callback: Callable[[], object]) -> object: ...


class Flushable(Protocol):
    """A connection's session as the tick sees it."""

    is_touched: bool

    def flush(self) -> None: ...

    def committed(self, number: int) -> bool: ...

    def give_up(self) -> None: ...


class Tick:
    """Runs the pass. Loop thread only."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        journal: Journal,
        loop: Loop,
        *,
        ack_delay_s: float = 0.005,
        unsynced_high: int = 64 << 20,
    ) -> None:
        # Acknowledgements alone wait this long for company before they are written (P4: well below 1 s).
        self._ack_delay_s = ack_delay_s
        self._dispatcher = dispatcher
        self._journal = journal
        self._loop = loop
        self._acks_scheduled = False
        self._running = False
        self._is_stopped = False
        # Octets on their way to the disk above which publishers are not read, until half of it is there.
        self._unsynced_high = unsynced_high
        dispatcher.next_commit = journal.next_commit

    def settle(self) -> None:
        """One pass: pump, commit, flush. Safe to call from within itself (it then does nothing)."""
        if self._running:
            return
        self._running = True
        dispatcher = self._dispatcher
        try:
            for _ in range(ROUNDS_MAX):
                try:
                    dispatcher.pump()
                finally:
                    # A queue that cannot be served does not keep others from their confirms and their output.
                    self._commit_and_flush()
                if not dispatcher.has_dirty() and not dispatcher.touched:
                    break
            else:
                self._loop.call_soon(self.settle)
        except Exception:
            # No memory, say. What is left of the pass is marked still.
            self._loop.call_later(RETRY_S, self.settle)
            raise
        finally:
            self._running = False
            if dispatcher.acked and not self._acks_scheduled:
                self._acks_scheduled = True
                self._loop.call_later(self._ack_delay_s, self._commit_acks)

    def _commit_and_flush(self) -> None:
        dispatcher = self._dispatcher
        if dispatcher.must_commit:
            if not self._journal.is_busy:
                self.commit()
            if self._journal.unsynced_bytes > self._unsynced_high:
                dispatcher.is_behind = True  # until `on_committed` says otherwise
        touched = dispatcher.touched
        if touched:
            dispatcher.touched = []
            self._flush(touched)

    def _flush(self, sessions: list[Flushable]) -> None:
        done = 0
        try:
            for session in sessions:
                session.is_touched = False
                session.flush()
                done += 1
        except Exception:
            sessions[done].is_touched = True
            self._dispatcher.touched += sessions[done:]
            raise

    def commit(self) -> None:
        """Hand everything appended so far to the journal."""
        dispatcher = self._dispatcher
        if dispatcher.acked:
            dispatcher.write_acks()
        dispatcher.must_commit = False
        self._journal.commit()
        dispatcher.next_commit = self._journal.next_commit
        if self._journal.has_failed:
            self._refuse()

    def on_committed(self, number: int) -> None:
        """The journal finished commit ``number``: confirms and held replies leave."""
        self._dispatcher.committed = number
        waiters = self._dispatcher.waiters
        for session in list(waiters):
            if not session.committed(number):
                waiters.pop(session, None)
        if self._dispatcher.is_behind and self._journal.unsynced_bytes <= self._unsynced_high // 2:
            self._let_go()
        self.settle()

    def on_failed(self) -> None:
        """The journal failed: whoever waits for a commit is told so, now and from here on."""
        self._refuse()
        self._let_go()
        self.settle()

    def _refuse(self) -> None:
        waiters = list(self._dispatcher.waiters)
        self._dispatcher.waiters.clear()
        for waiter in waiters:
            waiter.give_up()

    def _let_go(self) -> None:
        """The disk has caught up."""
        self._dispatcher.is_behind = False
        held, self._dispatcher.held = self._dispatcher.held, []
        for brake in held:
            brake.caught_up()

    def stop(self) -> None:
        """Hand over the last acknowledgements; nothing is committed after this."""
        self.commit()
        self._is_stopped = True

    def _commit_acks(self) -> None:
        self._acks_scheduled = False
        if self._dispatcher.acked and not self._is_stopped:
            self.commit()
