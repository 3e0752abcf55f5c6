"""What the rest of the broker knows of authentication and authorization: two small protocols and an identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Identity:
    """An authenticated user. ``tags`` give management rights; ``impersonator`` may set any ``user-id``."""

    name: str
    tags: frozenset[str] = frozenset()

    @property
    def may_impersonate(self) -> bool:
        """Whether ``user-id`` may name somebody else."""
        return "impersonator" in self.tags


class Authenticator(Protocol):
    """Who somebody is."""

    def authenticate(self, name: str, password: bytes) -> Identity | None:
        """The identity behind the credentials, or None. Unknown user and wrong password cost the same work."""

    def identify(self, name: str) -> Identity | None:
        """The identity of a user vouched for by other means (certificate, anonymous login)."""

    def update_secret(self, identity: Identity, secret: bytes) -> bool:
        """Whether a fresh secret of a logged-in user is taken; a backend whose logins never expire takes any."""

    def is_loopback_only(self, name: str) -> bool:
        """Whether the user may only connect from this machine."""


class Authorizer(Protocol):
    """What somebody may do."""

    def may_access_vhost(self, identity: Identity, vhost: str) -> bool:
        """Whether the user has any permissions entry in the virtual host."""

    def permits(self, identity: Identity, vhost: str, permission: str, name: str) -> bool:
        """Whether ``permission`` (``configure``, ``write``, ``read``) covers the resource ``name``."""
