"""Publishes encoded once: the buffer from which a producer sends over and over."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.cli.perf.plan import Plan
from posthouse.wire.amqp091.frames import content_frames, method_frame
from posthouse.wire.amqp091.methods import BasicPublish
from posthouse.wire.amqp091.properties import BasicProperties

# One send of this size costs the kernel about as much per byte as a larger one, and the buffer
# stays in the cache.
TARGET_BYTES = 128 * 1024
BASIC_CLASS = 60


@dataclass(frozen=True)
class Units:
    """Whole publishes, all of the same size; the keys take turns."""

    data: bytes
    unit_bytes: int
    stamp_at: int  # offset of the body in a unit


def encode_units(plan: Plan, producer: int, frame_max: int) -> Units:
    """The units of a producer. Producers start at different keys so that they do not march in
    step.
    """
    keys = 1 if plan.exchange == "fanout" else plan.queues
    props = BasicProperties(delivery_mode=2 if plan.is_persistent else 1).encode()
    content = content_frames(1, BASIC_CLASS, props, b"x" * plan.size_bytes, frame_max)
    rounds = []
    method = b""
    for index in range(keys):
        method = method_frame(
            1,
            BasicPublish(
                exchange=plan.exchange_name,
                routing_key=plan.routing_key((index + producer) % keys),
                mandatory=plan.is_mandatory,
            ).encode(),
        )
        rounds.append(method + content)
    unit_bytes = len(rounds[0])
    assert all(len(unit) == unit_bytes for unit in rounds), "keys differ in length"
    once = b"".join(rounds)
    repeats = 1 if plan.mode == "latency" else max(1, TARGET_BYTES // len(once))
    # behind the method frame: the header frame (8 octets around 12 and the properties), 7 octets
    # of the body frame
    stamp_at = len(method) + 8 + 12 + len(props) + 7
    return Units(once * repeats, unit_bytes, stamp_at)
