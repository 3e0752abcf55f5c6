"""The durable topology as rows of the definitions table.

Rows: ``vhost`` (name,); ``exchange`` (vhost, name); ``queue`` (vhost, name) with its id; ``binding`` (vhost, running number);
``counter`` (queue_id,). Field values keep their AMQP type as ``[tag, value]`` pairs, binding keys are text with surrogateescape.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Protocol

from posthouse.broker.binding import Binding
from posthouse.broker.exchanges.base import Exchange
from posthouse.broker.queues.queue import Queue
from posthouse.core.errors import CorruptRecord

Key = tuple[str, ...]
Row = dict[str, Any]  # JSON

# How many queue ids one row reserves: an id is never used twice, and not every declare writes the counter.
ID_STRIDE = 1024


class Rows(Protocol):
    """The definitions table, as far as this module uses it."""

    def items(self, kind: str) -> Iterable[tuple[Key, Row]]:
        """All rows of a kind."""

    def get(self, kind: str, key: Key) -> Row | None:
        """One row."""

    def put(self, kind: str, key: Key, value: Row) -> None:
        """Insert or replace."""

    def remove(self, kind: str, key: Key) -> None:
        """Remove."""


def pack(value: Any) -> Any:  # Any: a field value; the result is JSON
    """A field value as JSON that keeps the AMQP type."""
    if isinstance(value, dict):
        return ["F", {k: pack(v) for k, v in value.items()}]
    if isinstance(value, list):
        return ["A", [pack(v) for v in value]]
    if isinstance(value, bytes | bytearray):
        kind = "x" if isinstance(value, bytearray) else "S"
        return [kind, base64.b64encode(bytes(value)).decode()]
    if isinstance(value, Decimal):
        return ["D", str(value)]
    tag = getattr(value, "tag", None)
    if tag is not None:
        return [tag, value.value]
    if type(value) is not int and isinstance(value, int) and not isinstance(value, bool):
        return ["T", int(value)]
    return value


class Definitions:
    """Reads and writes the topology. ``typed`` makes a field value from tag and number (the wire's class)."""

    def __init__(self, rows: Rows, typed: Callable[[str, Any], Any]) -> None:
        self._rows = rows
        self._typed = typed
        self._bindings: dict[tuple[Any, ...], str] = {}
        self._next_binding = 0
        try:
            self._next_id = self._first_free_id()
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptRecord(f"the definitions make no sense: {error!r}") from error
        self._reserved = self._next_id

    def _first_free_id(self) -> int:
        counter = self._rows.get("counter", ("queue_id",))
        first = 1 if counter is None else int(counter["value"])
        # Only a damaged log lacks the counter's row: a number that is in use must not be given twice.
        for _, row in self._rows.items("queue"):
            first = max(first, int(row["id"]) + 1)
        return first

    def unpack(self, value: Any) -> Any:  # Any: JSON to a field value
        """The inverse of `pack`."""
        if not isinstance(value, list):
            return value
        tag, inside = value
        if tag == "F":
            return {k: self.unpack(v) for k, v in inside.items()}
        if tag == "A":
            return [self.unpack(v) for v in inside]
        if tag in ("S", "x"):
            octets = base64.b64decode(inside)
            return octets if tag == "S" else bytearray(octets)
        if tag == "D":
            return Decimal(inside)
        return self._typed(tag, inside)

    def arguments(self, row: Row) -> dict[str, Any]:
        """The arguments of a row."""
        return {k: self.unpack(v) for k, v in row.get("arguments", {}).items()}

    @staticmethod
    def _packed(arguments: Mapping[str, Any]) -> Row:
        return {k: pack(v) for k, v in arguments.items()}

    def new_queue_id(self) -> int:
        """An id that no queue ever had. A crash skips at most `ID_STRIDE` ids."""
        if self._next_id >= self._reserved:
            self._reserved = self._next_id + ID_STRIDE
            self._rows.put("counter", ("queue_id",), {"value": self._reserved})
        self._next_id += 1
        return self._next_id - 1

    def note_queue_id(self, number: int) -> None:
        """The number is in use, though no row says so."""
        self._next_id = max(self._next_id, number + 1)

    def vhosts(self) -> list[str]:
        """The names of all virtual hosts."""
        return [key[0] for key, _ in self._rows.items("vhost")]

    def put_vhost(self, name: str) -> None:
        """Keep a virtual host."""
        self._rows.put("vhost", (name,), {})

    def remove_vhost(self, name: str) -> None:
        """Forget a virtual host; its rows went before."""
        self._rows.remove("vhost", (name,))

    def rows(self, kind: str) -> Iterable[tuple[Key, Row]]:
        """The raw rows of a kind, for loading."""
        return self._rows.items(kind)

    def put_exchange(self, vhost: str, exchange: Exchange) -> None:
        """Keep a durable exchange."""
        self._rows.put(
            "exchange",
            (vhost, exchange.name),
            {
                "type": exchange.kind,
                "auto_delete": exchange.auto_delete,
                "internal": exchange.internal,
                "arguments": self._packed(exchange.arguments),
            },
        )

    def remove_exchange(self, vhost: str, name: str) -> None:
        """Forget an exchange."""
        self._rows.remove("exchange", (vhost, name))

    def put_queue(self, vhost: str, queue: Queue) -> None:
        """Keep a durable queue."""
        self._rows.put(
            "queue",
            (vhost, queue.name),
            {
                "id": queue.queue_id,
                "auto_delete": queue.auto_delete,
                "arguments": self._packed(queue.arguments),
            },
        )

    def remove_queue(self, vhost: str, name: str) -> None:
        """Forget a queue."""
        self._rows.remove("queue", (vhost, name))

    def put_binding(self, vhost: str, binding: Binding) -> None:
        """Keep a binding between durable ends."""
        self._next_binding += 1
        number = str(self._next_binding)
        self._bindings[(vhost, *binding.identity)] = number
        self._rows.put(
            "binding",
            (vhost, number),
            {
                "source": binding.source,
                "destination": binding.destination,
                "kind": binding.kind,
                "key": binding.key.decode("utf-8", "surrogateescape"),
                "arguments": self._packed(binding.arguments),
            },
        )

    def loaded_binding(self, vhost: str, number: str, row: Row) -> Binding:
        """A binding from its row; remembers the row's key for removal."""
        binding = Binding(
            row["source"],
            row["destination"],
            row["kind"],
            row["key"].encode("utf-8", "surrogateescape"),
            self.arguments(row),
        )
        self._bindings[(vhost, *binding.identity)] = number
        self._next_binding = max(self._next_binding, int(number))
        return binding

    def remove_binding(self, vhost: str, binding: Binding) -> None:
        """Forget a binding, if it was kept."""
        number = self._bindings.pop((vhost, *binding.identity), None)
        if number is not None:
            self._rows.remove("binding", (vhost, number))
