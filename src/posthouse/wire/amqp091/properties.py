"""The properties of a basic message (AMQP 0-9-1 §4.2.6.1): a flags word, then the values present, in order.

``raw`` is the content header from the property flags on. The broker keeps properties raw and decodes them only where it
must look (headers exchanges, ``user-id``, ``expiration``).
"""

from __future__ import annotations

from typing import Any

from posthouse.wire.amqp091.fields import decode_table, encode_table
from posthouse.wire.errors import BadField

# name, flag bit, kind
PROPERTIES: tuple[tuple[str, int, str], ...] = (
    ("content_type", 0x8000, "shortstr"),
    ("content_encoding", 0x4000, "shortstr"),
    ("headers", 0x2000, "table"),
    ("delivery_mode", 0x1000, "octet"),
    ("priority", 0x0800, "octet"),
    ("correlation_id", 0x0400, "shortstr"),
    ("reply_to", 0x0200, "shortstr"),
    ("expiration", 0x0100, "shortstr"),
    ("message_id", 0x0080, "shortstr"),
    ("timestamp", 0x0040, "longlong"),
    ("type", 0x0020, "shortstr"),
    ("user_id", 0x0010, "shortstr"),
    ("app_id", 0x0008, "shortstr"),
    ("cluster_id", 0x0004, "shortstr"),
)


class BasicProperties:
    """Decoded properties; None stands for one that is absent."""

    __slots__ = tuple(name for name, _, _ in PROPERTIES)

    def __init__(
        self,
        *,
        content_type: str | None = None,
        content_encoding: str | None = None,
        headers: dict[str, Any] | None = None,  # field values
        delivery_mode: int | None = None,
        priority: int | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        expiration: str | None = None,
        message_id: str | None = None,
        timestamp: int | None = None,
        type: str | None = None,  # the protocol's name
        user_id: str | None = None,
        app_id: str | None = None,
        cluster_id: str | None = None,
    ) -> None:
        self.content_type = content_type
        self.content_encoding = content_encoding
        self.headers = headers
        self.delivery_mode = delivery_mode
        self.priority = priority
        self.correlation_id = correlation_id
        self.reply_to = reply_to
        self.expiration = expiration
        self.message_id = message_id
        self.timestamp = timestamp
        self.type = type
        self.user_id = user_id
        self.app_id = app_id
        self.cluster_id = cluster_id

    @classmethod
    def decode(cls, raw: bytes) -> BasicProperties:
        """Decode ``raw``.

        Raises:
            BadField: cut short, octets left over, or a malformed table.
        """
        if len(raw) < 2:
            raise BadField("property flags are cut short")
        flags = int.from_bytes(raw[:2], "big")
        # RabbitMQ: the two flags that no property has are ignored.
        at = 2
        found = cls()
        try:
            for name, bit, kind in PROPERTIES:
                if flags & bit:
                    value, at = _read(raw, at, kind)
                    setattr(found, name, value)
        except IndexError as error:
            raise BadField("properties are cut short") from error
        if at != len(raw):
            raise BadField("octets are left over behind the properties")
        return found

    def encode(self) -> bytes:
        """The raw form."""
        flags = 0
        parts = []
        for name, bit, kind in PROPERTIES:
            value = getattr(self, name)
            if value is None:
                continue
            flags |= bit
            if kind == "table":
                parts.append(encode_table(value))
            elif kind == "octet":
                parts.append(bytes((value,)))
            elif kind == "longlong":
                parts.append(value.to_bytes(8, "big"))
            else:
                octets = value.encode("utf-8", "surrogateescape")
                parts.append(bytes((len(octets),)) + octets)
        return flags.to_bytes(2, "big") + b"".join(parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BasicProperties) and all(
            getattr(self, n) == getattr(other, n) for n in self.__slots__
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = ((n, getattr(self, n)) for n in self.__slots__)
        return f"BasicProperties({', '.join(f'{n}={v!r}' for n, v in fields if v is not None)})"


def _read(raw: bytes, at: int, kind: str) -> tuple[Any, int]:  # Any: by kind
    if kind == "octet":
        return raw[at], at + 1
    if kind == "longlong":
        if at + 8 > len(raw):
            raise IndexError
        return int.from_bytes(raw[at : at + 8], "big"), at + 8
    if kind == "table":
        end = at + 4 + int.from_bytes(raw[at : at + 4], "big")
        if at + 4 > len(raw) or end > len(raw):
            raise IndexError
        return decode_table(raw[at + 4 : end]), end
    end = at + 1 + raw[at]
    if end > len(raw):
        raise IndexError
    return raw[at + 1 : end].decode("utf-8", "surrogateescape"), end
