"""The list of campaigns: where each one is. They are imported when they are wanted, so that one that does not import harms no other."""

from __future__ import annotations

import importlib
from typing import Final

from tests.torture.campaign import Campaign

# Name on the command line -> module and attribute; the order is that of a whole run.
CAMPAIGNS: Final[dict[str, str]] = {
    "kill": "tests.support.checker:CAMPAIGN",
    "full-disk": "tests.support.full_disk:CAMPAIGN",
    "restart": "tests.load.restart:CAMPAIGN",
    "backlog": "tests.load.backlog:CAMPAIGN",
    "soak": "tests.load.soak:CAMPAIGN",
    "session-fuzz": "tests.fuzz.session_fuzz:CAMPAIGN",
    "file-fuzz": "tests.fuzz.file_fuzz:CAMPAIGN",
    "alarms": "tests.load.alarms:CAMPAIGN",
    "slow-disk": "tests.load.slow_disk:CAMPAIGN",
    "descriptors": "tests.load.descriptors:CAMPAIGN",
    "scale": "tests.support.scale:CAMPAIGN",
    "crash-states": "tests.support.crash_states:CAMPAIGN",
    "io-faults": "tests.support.io_faults:CAMPAIGN",
    "powercut": "tests.support.powercut:CAMPAIGN",
    "damage": "tests.support.damage_campaign:CAMPAIGN",
    "check": "tests.support.check_campaign:CAMPAIGN",
    "flips": "tests.support.damage_campaign:FLIPS",
    "simulation": "tests.simulation.campaign:CAMPAIGN",
}


def load(where: str) -> Campaign:
    """Import a campaign.

    Args:
        where: ``module:ATTRIBUTE``, as in `CAMPAIGNS`.

    Raises:
        TypeError: something else stands there.
    """
    module, _, attribute = where.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if not isinstance(found, Campaign):
        raise TypeError(f"{where} is {type(found).__name__}, not a campaign")
    return found
