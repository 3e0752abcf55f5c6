"""The modes that move no messages: idle connections, and opening and closing connections or queues
as fast as possible.

Connections here are state machines over octets encoded once: the generator must cost less than the
broker it measures. Each step sends a request and waits for one method, which is known by its class
and method number alone.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from posthouse.cli.perf import watch, worker
from posthouse.cli.perf.control import FRAME_MAX, BrokerClosed, Control, start_ok
from posthouse.cli.perf.figures import Figures
from posthouse.cli.perf.plan import Address, Plan
from posthouse.wire.amqp091.frames import PROTOCOL_HEADER, method_frame
from posthouse.wire.amqp091.methods import (
    ChannelClose,
    ChannelOpen,
    ChannelOpenOk,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionTune,
    ConnectionTuneOk,
    Method,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    decode_method,
)

OnDone = Callable[[int, float], None]

CHANNEL_MAX: Final = 2047  # RabbitMQ's default


def _code(kind: type[Method]) -> bytes:
    return kind.class_id.to_bytes(2, "big") + kind.method_id.to_bytes(2, "big")


@dataclass(frozen=True)
class Step:
    """Octets to send, and class and method number of the answer."""

    request: bytes
    answer: bytes


def opening(address: Address) -> list[Step]:
    """From the connected socket to an open channel 1."""
    tune_ok = ConnectionTuneOk(channel_max=CHANNEL_MAX, frame_max=FRAME_MAX, heartbeat=0)
    open_ = ConnectionOpen(virtual_host=address.vhost)
    return [
        Step(PROTOCOL_HEADER, _code(ConnectionStart)),
        Step(method_frame(0, start_ok(address).encode()), _code(ConnectionTune)),
        Step(
            method_frame(0, tune_ok.encode()) + method_frame(0, open_.encode()),
            _code(ConnectionOpenOk),
        ),
        Step(method_frame(1, ChannelOpen().encode()), _code(ChannelOpenOk)),
    ]


def closing() -> list[Step]:
    """The polite end."""
    close = ConnectionClose(reply_code=200, reply_text="Goodbye")
    return [Step(method_frame(0, close.encode()), _code(ConnectionCloseOk))]


def queue_life(plan: Plan, name: str) -> list[Step]:
    """Declare, bind unless the default exchange is meant, delete."""
    declare = QueueDeclare(queue=name, durable=plan.is_durable)
    steps = [Step(method_frame(1, declare.encode()), _code(QueueDeclareOk))]
    if plan.exchange_name:
        bind = QueueBind(queue=name, exchange=plan.exchange_name, routing_key=name.encode())
        steps.append(Step(method_frame(1, bind.encode()), _code(QueueBindOk)))
    delete = QueueDelete(queue=name)
    steps.append(Step(method_frame(1, delete.encode()), _code(QueueDeleteOk)))
    return steps


class Answers:
    """Finds the awaited method in what a socket receives."""

    def __init__(self) -> None:
        self._data = b""

    def has(self, data: bytes, wanted: bytes) -> bool:
        """Whether ``data``, behind what came before, completes the method ``wanted``.

        Raises:
            BrokerClosed: it is a close instead.
        """
        data = self._data + data if self._data else data
        while len(data) >= 12:
            end = 8 + int.from_bytes(data[3:7], "big")
            if len(data) < end:
                break
            code = data[7:11]
            if data[0] == 1 and code == wanted:
                self._data = data[end:]
                return True
            if data[0] == 1 and code in (_CONNECTION_CLOSE, _CHANNEL_CLOSE):
                closed = decode_method(data[7 : end - 1])
                assert isinstance(closed, ConnectionClose | ChannelClose)
                raise BrokerClosed(f"closed by the broker: {closed.reply_code} {closed.reply_text}")
            data = data[end:]
        self._data = data
        return False


_CONNECTION_CLOSE = _code(ConnectionClose)
_CHANNEL_CLOSE = _code(ChannelClose)


class Churner:
    """One connection (at a time) that goes through steps over and over. Owns its socket."""

    def __init__(self, plan: Plan, index: int, selector: selectors.BaseSelector) -> None:
        self.rounds = 0
        self._plan = plan
        self._index = index
        self._selector = selector
        self._target = (plan.address.host, plan.address.port)
        self._is_open = False  # of queue churn: the opening steps are behind us
        self._is_connection_churn = plan.mode == "connchurn"
        self._opening = opening(plan.address)
        self._life = self._opening + closing() if self._is_connection_churn else self._opening
        self._connect()

    def _connect(self) -> None:
        self._answers = Answers()
        self._socket = socket.create_connection(self._target, 20)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._selector.register(self._socket, selectors.EVENT_READ, self)
        self._begin(self._life)

    def _begin(self, steps: list[Step]) -> None:
        self._steps = iter(steps)
        self._next()

    def _next(self) -> bool:
        step = next(self._steps, None)
        if step is None:
            return False
        self._wanted = step.answer
        # a few hundred octets with nothing before them: they always fit into the socket
        if self._socket.send(step.request) != len(step.request):
            raise BrokerClosed("the socket did not take a request at once")
        return True

    def on_readable(self) -> None:
        """Take what came and go on.

        Raises:
            BrokerClosed, OSError: the run is over.
        """
        data = self._socket.recv(65536)
        if not data:
            raise BrokerClosed("the broker hung up")
        if not self._answers.has(data, self._wanted) or self._next():
            return
        if self._is_connection_churn:
            self.close()
            self.rounds += 1
            self._connect()
            return
        if self._is_open:
            self.rounds += 1
        self._is_open = True
        name = f"{self._plan.queue_prefix}.{self._index}.{self.rounds}"
        self._begin(queue_life(self._plan, name))

    def close(self) -> None:
        """Close the socket."""
        self._selector.unregister(self._socket)
        self._socket.close()


def run_churn(plan: Plan, on_progress: OnDone) -> Figures:
    """Modes connchurn and queuechurn: ``per_s`` is the number of rounds per second within the
    window.

    Raises:
        BrokerClosed: the broker cannot be reached.
    """
    deadline = time.monotonic() + plan.deadline_s
    cpu_before, tool_before = watch.cpu_s(plan.watch_pid), worker.cpu_seconds()
    control = None
    if plan.mode == "queuechurn" and plan.exchange_name:
        control = Control(plan.address, deadline)
        control.declare_exchange(plan.exchange_name, plan.exchange, durable=plan.is_durable)
    selector = selectors.DefaultSelector()
    churners: list[Churner] = []
    error = ""
    begin = end = time.monotonic()
    done_before = done = 0
    try:
        churners = [Churner(plan, index, selector) for index in range(plan.connections)]
        begin, done_before = _turn(selector, churners, begin + plan.warmup_s, deadline, on_progress)
        end, done = _turn(selector, churners, begin + plan.seconds, deadline, on_progress)
    except (BrokerClosed, OSError) as problem:
        error = str(problem)
        end, done = time.monotonic(), sum(c.rounds for c in churners)
    finally:
        for churner in churners:
            churner.close()
        selector.close()
        if control is not None:
            control.delete_exchange(plan.exchange_name)
            control.close()
    window = max(1e-9, end - begin)
    return {
        "tool": "posthouse perf amqp",
        "label": plan.label,
        "mode": plan.mode,
        "durable": plan.is_durable,
        "parallel": plan.connections,
        "done": done - done_before,
        "window_s": round(window, 4),
        "per_s": round((done - done_before) / window, 1),
        **_ending(plan, cpu_before, tool_before, error, is_complete=done > done_before),
    }


def _turn(
    selector: selectors.BaseSelector,
    churners: list[Churner],
    until: float,
    deadline: float,
    on_progress: OnDone,
) -> tuple[float, int]:
    until = min(until, deadline)
    while True:
        now = time.monotonic()
        if now >= until:
            return now, sum(c.rounds for c in churners)
        for key, _ in selector.select(0.02):
            key.data.on_readable()
        on_progress(sum(c.rounds for c in churners), now)


def run_idle(plan: Plan, on_progress: OnDone) -> Figures:
    """Mode idle: open ``connections`` connections one after the other, hold them for ``seconds``,
    look who is still there.
    """
    deadline = time.monotonic() + plan.deadline_s
    cpu_before, tool_before = watch.cpu_s(plan.watch_pid), worker.cpu_seconds()
    rss_before = watch.rss_kb(plan.watch_pid)
    steps = opening(plan.address)
    sockets: list[socket.socket] = []
    error = ""
    began = time.monotonic()
    try:
        while len(sockets) < plan.connections and time.monotonic() < deadline:
            sockets.append(_open_blocking(plan.address, steps))
            on_progress(len(sockets), time.monotonic())
    except (BrokerClosed, OSError) as problem:
        error = str(problem)
        if isinstance(problem, OSError) and problem.errno == errno.EMFILE:
            error += " (see ulimit -n)"
    open_s = max(1e-9, time.monotonic() - began)
    time.sleep(max(0.0, min(plan.seconds, deadline - time.monotonic())))
    rss_after = watch.rss_kb(plan.watch_pid)
    alive = 0
    for connection in sockets:
        alive += _is_alive(connection)
        connection.close()
    count = len(sockets)
    is_complete = count == plan.connections and alive == count
    return {
        "tool": "posthouse perf amqp",
        "label": plan.label,
        "mode": plan.mode,
        "connections": count,
        "alive": alive,
        "open_s": round(open_s, 4),
        "opens_per_s": round(count / open_s, 1),
        "rss_before_kb": rss_before,
        "rss_after_kb": rss_after,
        "kb_per_connection": round((rss_after - rss_before) / count, 3) if count else 0.0,
        **_ending(plan, cpu_before, tool_before, error, is_complete=is_complete),
    }


def _open_blocking(address: Address, steps: list[Step]) -> socket.socket:
    connection = socket.create_connection((address.host, address.port), 20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    answers = Answers()
    for step in steps:
        connection.sendall(step.request)
        data = connection.recv(65536)
        while data and not answers.has(data, step.answer):
            data = connection.recv(65536)
        if not data:
            raise BrokerClosed("the broker hung up")
    return connection


def _is_alive(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True
    except OSError:
        return False


def _ending(
    plan: Plan, cpu_before: float, tool_before: float, error: str, *, is_complete: bool
) -> Figures:
    figures: Figures = {}
    if plan.watch_pid:
        figures["broker_cpu_s"] = round(watch.cpu_s(plan.watch_pid) - cpu_before, 3)
    figures["tool_cpu_s"] = round(worker.cpu_seconds() - tool_before, 3)
    if not is_complete and not error:
        error = "incomplete"
    figures["errors"] = int(bool(error))
    figures["error"] = error
    figures["ok"] = not error
    return figures
