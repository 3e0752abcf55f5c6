"""A channel's cache of permission decisions (RabbitMQ: the last 12), and the error text of a refusal."""

from __future__ import annotations

from collections import OrderedDict

from posthouse.auth.api import Authorizer, Identity
from posthouse.core.errors import AccessRefused

CACHE_SIZE = 12
DEFAULT_EXCHANGE = "amq.default"


class PermissionCache:
    """Answers for one user in one virtual host; only grants are kept, a refusal closes the channel anyway."""

    __slots__ = ("_authorizer", "_granted", "_identity", "_vhost")

    def __init__(self, authorizer: Authorizer, identity: Identity | None, vhost: str) -> None:
        assert identity is not None
        self._authorizer = authorizer
        self._identity = identity
        self._vhost = vhost
        self._granted: OrderedDict[tuple[str, str], None] = OrderedDict()

    def check(self, permission: str, kind: str, name: str) -> None:
        """Do nothing if ``permission`` on the ``kind`` (``queue``, ``exchange``) ``name`` is granted.

        Raises:
            AccessRefused: with RabbitMQ's text.
        """
        if kind == "exchange" and not name:
            name = DEFAULT_EXCHANGE
        key = (permission, name)
        if key in self._granted:
            self._granted.move_to_end(key)
            return
        if not self._authorizer.permits(self._identity, self._vhost, permission, name):
            raise AccessRefused(
                f"{permission} access to {kind} '{name}' in vhost '{self._vhost}' "
                f"refused for user '{self._identity.name}'"
            )
        self._granted[key] = None
        if len(self._granted) > CACHE_SIZE:
            self._granted.popitem(last=False)

    def clear(self) -> None:
        """Forget: permissions changed."""
        self._granted.clear()
