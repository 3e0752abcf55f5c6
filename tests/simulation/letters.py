"""Messages that say who they are: a name in their properties, and a body that follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from posthouse.wire.amqp091.frames import content_frames

Name = tuple[int, int]  # sender (a channel's number in the whole simulation), number there
FLAGS = 0x1080  # delivery-mode, message-id


@dataclass(slots=True, eq=False)
class Letter:
    """A message that was published, or will be.

    Attributes:
        entries: where it is or was: one entry for each queue that got it.
        is_returned: it reached no queue and must come back before its confirm.
    """

    name: Name
    size: int
    is_persistent: bool
    is_mandatory: bool = False
    is_taken: bool = False
    is_confirmed: bool = False
    is_returned: bool | None = None
    entries: list[Any] = field(default_factory=list)

    def properties(self) -> bytes:
        """Encoded (AMQP 0-9-1 §2.3.5.2)."""
        text = b"%d.%d" % self.name
        return FLAGS.to_bytes(2, "big") + bytes((2 if self.is_persistent else 1, len(text))) + text

    def body(self) -> bytes:
        """The octets that nobody else has."""
        return body_of(self.name, self.size)

    def frames(self, channel: int, frame_max: int) -> bytes:
        """Header and body frames."""
        return content_frames(channel, 60, self.properties(), self.body(), frame_max)


def body_of(name: Name, size: int) -> bytes:
    """The body of that message."""
    pattern = b"%d.%d/" % name
    return (pattern * (size // len(pattern) + 1))[:size]


def name_of(properties: bytes) -> Name:
    """The name in encoded properties.

    Raises:
        ValueError: these are not the properties of a letter.
    """
    if int.from_bytes(properties[:2], "big") != FLAGS:
        raise ValueError(f"properties that nobody sent: {properties!r}")
    sender, _, number = bytes(properties[4 : 4 + properties[3]]).partition(b".")
    return int(sender), int(number)
