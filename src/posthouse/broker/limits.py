"""How much a virtual host and a user may have: limits, and the counts that are held against them.

A limit is a row of the definitions or, where there is none, a default of the node. RabbitMQ's names and meaning (`set_vhost_limits`,
`set_user_limits`): 0 allows nothing, a negative number everything. A lower limit closes nothing that is open.

Rows: ``vhost-limits`` (vhost,) with ``max-connections`` and ``max-queues``; ``user-limits`` (user,) with ``max-connections`` and
``max-channels``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from posthouse.broker.definitions import Rows
from posthouse.core.errors import NotAllowed, PreconditionFailed

VHOST = "vhost-limits"
USER = "user-limits"
CONNECTIONS = "max-connections"
QUEUES = "max-queues"
CHANNELS = "max-channels"
KINDS = {VHOST: (CONNECTIONS, QUEUES), USER: (CONNECTIONS, CHANNELS)}

# Kind of row, then name of the limit.
Defaults = Mapping[tuple[str, str], int]


class Limits:
    """Limits and counts of one node. Whoever counted something up counts it down once."""

    def __init__(self, rows: Rows, defaults: Defaults) -> None:
        self._rows = rows
        self._defaults = defaults
        self._vhost_connections: Counter[str] = Counter()
        self._user_connections: Counter[str] = Counter()
        self._user_channels: Counter[str] = Counter()

    def of(self, kind: str, name: str, limit: str) -> int:
        """The limit that holds for a virtual host (``kind`` `VHOST`) or a user (`USER`); negative for none."""
        row = self._rows.get(kind, (name,)) or {}
        return int(row.get(limit, self._defaults.get((kind, limit), -1)))

    def set(self, kind: str, name: str, limits: Mapping[str, object]) -> None:
        """Replace the limits of a virtual host or a user; those that are not named fall back to the defaults.

        Raises:
            PreconditionFailed: an unknown limit, or one that is no integer.
        """
        for key, value in limits.items():
            if key not in KINDS[kind]:
                raise PreconditionFailed(
                    f"there is no limit '{key}' in {kind}: use {' or '.join(KINDS[kind])}"
                )
            if not isinstance(value, int) or isinstance(value, bool):
                raise PreconditionFailed(f"limit '{key}' must be an integer, not {value!r}")
        if limits:
            self._rows.put(kind, (name,), dict(limits))
        elif self._rows.get(kind, (name,)) is not None:
            self._rows.remove(kind, (name,))

    def open_connection(self, vhost: str, user: str) -> None:
        """Count a connection.

        Raises:
            NotAllowed: the virtual host, or the user, has as many as it may.
        """
        limit = self.of(VHOST, vhost, CONNECTIONS)
        if 0 <= limit <= self._vhost_connections[vhost]:
            raise NotAllowed(
                f"access to vhost '{vhost}' refused for user '{user}': connection limit ({limit}) is reached"
            )
        limit = self.of(USER, user, CONNECTIONS)
        if 0 <= limit <= self._user_connections[user]:
            raise NotAllowed(
                f"connection refused for user '{user}': user connection limit ({limit}) is reached"
            )
        self._vhost_connections[vhost] += 1
        self._user_connections[user] += 1

    def close_connection(self, vhost: str, user: str) -> None:
        """The connection is gone."""
        _down(self._vhost_connections, vhost)
        _down(self._user_connections, user)

    def open_channel(self, user: str) -> None:
        """Count a channel.

        Raises:
            NotAllowed: the user has as many as he may.
        """
        limit = self.of(USER, user, CHANNELS)
        if 0 <= limit <= self._user_channels[user]:
            raise NotAllowed(
                f"number of channels opened for user '{user}' has reached the maximum allowed user limit of ({limit})"
            )
        self._user_channels[user] += 1

    def close_channel(self, user: str) -> None:
        """The channel is gone."""
        _down(self._user_channels, user)

    def check_queue(self, vhost: str, name: str, count: int) -> None:
        """Before queue ``name`` is made in a virtual host that has ``count``.

        Raises:
            PreconditionFailed: there are as many as there may be.
        """
        limit = self.of(VHOST, vhost, QUEUES)
        if 0 <= limit <= count:
            raise PreconditionFailed(
                f"cannot declare queue '{name}': queue limit in vhost '{vhost}' ({limit}) is reached"
            )


def _down(counter: Counter[str], name: str) -> None:
    """Names that nobody uses any more take no memory."""
    counter[name] -= 1
    if counter[name] <= 0:
        del counter[name]
