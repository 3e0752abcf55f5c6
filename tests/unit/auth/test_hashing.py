"""Password hashes against ones that RabbitMQ's documentation and `rabbitmqctl hash_password` show."""

from __future__ import annotations

import base64
import hashlib

import pytest

from posthouse.auth.hashing import SHA256, hash_password, verify

# RabbitMQ's documentation of password hashing: salt 908DC60A, password "test12".
DOCUMENTED = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def test_hashes_as_rabbitmq_documents() -> None:
    assert hash_password(b"test12", bytes.fromhex("908dc60a")) == DOCUMENTED
    assert verify(b"test12", DOCUMENTED)
    assert not verify(b"test13", DOCUMENTED)


@pytest.mark.parametrize("kind", ["sha256", "sha512", "md5"])
def test_verifies_each_algorithm(kind: str) -> None:
    algorithm = f"rabbit_password_hashing_{kind}"
    digest = hashlib.new(kind, b"saltpw")
    stored = base64.b64encode(b"salt" + digest.digest()).decode()
    assert hash_password(b"pw", b"salt", algorithm) == stored
    assert verify(b"pw", stored, algorithm)
    assert not verify(b"other", stored, algorithm)


@pytest.mark.parametrize(
    ("stored", "algorithm"),
    [
        ("", SHA256),
        ("not base64!", SHA256),
        (base64.b64encode(b"salt").decode(), SHA256),
        ("é", SHA256),
        (DOCUMENTED, "rabbit_password_hashing_rot13"),
        (DOCUMENTED, "rabbit_password_hashing_md5"),
    ],
)
def test_refuses_where_the_stored_hash_is_of_no_use(stored: str, algorithm: str) -> None:
    assert not verify(b"test12", stored, algorithm)


def test_demands_a_salt_of_four_octets() -> None:
    with pytest.raises(ValueError, match="4 octets"):
        hash_password(b"pw", b"salty")
