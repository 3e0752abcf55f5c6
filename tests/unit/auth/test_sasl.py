"""SASL mechanisms: who gets in, who does not, and what the log says of it."""

from __future__ import annotations

import pytest

from posthouse.auth.api import Identity
from posthouse.auth.sasl import SaslContext, SaslRegistry, is_loopback
from posthouse.wire.amqp091.fields import encode_table

HERE = "127.0.0.1"
AFAR = "192.0.2.7"


class Users:
    """An authenticator with two users; guest may only come from here."""

    passwords = {"guest": b"guest", "ann": b"s\xffcret"}  # noqa: RUF012  # never changed

    def authenticate(self, name: str, password: bytes) -> Identity | None:
        return Identity(name) if self.passwords.get(name) == password else None

    def identify(self, name: str) -> Identity | None:
        return Identity(name) if name in self.passwords else None

    def update_secret(self, identity: Identity, secret: bytes) -> bool:
        return secret == b"fresh"

    def is_loopback_only(self, name: str) -> bool:
        return name == "guest"


def registry(certificate: str | None = None, anonymous: str = "guest") -> SaslRegistry:
    return SaslRegistry(SaslContext(Users(), anonymous, certificate))


def answer(mechanism: str, *responses: bytes, peer: str = HERE, **context: str) -> str:
    """The user's name, or the reason of the refusal."""
    machine = registry(**context).get(mechanism)
    assert machine is not None
    for response in responses[:-1]:
        assert machine.step(response, peer).challenge is not None
    outcome = machine.step(responses[-1], peer)
    assert outcome.challenge is None
    return outcome.identity.name if outcome.identity else outcome.reason


def amqplain(table: dict[str, object]) -> bytes:
    return encode_table(table)[4:]


GARBLED = "response <<...>> invalid"
INCOMPLETE = "AMQPLAIN auth info is missing LOGIN or PASSWORD field"


@pytest.mark.parametrize(
    ("mechanism", "response", "result"),
    [
        ("PLAIN", b"\0ann\0s\xffcret", "ann"),
        ("PLAIN", b"ann\0ann\0s\xffcret", "ann"),
        ("PLAIN", b"guest\0ann\0s\xffcret", GARBLED),
        ("PLAIN", b"\0ann\0wrong", "user 'ann' - invalid credentials"),
        ("PLAIN", b"\0bob\0s\xffcret", "user 'bob' - invalid credentials"),
        ("PLAIN", b"\0\xff\0x", "user '\udcff' - invalid credentials"),
        ("PLAIN", b"", GARBLED),
        ("PLAIN", b"ann", GARBLED),
        ("PLAIN", b"\0ann", GARBLED),
        ("PLAIN", b"\0ann\0s\xffcret\0", GARBLED),
        ("AMQPLAIN", amqplain({"LOGIN": "guest", "PASSWORD": "guest"}), "guest"),
        ("AMQPLAIN", amqplain({"PASSWORD": b"s\xffcret", "LOGIN": "ann", "x": 1}), "ann"),
        ("AMQPLAIN", amqplain({"LOGIN": "ann"}), INCOMPLETE),
        ("AMQPLAIN", amqplain({"LOGIN": "ann", "PASSWORD": 5}), INCOMPLETE),
        ("AMQPLAIN", b"", INCOMPLETE),
        ("AMQPLAIN", b"\x05LO", "AMQPLAIN response is not a field table"),
        ("AMQPLAIN", b"\x01", "AMQPLAIN response is not a field table"),
    ],
)
def test_one_step_mechanisms(mechanism: str, response: bytes, result: str) -> None:
    assert answer(mechanism, response) == result


def test_the_demonstration_challenges_for_the_password() -> None:
    machine = registry().get("RABBIT-CR-DEMO")
    assert machine is not None
    assert machine.step(b"ann", HERE).challenge == b"Please tell me your password"
    assert answer("RABBIT-CR-DEMO", b"ann", b"My password is s\xffcret") == "ann"
    assert answer("RABBIT-CR-DEMO", b"ann", b"My password is x").endswith("invalid credentials")
    assert answer("RABBIT-CR-DEMO", b"ann", b"s\xffcret") == GARBLED


def test_external_takes_the_name_in_the_certificate() -> None:
    assert answer("EXTERNAL", b"", certificate="ann") == "ann"
    assert answer("EXTERNAL", b"guest", certificate="ann") == "ann"
    assert answer("EXTERNAL", b"", certificate="bob") == "user 'bob' - not found"
    assert answer("EXTERNAL", b"ann") == "no peer certificate"


def test_anonymous_is_the_configured_user() -> None:
    assert answer("ANONYMOUS", b"trace@example", anonymous="ann") == "ann"
    assert answer("ANONYMOUS", b"", anonymous="bob") == "user 'bob' - not found"


@pytest.mark.parametrize(
    ("mechanism", "responses", "context"),
    [
        ("PLAIN", [b"\0guest\0guest"], {}),
        ("AMQPLAIN", [amqplain({"LOGIN": "guest", "PASSWORD": "guest"})], {}),
        ("RABBIT-CR-DEMO", [b"guest", b"My password is guest"], {}),
        ("ANONYMOUS", [b""], {}),
        ("EXTERNAL", [b""], {"certificate": "guest"}),
    ],
)
def test_guest_gets_in_only_from_here_by_any_mechanism(
    mechanism: str, responses: list[bytes], context: dict[str, str]
) -> None:
    assert answer(mechanism, *responses, **context) == "guest"
    refusal = answer(mechanism, *responses, peer=AFAR, **context)
    assert refusal == "user 'guest' can only connect via localhost"


def test_others_get_in_from_afar() -> None:
    assert answer("PLAIN", b"\0ann\0s\xffcret", peer=AFAR) == "ann"


@pytest.mark.parametrize(
    ("peer", "here"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.7", False),
        ("192.0.2.7", False),
        ("fe80::1%eth0", False),
        ("0.0.0.0", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_knows_this_machines_addresses(peer: str, here: bool) -> None:
    assert is_loopback(peer) is here


def test_each_handshake_gets_its_own_machine() -> None:
    machines = registry()
    assert machines.get("PLAIN") is not machines.get("PLAIN")
    assert machines.get("NO-SUCH-MECHANISM") is None


def test_passes_a_fresh_secret_to_the_backend() -> None:
    assert registry().update_secret(Identity("ann"), b"fresh")
    assert not registry().update_secret(Identity("ann"), b"stale")
