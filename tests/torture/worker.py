"""The process that does units: ``python -m tests.torture.worker MODULE:ATTRIBUTE DESCRIPTOR SEED...``.

For each seed it writes a JSON line when it begins and one when it is done to the descriptor, a pipe to the runner. If it crashes, what
was begun and not done is what crashed it. Its stack goes to stderr when it does, and when the runner ends it: SIGTERM does so like
Ctrl-C, so that units stop the brokers that they have started; where that does not help, SIGABRT.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from _pytest.outcomes import Skipped

from tests.torture.campaign import Campaign
from tests.torture.catalogue import load

ERROR_OCTETS_MAX = 16_384


def outcome_of(campaign: Campaign, seed: int) -> dict[str, Any]:
    """Do one unit. Whatever it raises is its failure, but for what `tests.support.nodes.require` raises to skip."""
    begin = time.monotonic()
    figures: Mapping[str, float] = {}
    error = skipped = ""
    try:
        figures = campaign.run(seed)
    except KeyboardInterrupt:
        raise
    except Skipped as reason:
        skipped = str(reason)
    except BaseException:
        error = traceback.format_exc()[-ERROR_OCTETS_MAX:]
    seconds = round(time.monotonic() - begin, 3)
    outcome = {"seed": seed, "seconds": seconds, "figures": dict(figures), "error": error}
    return {**outcome, "skipped": skipped} if skipped else outcome


def main(arguments: Sequence[str]) -> int:
    """Do the units in order."""
    where, descriptor, *seeds = arguments
    faulthandler.enable()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.set_inheritable(int(descriptor), False)  # the runner waits for its end, not for a broker's
    with open(int(descriptor), "w", encoding="utf-8", buffering=1) as pipe:
        campaign = load(where)
        for seed in map(int, seeds):
            pipe.write(json.dumps({"begun": seed}) + "\n")
            pipe.write(json.dumps(outcome_of(campaign, seed)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
