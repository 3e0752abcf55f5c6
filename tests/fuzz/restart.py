"""A broker stops and starts again on the same files: what was durable is there, in order, and nothing else is."""

from __future__ import annotations

from typing import Any

from posthouse.core import layout
from posthouse.testing.files import MemoryFiles
from tests.fuzz import accounts
from tests.fuzz.witness import Broken
from tests.support.inmemory import World


def durable_state(world: World) -> dict[str, Any]:
    """What must survive: sizes of persistent messages by durable queue, durable exchanges, bindings between durable ends."""
    found: dict[str, Any] = {}
    for vhost in world.broker.vhosts.values():
        durable = {queue.name for queue in vhost.queues.values() if queue.queue_id}
        for queue in vhost.queues.values():
            if queue.queue_id:
                found[f"queue {queue.name}"] = [
                    entry[3] for entry in queue.index.entries() if entry[4] & layout.PERSISTENT
                ]
        for exchange in vhost.exchanges.values():
            if not exchange.durable or not exchange.name:
                continue
            found[f"exchange {exchange.name}"] = exchange.kind
            found[f"bindings of {exchange.name}"] = {
                identity
                for identity, binding in exchange.bindings.items()
                if (
                    binding.destination in durable
                    if binding.kind == "queue"
                    else vhost.exchanges[binding.destination].durable
                )
            }
    return found


def check_restart(world: World, files: MemoryFiles) -> None:
    """Stop ``world`` and start another one on its files."""
    expected = durable_state(world)
    world.stop()
    again = World("data", files=files)
    found = durable_state(again)
    for key in expected.keys() | found.keys():
        if expected.get(key) != found.get(key):
            raise Broken(f"{key} before and after: {expected.get(key)} {found.get(key)}")
    accounts.check_empty(again)
