"""The simulation as a campaign: every unit is a seed."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from tests.simulation.simulation import Simulation
from tests.torture.campaign import Campaign


def run(seed: int) -> Mapping[str, float]:
    """One seed.

    Raises:
        Violation: a promise was broken. ``python -m tests.simulation --seed N --trace`` shows how.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        return {"seeds": 1, **Simulation(seed).run()}
    finally:
        logging.disable(before)


CAMPAIGN = Campaign(
    name="simulation",
    what="the whole broker on a virtual clock and a faulty disk in memory: kills, power cuts and EIO at any call (P1 to P16)",
    units=20_000,
    run=run,
    batch=500,
    timeout_s=60.0,
)
