"""Too few descriptors (L9): clients beyond the limit wait at the door, and the log never lacks one of its own.

A broker that may open 256 files; a client that publishes persistent messages with confirms through small segments, so that files are made
and let go all the time; and clients that connect until no more are let in. The publisher goes on meanwhile, and when some leave, others
come in.
"""

from __future__ import annotations

import pathlib
import select
import socket
import tempfile
import time

from tests.load.ledger import Ledger
from tests.load.soak import SETTINGS
from tests.load.soak_roles import Consumer, Producer
from tests.support import link as amqp
from tests.support.nodes import PosthouseNode, require
from tests.torture.campaign import Campaign

LIMIT = 256
HANDSHAKE_S = 1.5
MORE_MB = 12


class Crowd:
    """Clients that want in, and one that works."""

    def __init__(self, node: PosthouseNode) -> None:
        self.node = node
        self.ledger = Ledger("q")
        link = amqp.Link(node.port)
        link.declare_queue("q")
        link.close()
        self.producer = Producer(node.port, 1, self.ledger, 4 << 20)
        self.consumer = Consumer(node.port, self.ledger)
        self.inside: list[amqp.Link] = []
        self.waiting: list[socket.socket] = []

    def descriptors(self) -> int:
        """How many the broker has open."""
        return len(list(pathlib.Path(f"/proc/{self.node.pid}/fd").iterdir()))

    def work(self, octets: int) -> None:
        """Publish and consume so much."""
        until = self.producer.octets + octets
        deadline = time.monotonic() + 60
        actors = [self.producer, self.consumer]
        while self.producer.octets < until or not self.producer.is_idle or self.ledger.open:
            assert time.monotonic() < deadline, "the publisher is stuck"
            self.node.check()
            self.producer.is_active = self.producer.octets < until
            for actor in actors:
                actor.pump()
                actor.link.flush()
            for actor in select.select(actors, [], [], 0.01)[0]:
                for event in actor.link.receive():
                    actor.on_event(event)

    def press(self) -> None:
        """Connect until nobody is let in within `HANDSHAKE_S`; some more wait in the listen queue."""
        while len(self.inside) < LIMIT:
            try:
                self.inside.append(amqp.Link(self.node.port, HANDSHAKE_S))
            except (amqp.Broken, OSError):
                break
        for _ in range(20):
            self.waiting.append(socket.create_connection(("127.0.0.1", self.node.port), 5))
            self.waiting[-1].sendall(b"AMQP\0\0\x09\x01")

    def leave(self) -> int:
        """All that are inside leave; returns how many of those that waited are let in."""
        for link in self.inside:
            link.close()
        self.inside.clear()
        deadline = time.monotonic() + 20
        welcome: set[socket.socket] = set()
        while len(welcome) < len(self.waiting):
            left = [sock for sock in self.waiting if sock not in welcome]
            assert time.monotonic() < deadline, f"{len(left)} are not let in"
            for sock in select.select(left, [], [], 0.1)[0]:
                assert sock.recv(4096).startswith(b"\x01"), "no connection.start"
                welcome.add(sock)
        for sock in self.waiting:
            sock.close()
        self.waiting.clear()
        return len(welcome)


def crowds(rounds: int) -> dict[str, float]:
    """Press and leave, so often, on a node of our own."""
    figures: dict[str, float] = {"limit_max": LIMIT, "inside_min": LIMIT, "let_in_later": 0}
    with tempfile.TemporaryDirectory() as own:
        config = pathlib.Path(own) / "posthouse.toml"
        config.write_text(SETTINGS, encoding="utf-8")
        limit = [require("prlimit", "Debian: util-linux"), f"--nofile={LIMIT}:{LIMIT}"]
        data = pathlib.Path(own) / "data"
        node = PosthouseNode(data, options=["--config", str(config)], wrapper=limit).start()
        try:
            crowd = Crowd(node)
            crowd.work(MORE_MB << 20)
            before = crowd.descriptors()
            most = 0
            for _ in range(rounds):
                crowd.press()
                crowd.work(MORE_MB << 20)
                most = max(most, crowd.descriptors())
                figures["inside_min"] = min(figures["inside_min"], len(crowd.inside))
                figures["let_in_later"] += crowd.leave()
            crowd.work(MORE_MB << 20)
            after = crowd.descriptors()
            crowd.producer.link.close()
            crowd.consumer.cut()
            node.check()
            assert node.terminate() == 0
        finally:
            node.stop()
    figures |= {
        "descriptors_max": most,
        "descriptors_before_max": before,
        "descriptors_after_max": after,
        "confirmed": crowd.producer.confirmed,
        "lost": 0,
    }
    assert after <= before + 2, figures
    assert figures["inside_min"] > LIMIT // 2, figures
    return figures


CAMPAIGN = Campaign(
    name="descriptors",
    what="clients beyond the limit of open files wait, the log goes on, and they come in when others leave (L9)",
    units=10,
    run=lambda seed: crowds(3),
    timeout_s=300.0,
)
