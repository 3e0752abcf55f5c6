"""Frames (AMQP 0-9-1 §4.2.3): ``type u8 | channel u16 | size u32 | payload | 0xCE``. Role-neutral, no I/O.

The writers serve the cold road of the server and every client; `FrameReader` serves clients and tests. The server's hot
road has its own walker (`posthouse.protocols.amqp091.engine`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from posthouse.wire.errors import BadFrameEnd, FrameTooLarge

METHOD = 1
HEADER = 2
BODY = 3
HEARTBEAT = 8
HEAD = struct.Struct(">BHI")
END = b"\xce"
OVERHEAD = 8
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """One frame."""
    return HEAD.pack(kind, channel, len(payload)) + payload + END


def method_frame(channel: int, payload: bytes) -> bytes:
    """A method frame around `Method.encode`'s payload."""
    return frame(METHOD, channel, payload)


def heartbeat_frame() -> bytes:
    """A heartbeat; always on channel 0."""
    return b"\x08\x00\x00\x00\x00\x00\x00\xce"


def content_frames(
    channel: int, class_id: int, props_raw: bytes, body: bytes, frame_max: int
) -> bytes:
    """Header and body frames; body frames are as large as ``frame_max`` (0: no limit) allows."""
    head = class_id.to_bytes(2, "big") + b"\x00\x00" + len(body).to_bytes(8, "big") + props_raw
    parts = [frame(HEADER, channel, head)]
    step = frame_max - OVERHEAD if frame_max else max(1, len(body))
    parts += [frame(BODY, channel, body[at : at + step]) for at in range(0, len(body), step)]
    return b"".join(parts)


class FrameReader:
    """Splits a stream of octets into frames. Keeps at most one incomplete frame between two feeds.

    ``frame_max`` may be changed at any time (tune); 0 means no limit.
    """

    def __init__(self, frame_max: int = 131072) -> None:
        self.frame_max = frame_max
        self._buffer = bytearray()
        self._at = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Take ``data``; yields (type, channel, payload) of every frame that is complete.

        Frames that the caller does not take now come first the next time.

        Raises:
            FrameTooLarge, BadFrameEnd: while iterating; nothing behind it can be understood.
        """
        del self._buffer[: self._at]
        self._at = 0
        self._buffer += data
        return self._frames()

    def _frames(self) -> Iterator[tuple[int, int, bytes]]:
        buffer = self._buffer
        while len(buffer) - self._at >= 7:
            kind, channel, size = HEAD.unpack_from(buffer, self._at)
            # RabbitMQ: the limit is frame-max for the payload alone, though it says 8 less.
            if self.frame_max and size > self.frame_max:
                raise FrameTooLarge(kind, size, self.frame_max - OVERHEAD)
            start = self._at + 7
            end = start + size
            if len(buffer) <= end:
                return
            payload = bytes(buffer[start:end])
            if buffer[end] != END[0]:
                raise BadFrameEnd(kind, payload, buffer[end])
            self._at = end + 1
            yield kind, channel, payload
