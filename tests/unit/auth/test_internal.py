"""The internal backend over a table."""

from __future__ import annotations

import base64
import hashlib

import pytest

from posthouse.auth import internal
from posthouse.auth.api import Identity
from posthouse.auth.internal import InternalBackend, Key, Row
from posthouse.core.errors import NotFound


class DictRows:
    """A table that lives in a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, Key], Row] = {}

    def items(self, kind: str) -> list[tuple[Key, Row]]:
        return [(key, row) for (k, key), row in self.rows.items() if k == kind]

    def get(self, kind: str, key: Key) -> Row | None:
        return self.rows.get((kind, key))

    def put(self, kind: str, key: Key, value: Row) -> None:
        self.rows[kind, key] = value

    def remove(self, kind: str, key: Key) -> None:
        del self.rows[kind, key]


@pytest.fixture
def rows() -> DictRows:
    return DictRows()


@pytest.fixture
def backend(rows: DictRows) -> InternalBackend:
    users = InternalBackend(rows, lambda size: b"salt"[:size], frozenset({"guest"}))
    users.add_user("ann", "secret", ["monitoring", "impersonator"])
    users.set_permissions("ann", "/", "^ann", "", ".*")
    return users


def test_logs_in_with_the_right_password(backend: InternalBackend) -> None:
    identity = backend.authenticate("ann", b"secret")
    assert identity == Identity("ann", frozenset({"monitoring", "impersonator"}))
    assert identity.may_impersonate


@pytest.mark.parametrize("password", [b"", b"Secret", b"secret ", b"secret\0"])
def test_refuses_any_other_password(backend: InternalBackend, password: bytes) -> None:
    assert backend.authenticate("ann", password) is None


def test_refuses_a_blank_password_even_if_it_was_set(backend: InternalBackend) -> None:
    backend.add_user("blank", "")
    assert backend.authenticate("blank", b"") is None


def test_an_unknown_user_costs_a_hash_too(
    backend: InternalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[bytes] = []

    def verify(password: bytes, stored: str, algorithm: str = "") -> bool:
        hashed.append(password)
        return False

    monkeypatch.setattr(internal, "verify", verify)
    assert backend.authenticate("nobody", b"pw") is None
    assert backend.authenticate("ann", b"pw") is None
    assert hashed == [b"pw", b"pw"]


def test_keeps_no_password_in_the_table(rows: DictRows, backend: InternalBackend) -> None:
    assert "secret" not in repr(rows.rows)


def test_logs_in_with_a_hash_of_another_algorithm(rows: DictRows, backend: InternalBackend) -> None:
    stored = base64.b64encode(b"abcd" + hashlib.md5(b"abcdold").digest()).decode()
    rows.put(
        "user",
        ("old",),
        {"hash": stored, "algorithm": "rabbit_password_hashing_md5", "tags": []},
    )
    assert backend.authenticate("old", b"old") == Identity("old")


@pytest.mark.parametrize(
    ("permission", "name", "granted"),
    [
        ("configure", "ann.q", True),
        ("configure", "q", False),
        ("write", "ann.q", False),  # the empty pattern grants nothing
        ("read", "anything", True),
    ],
)
def test_grants_by_pattern(
    backend: InternalBackend, permission: str, name: str, granted: bool
) -> None:
    assert backend.permits(Identity("ann"), "/", permission, name) is granted


def test_no_row_means_no_access(backend: InternalBackend) -> None:
    assert backend.may_access_vhost(Identity("ann"), "/")
    assert not backend.may_access_vhost(Identity("ann"), "other")
    assert not backend.may_access_vhost(Identity("bob"), "/")
    assert not backend.permits(Identity("ann"), "other", "read", "q")


def test_a_deleted_user_leaves_nothing_behind(rows: DictRows, backend: InternalBackend) -> None:
    backend.set_permissions("ann", "other", ".*", ".*", ".*")
    backend.set_permissions("bob", "/", ".*", ".*", ".*")
    identity = Identity("ann")
    assert backend.update_secret(identity, b"x")
    backend.delete_user("ann")
    assert list(rows.rows) == [("permission", ("bob", "/"))]
    assert not backend.has_users()
    assert not backend.update_secret(identity, b"x")
    with pytest.raises(NotFound, match="no user 'ann'"):
        backend.delete_user("ann")


def test_loopback_users_are_those_configured(backend: InternalBackend) -> None:
    assert backend.is_loopback_only("guest")
    assert not backend.is_loopback_only("ann")
