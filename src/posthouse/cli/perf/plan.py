"""What one run of the load generator does: the options, checked, and the names and keys that
follow from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

MODES: Final = ("flow", "backlog", "latency", "idle", "connchurn", "queuechurn")
EXCHANGES: Final = ("default", "direct", "fanout", "topic", "headers")

EXCHANGE_NAME: Final = "perf.route"


class BadPlan(Exception):
    """The options contradict each other or are out of range."""


@dataclass(frozen=True)
class Address:
    """Where the broker listens and who we are there."""

    host: str = "127.0.0.1"
    port: int = 5672
    user: str = "guest"
    password: str = "guest"
    vhost: str = "/"

    @classmethod
    def parse(cls, url: str) -> Address:
        """From ``amqp://user:password@host:port/vhost``; every part may be missing.

        The vhost is percent-decoded; an empty path means ``/``.

        Raises:
            BadPlan: another scheme, or a port that is none.
        """
        parts = urlsplit(url if "://" in url else f"amqp://{url}")
        if parts.scheme != "amqp":
            raise BadPlan(f"the scheme {parts.scheme!r} is not supported, only amqp")
        try:
            port = parts.port
        except ValueError as error:
            raise BadPlan(str(error)) from error
        return cls(
            host=parts.hostname or cls.host,
            port=port or cls.port,
            user=unquote(parts.username) if parts.username else cls.user,
            password=unquote(parts.password) if parts.password is not None else cls.password,
            vhost=unquote(parts.path[1:]) or cls.vhost,
        )


@dataclass(frozen=True)
class Plan:
    """The options of one run. Counts of 0 stand for "none" or "no bound"."""

    address: Address = Address()
    mode: str = "flow"
    size_bytes: int = 16
    producers: int = 1
    consumers: int = 1
    queues: int = 1
    connections: int = 1
    processes: int = 1
    exchange: str = "default"
    pattern: str = "*.%06d.#"
    confirm_window: int = 0
    prefetch: int = 0
    ack_every: int = 0  # 0: automatic acknowledgement
    is_persistent: bool = False
    is_durable: bool = False
    is_mandatory: bool = False
    rate: float = 5000.0  # messages a second of all producers (latency mode)
    seconds: float = 5.0
    count: int = 0
    warmup_s: float = 1.0
    drain_s: float = 10.0
    deadline_s: float = 120.0
    queue_prefix: str = "perf.queue"
    keep: bool = False
    watch_pid: int = 0
    label: str = ""

    def check(self) -> Plan:
        """Return the plan as it will be run.

        Raises:
            BadPlan: an option is out of range.
        """
        if self.mode not in MODES:
            raise BadPlan(f"unknown mode {self.mode!r}")
        if self.exchange not in EXCHANGES:
            raise BadPlan(f"unknown exchange type {self.exchange!r}")
        if self.exchange == "headers" and self.queues > 1:
            # bindings without arguments match everything: copies would be unclear
            raise BadPlan("a headers exchange is driven with one queue")
        least = 8 if self.mode == "latency" else 1
        if self.size_bytes < least:
            raise BadPlan(f"--size must be at least {least} in mode {self.mode}")
        if min(self.queues, self.connections, self.processes) < 1:
            raise BadPlan("--queues, --connections and --processes must be at least 1")
        if min(self.producers, self.consumers, self.confirm_window, self.ack_every, self.count) < 0:
            raise BadPlan("a count must not be negative")
        if not 0 <= self.prefetch <= 65535:
            raise BadPlan("--prefetch must be from 0 to 65535")
        if self.rate <= 0 or self.seconds < 0 or self.deadline_s <= 0:
            raise BadPlan("--rate and --deadline must be positive, --seconds not negative")
        if self.mode == "backlog" and not self.count:
            raise BadPlan("mode backlog needs --count")
        if len(self.queue_prefix) > 200:
            raise BadPlan("--prefix is too long")
        try:
            _ = self.pattern % 0
        except (TypeError, ValueError) as error:
            raise BadPlan(f"--pattern needs one %d: {error}") from error
        return self

    @property
    def exchange_name(self) -> str:
        """The exchange published to; empty for the default one."""
        return "" if self.exchange == "default" else EXCHANGE_NAME

    @property
    def copies(self) -> int:
        """Deliveries expected for each message."""
        return self.queues if self.exchange == "fanout" else 1

    @property
    def ack_batch(self) -> int:
        """Messages to wait for before an acknowledgement; never more than half of the prefetch,
        which would stall.
        """
        if self.ack_every and self.prefetch:
            return min(self.ack_every, (self.prefetch + 1) // 2)
        return max(self.ack_every, 1)

    def queue_name(self, index: int) -> str:
        """The name of a queue."""
        return f"{self.queue_prefix}{index:06d}"

    def routing_key(self, index: int) -> bytes:
        """The key that reaches queue ``index``."""
        if self.exchange == "default":
            return self.queue_name(index).encode()
        return b"k.%06d.bench" % index

    def binding_key(self, index: int) -> bytes:
        """The key by which queue ``index`` is bound."""
        if self.exchange == "topic":
            return (self.pattern % index).encode()
        return self.routing_key(index)

    def producer_quota(self, index: int) -> int:
        """How many of ``count`` messages producer ``index`` sends; 0 when the run is bounded by
        time.
        """
        if not self.count:
            return 0
        return self.count // self.producers + (1 if index < self.count % self.producers else 0)

    def consumer_queues(self, index: int) -> list[int]:
        """The queues that consumer ``index`` subscribes to: one if there are enough consumers,
        else its share of all.
        """
        if self.consumers >= self.queues:
            return [index % self.queues]
        return list(range(index, self.queues, self.consumers))
