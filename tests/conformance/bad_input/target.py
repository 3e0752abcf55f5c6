"""Plays an attack against a broker and reads the answer."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable

from tests.conformance.bad_input import attacks as table
from tests.conformance.bad_input.attacks import Answer, Attack
from tests.conformance.bad_input.octets import HEADER, QOS, method, opening, start_ok, tune_ok

DEADLINE_S = 5.0
QOS_OK = struct.pack(">HH", 60, 11)


class Target:
    """One connection of an attacker."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.is_ended = False

    def reach(self, state: str) -> None:
        """Bring the connection to where the attack begins."""
        if state == table.NEW:
            return
        self.socket.sendall(HEADER)
        self._wait(10, 10)
        if state == table.STARTED:
            return
        self.socket.sendall(start_ok())
        self._wait(10, 30)
        if state == table.TUNED:
            return
        self.socket.sendall(tune_ok() + opening())
        self._wait(10, 41)
        self.socket.sendall(method(20, 10, b"\0"))
        self._wait(20, 11)

    def _wait(self, class_id: int, method_id: int) -> None:
        found = self.frame()
        wanted = struct.pack(">HH", class_id, method_id)
        assert found is not None, "closed in the handshake"
        assert found[2][:4] == wanted, found

    def send(self, octets: bytes) -> None:
        """As far as the broker takes it."""
        with contextlib.suppress(OSError):
            self.socket.sendall(octets)

    def frame(self, deadline_s: float = DEADLINE_S) -> tuple[int, int, bytes] | None:
        """The next frame; None at the end of the connection. TimeoutError when nothing comes."""
        end = time.monotonic() + deadline_s
        while True:
            if self.data[:4] == b"AMQP" and len(self.data) >= 8:
                head, self.data = self.data[:8], self.data[8:]
                return 0, 0, head
            if len(self.data) >= 7:
                kind, channel, size = struct.unpack_from(">BHI", self.data)
                if len(self.data) >= size + 8:
                    payload = self.data[7 : 7 + size]
                    self.data = self.data[size + 8 :]
                    return kind, channel, payload
            if self.is_ended:
                return None
            self.socket.settimeout(max(0.001, end - time.monotonic()))
            try:
                piece = self.socket.recv(65536)
            except ConnectionError:
                piece = b""
            self.is_ended = not piece
            self.data += piece

    def answer(self, expected: tuple[Answer, ...]) -> Answer:
        """What the broker makes of it, in the words of the table."""
        if table.FINE in expected:
            self.send(QOS)
        if table.WAITS in expected:
            # Whatever it waits for will not come: the end of our side must end the connection, and nothing else may.
            self.socket.shutdown(socket.SHUT_WR)
        while True:
            found = self.frame()
            if found is None:
                return table.WAITS if table.WAITS in expected else table.DROPPED
            kind, _, payload = found
            if kind == 0:
                assert payload == HEADER
                assert self.frame() is None, "the protocol header is followed by the end"
                return table.REFUSED
            if payload[:4] == QOS_OK and table.FINE in expected:
                return table.FINE
            if kind == 1 and payload[:4] == struct.pack(">HH", 10, 50):
                code: int = struct.unpack_from(">H", payload, 4)[0]
                self.send(method(10, 51, b"", 0))
                return code
            if kind == 1 and payload[:4] == struct.pack(">HH", 20, 40):
                return "channel", struct.unpack_from(">H", payload, 4)[0]

    def close(self) -> None:
        """The attacker leaves."""
        self.socket.close()


def play(port: int, attack: Attack, *, between: Callable[[], None] | None = None) -> Answer:
    """Play one attack, with ``between`` after each octet if it is there; returns the answer."""
    target = Target(port)
    try:
        target.reach(attack.state)
        if between is None:
            target.send(attack.octets)
        else:
            for octet in attack.octets:
                target.send(bytes((octet,)))
                between()
        return target.answer(attack.answers)
    finally:
        target.close()
