"""How many connections the operating system's limit of open files leaves room for.

The log must never lack a descriptor: it makes a segment, a snapshot or a page when it is time, and a failure there is final. So connections
get what is left of the limit; those beyond wait in the listen queue.
"""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)

# Two logs with a segment that ends and one that begins, directories that are synced, snapshots, pages, files that are read back, the lock,
# the reserve, the listeners, the loop's own, standard streams: about thirty at a time.
RESERVED = 64
ENOUGH = 1 << 20


def connection_room() -> int:
    """Raise the soft limit to the hard one; returns how many connections there is room for, at least one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return ENOUGH
    # Some systems say that there is no hard limit, and then do not take that for a soft one.
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError) as error:
            log.warning("the limit of open files stays at %d: %s", soft, error)
    return max(1, soft - RESERVED)
