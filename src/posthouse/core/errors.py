"""The domain's errors. They carry RabbitMQ's explanation, never a reply code: each protocol maps them.

::

    PosthouseError
    ├── BrokerError              a request that cannot be met
    │   ├── NotFound             no such exchange, queue, vhost
    │   ├── AccessRefused        not permitted, reserved, exclusive consumer
    │   ├── ResourceLocked       exclusive to another connection
    │   ├── PreconditionFailed   inequivalent, in use, not empty, bad argument
    │   ├── NotAllowed           against the connection's rules
    │   └── CommandInvalid       a command that makes no sense (unknown exchange type)
    ├── AuthError                credentials refused
    ├── ConfigError              a setting that cannot be used
    └── StorageError             the machine or its data
        ├── DataDirLocked        another process has the data directory
        ├── LogClosed            used after close
        └── CorruptRecord        damaged data was met
"""

from __future__ import annotations


class PosthouseError(Exception):
    """The root. ``explanation`` is one clear sentence for the client or the operator."""

    def __init__(self, explanation: str) -> None:
        super().__init__(explanation)
        self.explanation = explanation


class BrokerError(PosthouseError):
    """A request that cannot be met."""


class NotFound(BrokerError):
    """Something named does not exist."""


class AccessRefused(BrokerError):
    """Not permitted to this user, or to anybody."""


class ResourceLocked(BrokerError):
    """Exclusive to another connection."""


class PreconditionFailed(BrokerError):
    """The state or the arguments do not allow it."""


class NotAllowed(BrokerError):
    """Against the connection's rules."""


class CommandInvalid(BrokerError):
    """A command that makes no sense."""


class AuthError(PosthouseError):
    """Credentials refused."""


class ConfigError(PosthouseError):
    """A setting that cannot be used; the text names the file and the key."""


class StorageError(PosthouseError):
    """The machine or its data failed."""


class DataDirLocked(StorageError):
    """Another process has the data directory."""

    def __init__(self, directory: str, holder: str) -> None:
        by = f" by process {holder}" if holder else ""
        super().__init__(
            f"the data directory {directory} is in use{by}: stop that broker, or choose another --data-dir"
        )
        self.directory = directory
        self.holder = holder


class LogClosed(StorageError):
    """Used after close."""


class CorruptRecord(StorageError):
    """Damaged data was met."""
