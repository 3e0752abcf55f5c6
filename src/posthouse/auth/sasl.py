"""SASL mechanisms as small state machines: PLAIN, AMQPLAIN, EXTERNAL, ANONYMOUS, RABBIT-CR-DEMO.

`Mechanism.step` takes the client's response and says: challenge it again, here is the identity, or refused and why (the reason
is for the log; the client never learns it). A mechanism lives for one handshake.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from posthouse.auth.api import Authenticator, Identity
from posthouse.core.registry import Registry
from posthouse.wire.amqp091.fields import decode_table
from posthouse.wire.errors import WireError

DEMO_CHALLENGE = b"Please tell me your password"
DEMO_ANSWER = b"My password is "


@dataclass(frozen=True)
class Outcome:
    """One of: a challenge, an identity, a refusal (reason)."""

    challenge: bytes | None = None
    identity: Identity | None = None
    reason: str = ""


@dataclass(frozen=True)
class SaslContext:
    """What mechanisms may use: the backend, the anonymous user's name, the name in the peer's certificate."""

    authenticator: Authenticator
    anonymous_user: str = "guest"
    certificate_name: str | None = None


class Mechanism:
    """The base: holds the context, checks loopback-only users."""

    def __init__(self, context: SaslContext) -> None:
        self.context = context

    def step(self, response: bytes, peer: str) -> Outcome:
        """Take a response that came from the address ``peer``."""
        raise AssertionError("every mechanism has its own step")

    def login(self, name: str, password: bytes, peer: str) -> Outcome:
        """Check name and password."""
        identity = self.context.authenticator.authenticate(name, password)
        if identity is None:
            return Outcome(reason=f"user '{name}' - invalid credentials")
        return self.admit(identity, peer)

    def admit(self, identity: Identity, peer: str) -> Outcome:
        """The loopback rule, which holds for every mechanism."""
        if self.context.authenticator.is_loopback_only(identity.name) and not is_loopback(peer):
            return Outcome(reason=f"user '{identity.name}' can only connect via localhost")
        return Outcome(identity=identity)


@lru_cache(maxsize=1024)
def is_loopback(peer: str) -> bool:
    """Whether an address is this machine's own (IPv4-mapped IPv6 included)."""
    try:
        address = ipaddress.ip_address(peer.split("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


class Plain(Mechanism):
    """RFC 4616: ``authzid NUL name NUL password``. Nobody may act for somebody else, so ``authzid`` is empty or the name.

    RabbitMQ: takes only an empty one.
    """

    def step(self, response: bytes, peer: str) -> Outcome:
        """See `Mechanism.step`."""
        parts = response.split(b"\0")
        if len(parts) != 3 or parts[0] not in (b"", parts[1]):
            return Outcome(reason="response <<...>> invalid")
        return self.login(parts[1].decode("utf-8", "surrogateescape"), parts[2], peer)


class AmqPlain(Mechanism):
    """A field table with LOGIN and PASSWORD, without its outer length."""

    def step(self, response: bytes, peer: str) -> Outcome:
        """See `Mechanism.step`."""
        try:
            table = decode_table(response)
        except WireError:
            return Outcome(reason="AMQPLAIN response is not a field table")
        name, password = table.get("LOGIN"), table.get("PASSWORD")
        if not isinstance(name, str) or not isinstance(password, str | bytes):
            return Outcome(reason="AMQPLAIN auth info is missing LOGIN or PASSWORD field")
        return self.login(name, password.encode() if isinstance(password, str) else password, peer)


class External(Mechanism):
    """The name comes from the peer's certificate, verified by TLS."""

    def step(self, response: bytes, peer: str) -> Outcome:
        """See `Mechanism.step`."""
        name = self.context.certificate_name
        if name is None:
            return Outcome(reason="no peer certificate")
        identity = self.context.authenticator.identify(name)
        if identity is None:
            return Outcome(reason=f"user '{name}' - not found")
        return self.admit(identity, peer)


class Anonymous(Mechanism):
    """Everybody is the configured user."""

    def step(self, response: bytes, peer: str) -> Outcome:
        """See `Mechanism.step`."""
        identity = self.context.authenticator.identify(self.context.anonymous_user)
        if identity is None:
            return Outcome(reason=f"user '{self.context.anonymous_user}' - not found")
        return self.admit(identity, peer)


class RabbitCrDemo(Mechanism):
    """RabbitMQ's demonstration of a challenge: name, then ``My password is X``."""

    def __init__(self, context: SaslContext) -> None:
        super().__init__(context)
        self._name: str | None = None

    def step(self, response: bytes, peer: str) -> Outcome:
        """See `Mechanism.step`."""
        if self._name is None:
            self._name = response.decode("utf-8", "surrogateescape")
            return Outcome(challenge=DEMO_CHALLENGE)
        if not response.startswith(DEMO_ANSWER):
            return Outcome(reason="response <<...>> invalid")
        return self.login(self._name, response[len(DEMO_ANSWER) :], peer)


class SaslRegistry:
    """Makes mechanisms by name; third parties add theirs to the entry point group."""

    def __init__(self, context: SaslContext) -> None:
        self._context = context
        self._mechanisms: Registry[Callable[[SaslContext], Mechanism]] = Registry(
            "posthouse.sasl_mechanisms",
            {
                "PLAIN": Plain,
                "AMQPLAIN": AmqPlain,
                "EXTERNAL": External,
                "ANONYMOUS": Anonymous,
                "RABBIT-CR-DEMO": RabbitCrDemo,
            },
        )

    def get(self, name: str) -> Mechanism | None:
        """A fresh mechanism, or None if there is none of that name."""
        make = self._mechanisms.get(name)
        return None if make is None else make(self._context)

    def update_secret(self, identity: Identity, secret: bytes) -> bool:
        """``connection.update-secret``: whether the backend takes the new secret for the same user."""
        return self._context.authenticator.update_secret(identity, secret)
