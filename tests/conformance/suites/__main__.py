"""Record what a real RabbitMQ gives for the foreign suites: `python -m tests.conformance.suites [NAME...]`.

Writes `<name>.json`; deviations that are noted there stay. Run it when a suite's version changes, and read the difference.
"""

from __future__ import annotations

import json
import sys

from tests.conformance.clients.tools import Broker
from tests.conformance.suites.suite import SUITES, Suite
from tests.support.rabbit import RabbitNode


def record(suite: Suite, broker: Broker) -> None:
    outcomes, output = suite.run(broker)
    old = json.loads(suite.record.read_text()) if suite.record.exists() else {}
    data = {
        "suite": suite.name,
        "version": suite.version,
        "recorded_with": "RabbitMQ 3.10 of Debian 12",
        "deselected": suite.deselected,
        "deviations": old.get("deviations", {}),
        "outcomes": dict(sorted(outcomes.items())),
    }
    suite.record.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    counts = {o: list(outcomes.values()).count(o) for o in ("passed", "failed", "skipped")}
    print(suite.name, counts)
    if counts["failed"]:
        print(output[-4000:])


def main() -> None:
    node = RabbitNode().start()
    try:
        for suite in SUITES:
            if suite.name in sys.argv[1:] or not sys.argv[1:]:
                record(suite, Broker("rabbitmq", "127.0.0.1", node.port))
    finally:
        node.stop()


if __name__ == "__main__":
    main()
