"""The internal backend: users and permissions as rows of the definitions table.

Rows: kind ``user``, key (name,), value {hash, algorithm, tags}; kind ``permission``, key (user, vhost), value
{configure, write, read}. RabbitMQ's rules: patterns are searched unanchored, the empty pattern grants nothing, no
row means no access to the virtual host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from posthouse.auth.api import Identity
from posthouse.auth.hashing import SHA256, hash_password, verify
from posthouse.auth.patterns import matches
from posthouse.broker.limits import USER as USER_LIMITS
from posthouse.core.errors import NotFound

Key = tuple[str, ...]
Row = dict[str, Any]  # JSON


class Rows(Protocol):
    """The definitions table, as far as this module uses it."""

    def items(self, kind: str) -> Iterable[tuple[Key, Row]]:
        """All rows of a kind."""

    def get(self, kind: str, key: Key) -> Row | None:
        """One row."""

    def put(self, kind: str, key: Key, value: Row) -> None:
        """Insert or replace."""

    def remove(self, kind: str, key: Key) -> None:
        """Remove."""


class InternalBackend:
    """Authenticator and authorizer over the table. ``salt`` gives fresh random octets."""

    def __init__(
        self, rows: Rows, salt: Callable[[int], bytes], loopback_users: frozenset[str]
    ) -> None:
        self._rows = rows
        self._salt = salt
        self._loopback_users = loopback_users
        decoy = hash_password(b"nobody has this password", b"\0\0\0\0")
        self._decoy: Row = {"hash": decoy, "algorithm": SHA256}

    # --- users ----------------------------------------------------------------------------------

    def add_user(self, name: str, password: str, tags: Iterable[str] = ()) -> None:
        """Create or replace a user."""
        stored = hash_password(password.encode(), self._salt(4))
        self._rows.put("user", (name,), {"hash": stored, "algorithm": SHA256, "tags": sorted(tags)})

    def delete_user(self, name: str) -> None:
        """Remove a user and all of its permissions."""
        if self._rows.get("user", (name,)) is None:
            raise NotFound(f"no user '{name}'")
        if self._rows.get(USER_LIMITS, (name,)) is not None:
            self._rows.remove(USER_LIMITS, (name,))
        for key, _ in self._rows.items("permission"):
            if key[0] == name:
                self._rows.remove("permission", key)
        self._rows.remove("user", (name,))

    def has_users(self) -> bool:
        """Whether anybody exists; a new node makes its default user."""
        return any(True for _ in self._rows.items("user"))

    def set_permissions(self, user: str, vhost: str, configure: str, write: str, read: str) -> None:
        """Grant by three patterns."""
        self._rows.put(
            "permission", (user, vhost), {"configure": configure, "write": write, "read": read}
        )

    # --- Authenticator --------------------------------------------------------------------------

    def authenticate(self, name: str, password: bytes) -> Identity | None:
        """See `posthouse.auth.api.Authenticator`."""
        row = self._rows.get("user", (name,))
        known = self._decoy if row is None else row
        is_right = verify(password, known["hash"], known["algorithm"])
        return self.identify(name) if is_right and row is not None else None

    def identify(self, name: str) -> Identity | None:
        """See `posthouse.auth.api.Authenticator`."""
        row = self._rows.get("user", (name,))
        return None if row is None else Identity(name, frozenset(row["tags"]))

    def update_secret(self, identity: Identity, secret: bytes) -> bool:
        """RabbitMQ: passwords do not expire, so there is nothing to renew as long as the user exists."""
        return self._rows.get("user", (identity.name,)) is not None

    def is_loopback_only(self, name: str) -> bool:
        """See `posthouse.auth.api.Authenticator`."""
        return name in self._loopback_users

    # --- Authorizer -----------------------------------------------------------------------------

    def may_access_vhost(self, identity: Identity, vhost: str) -> bool:
        """See `posthouse.auth.api.Authorizer`."""
        return self._rows.get("permission", (identity.name, vhost)) is not None

    def permits(self, identity: Identity, vhost: str, permission: str, name: str) -> bool:
        """See `posthouse.auth.api.Authorizer`."""
        row = self._rows.get("permission", (identity.name, vhost))
        return row is not None and matches(row[permission], name)
