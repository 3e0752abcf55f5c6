"""What the broker says of itself in ``connection.start``, and the observable differences between versions.

Clients choose their behaviour by ``product`` and ``version`` (kombu takes the prefetch scope from it), so the
profile claims RabbitMQ 3.13 behaviour; the table below is the one place where versions differ.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """Observable behaviour that differs between RabbitMQ versions."""

    product: str = "RabbitMQ"
    version: str = "3.13.7"
    frame_min: int = 4096
    # `configure access to queue ...` since 3.12; before: `access to queue ...`.
    names_the_permission: bool = True
    # Unknown exchange type: a channel error since 3.13, 503 on the connection before.
    unknown_exchange_type_closes_connection: bool = False


PROFILE = Profile()

SERVER_CAPABILITIES = (
    "authentication_failure_close",
    "basic.nack",
    "connection.blocked",
    "consumer_cancel_notify",
    "consumer_priorities",
    "exchange_exchange_bindings",
    "per_consumer_qos",
    "publisher_confirms",
)


def server_properties(cluster_name: str, profile: Profile, platform: str) -> dict[str, object]:
    """The table of ``connection.start``, sorted by key as RabbitMQ sends it."""
    return {
        "capabilities": dict.fromkeys(sorted(SERVER_CAPABILITIES), True),
        "cluster_name": cluster_name,
        "copyright": "Copyright (c) the Posthouse developers.",
        "information": "Posthouse speaks RabbitMQ's AMQP 0-9-1. Licensed under the Apache License 2.0.",
        "platform": platform,
        "product": profile.product,
        "version": profile.version,
    }
