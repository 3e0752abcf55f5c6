"""A binding: the rule from an exchange to a queue or another exchange."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

QUEUE = "queue"
EXCHANGE = "exchange"


def freeze(value: Any) -> Any:  # Any: a field value, nested
    """A hashable form of a field value in which equal values are equal: arguments are part of a binding's identity."""
    if isinstance(value, dict):
        return ("F", tuple(sorted((k, freeze(v)) for k, v in value.items())))
    if isinstance(value, list):
        return ("A", tuple(freeze(v) for v in value))
    if isinstance(value, bytearray):
        return ("x", bytes(value))
    return (type(value).__name__, getattr(value, "tag", ""), repr(getattr(value, "value", value)))


@dataclass(frozen=True, eq=False)
class Binding:
    """From exchange ``source`` to the queue or exchange ``destination``.

    ``key`` is the binding key; its meaning is the exchange type's. Two bindings are the same when `identity` is.
    """

    source: str
    destination: str
    kind: str
    key: bytes
    arguments: dict[str, Any] = field(default_factory=dict)  # field values

    @property
    def identity(self) -> tuple[Any, ...]:
        """What makes a binding unique."""
        return (self.source, self.kind, self.destination, self.key, freeze(self.arguments))
