"""RabbitMQ's password hashes: base64(salt(4) + H(salt + password)), H = SHA-256, SHA-512 or (old) MD5.

Byte for byte RabbitMQ's, so that its definitions can be imported and exported.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable

SALT_SIZE = 4
SHA256 = "rabbit_password_hashing_sha256"

_HASHES: dict[str, Callable[[bytes], bytes]] = {
    SHA256: lambda data: hashlib.sha256(data).digest(),
    "rabbit_password_hashing_sha512": lambda data: hashlib.sha512(data).digest(),
    "rabbit_password_hashing_md5": lambda data: hashlib.md5(data, usedforsecurity=False).digest(),
}


def hash_password(password: bytes, salt: bytes, algorithm: str = SHA256) -> str:
    """The stored form of ``password`` with a 4-octet ``salt``."""
    if len(salt) != SALT_SIZE:
        raise ValueError(f"the salt has {SALT_SIZE} octets, not {len(salt)}")
    return base64.b64encode(salt + _HASHES[algorithm](salt + password)).decode("ascii")


def verify(password: bytes, stored: str, algorithm: str = SHA256) -> bool:
    """Whether ``password`` is the one behind ``stored``, in constant time. A blank password never is."""
    digest = _HASHES.get(algorithm)
    try:
        raw = binascii.a2b_base64(stored, strict_mode=True)
    except (binascii.Error, ValueError):
        return False
    if digest is None or len(raw) <= SALT_SIZE:
        return False
    good = hmac.compare_digest(raw[SALT_SIZE:], digest(raw[:SALT_SIZE] + password))
    return good and bool(password)
