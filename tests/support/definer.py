"""The role that changes definitions while the broker is killed: what was answered must be as it was said (promise P3)."""

from __future__ import annotations

from tests.support import link as amqp
from tests.support.history import History, make_body
from tests.support.roles import EXCHANGE, Role

# Queues of one life: enough for the load to be about them, few enough to look at each of them at every start.
PER_LIFE = 12
NUMBER = 30

DECLARED, BOUND, PURGED, DELETED = "declared", "bound", "purged", "deleted"
_ANSWERS = {
    DECLARED: amqp.QUEUE_DECLARE_OK,
    BOUND: amqp.QUEUE_BIND_OK,
    PURGED: amqp.QUEUE_PURGE_OK,
    DELETED: amqp.QUEUE_DELETE_OK,
}


def steps(number: int) -> list[str]:
    """What is done to queue ``number``, in order: a third stay, a third get a message and are purged, a third are deleted."""
    return [DECLARED, BOUND, *[[], [PURGED], [DELETED]][number % 3]]


def name(number: int) -> str:
    """The name of queue ``number``, and the key it is bound with."""
    return f"d.{number}"


class Definer(Role):
    """Declares, binds, purges and deletes durable queues, one request at a time."""

    def __init__(self, history: History) -> None:
        super().__init__(history)
        self.states: dict[int, str] = {}  # by number: the last step that was answered
        self._next = 0
        self._left: list[str] = []
        self._waiting = ""
        self._life_end = 0

    def connect(self, port: int) -> None:
        super().connect(port)
        self._left = []
        self._next += 1
        self._life_end = self._next + PER_LIFE

    def pump(self) -> None:
        if self._waiting or self._next >= self._life_end:
            return
        if not self._left:
            self._next += 1
            self._left = steps(self._next)
        self._waiting = self._left.pop(0)
        self.link.send(self._request(self._waiting, name(self._next)))

    def _request(self, step: str, queue: str) -> bytes:
        head = b"\0\0" + amqp.short(queue)
        if step == DECLARED:
            return amqp.method(50, 10, head + b"\x02\0\0\0\0")
        if step == BOUND:
            arguments = head + amqp.short(EXCHANGE) + amqp.short(queue) + b"\0\0\0\0\0"
            return amqp.method(50, 20, arguments)
        if step == DELETED:
            return amqp.method(50, 40, head + b"\0")
        message = amqp.persistent_content(make_body(NUMBER, self._next))
        return amqp.publisher("", queue) + message + amqp.method(50, 30, head + b"\0")

    def on_event(self, event: amqp.Event) -> None:
        assert event.method == _ANSWERS[self._waiting], event
        self.states[self._next] = self._waiting
        self._waiting = ""

    def bury(self) -> None:
        """What is under way now is of unknown fate: nothing more is said about its queue."""
        super().bury()
        if self._waiting:
            self.states.pop(self._next, None)
            self._waiting = ""

    def verify(self, port: int, *, with_bindings: bool) -> None:
        """Look at every queue that was answered; with ``with_bindings`` also send a message over each binding, for the end."""
        link = amqp.Link(port)
        for number, state in self.states.items():
            try:
                count = link.declare_queue(name(number), passive=True)
                wrong = "is there" if state == DELETED else f"has {count}" if count else ""
                if state in (BOUND, PURGED) and with_bindings and not wrong:
                    wrong = self._send(link, number)
            except amqp.Broken as error:  # 404 closed the channel
                wrong = "" if state == DELETED else str(error)
                link.close()
                link = amqp.Link(port)
            if wrong:
                self.history.verdict.add("definitions", f"{name(number)}: {state}, but {wrong}")
        link.close()

    def _send(self, link: amqp.Link, number: int) -> str:
        """The binding must carry a message; what is wrong if it does not."""
        body = make_body(NUMBER, number)
        link.send(amqp.publisher(EXCHANGE, name(number)) + amqp.persistent_content(body))
        there = link.declare_queue(name(number), passive=True) == 1
        return "" if there else "a message sent over its binding is not there"
