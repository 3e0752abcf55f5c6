"""Frames (AMQP 0-9-1 §4.2.3): ``type u8 | channel u16 | size u32 | payload | 0xCE``. Role-neutral, no I/O.

The writers serve the cold road of the server and every client; `FrameReader` serves clients and tests. The server's hot
road has its own walker (`posthouse.protocols.amqp091.engine`).
"""

from __future__ import annotations

from collections.abc import Iterator

from posthouse.wire.errors import BadFrameEnd, FrameTooLarge

METHOD = 1
HEADER = 2
BODY = 3
HEARTBEAT = 8
END = b"\xce"
OVERHEAD = 8
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """One frame."""
    return (
        bytes((kind,))
        + channel.to_bytes(2, "big")
        + len(payload).to_bytes(4, "big")
        + payload
        + END
    )


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
    """Splits a stream of octets into frames. Buffers at most one incomplete frame of ``frame_max`` octets."""

    def __init__(self, frame_max: int = 131072) -> None:
        self.frame_max = frame_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Yield (type, channel, payload) of every frame completed by ``data``.

        Raises:
            FrameTooLarge, BadFrameEnd: nothing behind it can be understood.
        """
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= 7:
                size = int.from_bytes(buffer[at + 3 : at + 7], "big")
                if self.frame_max and size > self.frame_max - OVERHEAD + 8:
                    raise FrameTooLarge(buffer[at], size, self.frame_max)
                end = at + 7 + size
                if len(buffer) <= end:
                    break
                if buffer[end] != 0xCE:
                    raise BadFrameEnd(buffer[end])
                kind = buffer[at]
                channel = int.from_bytes(buffer[at + 1 : at + 3], "big")
                payload = bytes(buffer[at + 7 : end])
                at = end + 1
                yield kind, channel, payload
        finally:
            del buffer[:at]
