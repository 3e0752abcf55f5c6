"""The modes that move no messages: idle connections, and opening and closing connections or queues
as fast as possible.

Connections here send octets that were encoded once: the generator must cost less than the broker it
measures. Each step is a request and one method to wait for, which is known by its class and method
number alone. Churn has a thread per connection: in one loop for all of them, generator and broker
would take turns instead of working at the same time (half the rate on two busy cores, 2026-11-23).
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

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

LOOK_EVERY_S: Final = 0.01
PATIENCE_S: Final = 20
PATIENCE: Final = struct.pack("ll", PATIENCE_S, 0)  # a struct timeval
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


class Dialogue:
    """A blocking connection that goes through steps. Owns its socket."""

    def __init__(self, target: Target) -> None:
        self._answers = Answers()
        self.socket = socket.socket(target.family, socket.SOCK_STREAM)
        # instead of settimeout, with which Python makes a second system call for each recv and send; TCP_NODELAY is not
        # needed where every send waits for its answer
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, PATIENCE)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, PATIENCE)
        try:
            self.socket.connect(target.address)
        except OSError:
            self.socket.close()
            raise

    def go_through(self, steps: list[Step]) -> None:
        """Send each step's request and wait for its answer.

        Raises:
            BrokerClosed, OSError: the broker said no, hung up, or did not answer in time.
        """
        for step in steps:
            self.socket.sendall(step.request)
            while not self._answers.has(self._receive(), step.answer):
                pass

    def _receive(self) -> bytes:
        data = self.socket.recv(65536)
        if not data:
            raise BrokerClosed("the broker hung up")
        return data


@dataclass(frozen=True)
class Target:
    """A looked-up address: looking it up each time would cost a tenth of a short connection's
    life.
    """

    family: int
    address: Any  # a socket address, by family

    @classmethod
    def resolve(cls, address: Address) -> Target:
        """The first answer.

        Raises:
            OSError: the name is unknown.
        """
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        return cls(found[0][0], found[0][4])


class Churner(threading.Thread):
    """Goes through its rounds until told to stop: one thread per connection, so that no connection
    waits for another.
    """

    def __init__(self, plan: Plan, index: int, target: Target) -> None:
        super().__init__(name=f"churn-{index}", daemon=True)
        self.rounds = 0
        self.error = ""
        self.is_stopping = False
        self._plan = plan
        self._index = index
        self._target = target
        self._opening = opening(plan.address)

    def run(self) -> None:
        """The thread's body."""
        try:
            if self._plan.mode == "connchurn":
                self._churn_connections()
            else:
                self._churn_queues()
        except (BrokerClosed, OSError) as problem:
            self.error = str(problem)

    def _churn_connections(self) -> None:
        life = self._opening + closing()
        while not self.is_stopping:
            dialogue = Dialogue(self._target)
            try:
                dialogue.go_through(life)
            finally:
                dialogue.socket.close()
            self.rounds += 1

    def _churn_queues(self) -> None:
        dialogue = Dialogue(self._target)
        try:
            dialogue.go_through(self._opening)
            while not self.is_stopping:
                name = f"{self._plan.queue_prefix}.{self._index}.{self.rounds}"
                dialogue.go_through(queue_life(self._plan, name))
                self.rounds += 1
            dialogue.go_through(closing())
        finally:
            dialogue.socket.close()


def run_churn(plan: Plan, on_progress: OnDone) -> Figures:
    """Modes connchurn and queuechurn: ``per_s`` is the number of rounds per second within the
    window.

    Raises:
        BrokerClosed: the broker cannot be reached.
    """
    deadline = time.monotonic() + plan.deadline_s
    cpu_before, tool_before = watch.cpu_s(plan.watch_pid), worker.cpu_seconds()
    with contextlib.closing(Control(plan.address, deadline)) as control:
        has_exchange = plan.mode == "queuechurn" and bool(plan.exchange_name)
        if has_exchange:
            control.declare_exchange(plan.exchange_name, plan.exchange, durable=plan.is_durable)
        target = Target.resolve(plan.address)
        churners = [Churner(plan, index, target) for index in range(plan.connections)]
        for churner in churners:
            churner.start()
        start = time.monotonic()
        begin, done_before = _watch(churners, start + plan.warmup_s, deadline, on_progress)
        end, done = _watch(churners, begin + plan.seconds, deadline, on_progress)
        for churner in churners:
            churner.is_stopping = True
        for churner in churners:
            churner.join(PATIENCE_S)
        error = next((c.error for c in churners if c.error), "")
        if has_exchange and not error:
            control.delete_exchange(plan.exchange_name)
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


def _watch(
    churners: list[Churner], until: float, deadline: float, on_progress: OnDone
) -> tuple[float, int]:
    """Look on until ``until``, or until one fails; the time then, and all rounds so far."""
    until = min(until, deadline)
    while True:
        now, done = time.monotonic(), sum(c.rounds for c in churners)
        on_progress(done, now)
        if now >= until or any(c.error for c in churners):
            return now, done
        time.sleep(max(0.0, min(LOOK_EVERY_S, until - now)))


def run_idle(plan: Plan, on_progress: OnDone) -> Figures:
    """Mode idle: open ``connections`` connections one after the other, hold them for ``seconds``,
    look who is still there.
    """
    deadline = time.monotonic() + plan.deadline_s
    cpu_before, tool_before = watch.cpu_s(plan.watch_pid), worker.cpu_seconds()
    rss_before = watch.rss_kb(plan.watch_pid)
    steps = opening(plan.address)
    Control(plan.address, deadline).close()  # is it there, and does it let us in?
    target = Target.resolve(plan.address)
    sockets: list[socket.socket] = []
    error = ""
    began = time.monotonic()
    try:
        while len(sockets) < plan.connections and time.monotonic() < deadline:
            dialogue = Dialogue(target)
            sockets.append(dialogue.socket)
            dialogue.go_through(steps)
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
