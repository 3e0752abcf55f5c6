"""What every exchange is: a named routing function with its bindings. It stores no messages.

A type implements `on_bound`, `on_unbound` and `destinations`; this class owns the bindings. Types register by name; third parties
use the entry point group ``posthouse.exchange_types``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from posthouse.broker.binding import Binding

Destination = tuple[str, str]  # kind (queue, exchange), name


class Exchange:
    """An exchange of one virtual host.

    Attributes:
        bindings: those with this exchange as source, by identity, in order of creation.
        uses_headers: routing looks at headers, so a route cannot be cached by key.
    """

    kind: ClassVar[str]
    uses_headers: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        *,
        durable: bool = True,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: Mapping[str, Any] | None = None,  # field values
    ) -> None:
        self.name = name
        self.durable = durable
        self.auto_delete = auto_delete
        self.internal = internal
        self.arguments = dict(arguments or {})
        self.bindings: dict[tuple[Any, ...], Binding] = {}

    @property
    def alternate(self) -> str | None:
        """The alternate exchange's name, if one is declared."""
        value = self.arguments.get("alternate-exchange")
        if isinstance(value, bytes):
            return value.decode("utf-8", "surrogateescape")
        return value if isinstance(value, str) else None

    def check_binding(self, binding: Binding) -> None:
        """Refuse a binding that this type cannot serve (PreconditionFailed)."""

    def bind(self, binding: Binding) -> bool:
        """Add a binding; False if the same one is there."""
        identity = binding.identity
        if identity in self.bindings:
            return False
        self.bindings[identity] = binding
        self.on_bound(binding)
        return True

    def unbind(self, binding: Binding) -> bool:
        """Remove a binding; False if there is none."""
        found = self.bindings.pop(binding.identity, None)
        if found is None:
            return False
        self.on_unbound(found)
        return True

    def on_bound(self, binding: Binding) -> None:
        """A binding was added."""
        raise AssertionError("every exchange type has its own on_bound")

    def on_unbound(self, binding: Binding) -> None:
        """A binding was removed."""
        raise AssertionError("every exchange type has its own on_unbound")

    def destinations(self, key: bytes, headers: Mapping[str, Any] | None) -> Iterable[Destination]:
        """Where a message with this routing key and these headers goes; repetitions do no harm."""
        raise AssertionError("every exchange type has its own destinations")
