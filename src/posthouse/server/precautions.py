"""What a node looks at before it lets anybody in: who else can get at its data, and whether a password that everybody knows is enough.

Refused is what nobody can want; what may be somebody's reason is logged. `process` calls this.
"""

from __future__ import annotations

import logging
import os
import stat

from posthouse.auth.api import Authenticator
from posthouse.auth.sasl import is_loopback
from posthouse.core.config import Config
from posthouse.core.errors import ConfigError, StorageError

log = logging.getLogger(__name__)

WELL_KNOWN = ("guest", b"guest")


def check_data_dir(path: str) -> None:
    """A directory that is there already is the operator's: he is told when others can look into it.

    A new one is made with mode 0700, and all files with 0600.

    Raises:
        StorageError: everybody may write to it, so anybody could put a log with a user of his own in its place.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        return  # the journal says so
    mode = stat.S_IMODE(found.st_mode)
    if mode & stat.S_IWOTH:
        raise StorageError(
            f"data directory {path} can be written by everybody (mode {mode:04o}): chmod 700 {path}"
        )
    if mode & 0o077:
        log.warning(
            "data directory %s is open to others than its owner (mode %04o); chmod 700 is enough",
            path,
            mode,
        )
    if found.st_uid not in (os.geteuid(), 0):
        log.warning("data directory %s belongs to another user (%d)", path, found.st_uid)


def check_passwords(config: Config, users: Authenticator) -> None:
    """The well-known user with the well-known password must not be able to log in from anywhere.

    As long as he is one of ``auth.loopback_users``, which is the default, he cannot.

    Raises:
        ConfigError: he could, and nobody said that this is wanted.
    """
    name, password = WELL_KNOWN
    bind = config.amqp.bind
    if bind == "localhost" or is_loopback(bind) or config.auth.allow_default_password:
        return
    if users.is_loopback_only(name) or users.authenticate(name, password) is None:
        return
    raise ConfigError(
        f"user '{name}' with password '{name}' could log in from any machine that reaches {bind}: change the "
        "password, put the user into auth.loopback_users, or set auth.allow_default_password"
    )
