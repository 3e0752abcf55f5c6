"""An ordinary session, and what chance makes of it."""

from __future__ import annotations

import random
import struct

from tests.conformance.bad_input import octets


def session() -> list[bytes]:
    """The frames of an ordinary client, once it is open."""
    large = bytes(40_000)
    return [
        octets.declare("fuzz", 4, octets.long(octets.short("x-max-length") + b"I\0\0\0\x64")),
        octets.method(
            50,
            20,
            b"\0\0\x04fuzz"
            + octets.short("amq.topic")
            + octets.short("a.#")
            + b"\0"
            + octets.long(b""),
        ),
        octets.method(60, 10, struct.pack(">IHB", 0, 10, 0)),
        octets.publish("fuzz"),
        octets.header(5, b"\x90\0" + octets.short("text/plain") + b"\2"),
        octets.body(b"hello"),
        octets.publish("a.b", "amq.topic"),
        octets.header(
            len(large), b"\x20\0" + octets.long(octets.short("k") + b"S" + octets.long(b"v"))
        ),
        octets.body(large),
        octets.method(60, 20, b"\0\0\x04fuzz" + octets.short("tag") + b"\0" + octets.long(b"")),
        octets.method(60, 80, struct.pack(">QB", 1, 0)),
        octets.method(60, 120, struct.pack(">QB", 2, 2)),
        octets.method(60, 30, octets.short("tag") + b"\0"),
        octets.method(85, 10, b"\0"),
        octets.method(50, 30, b"\0\0\x04fuzz\0"),
        octets.method(20, 40, struct.pack(">H", 200) + octets.short("") + bytes(4)),
        octets.CLOSE,
    ]


def mutated(frames: list[bytes], choice: random.Random) -> bytes:
    """One to four changes: of an octet, a length, the order, the number of frames."""
    frames = list(frames)
    for _ in range(choice.randint(1, 4)):
        at = choice.randrange(len(frames))
        raw = bytearray(frames[at]) or bytearray(b"\0")
        kind = choice.randrange(7)
        if kind == 0:
            raw[choice.randrange(min(len(raw), 60))] = choice.randrange(256)
        elif kind == 1:
            raw[choice.randrange(min(len(raw), 60))] ^= 1 << choice.randrange(8)
        elif kind == 2:
            raw[3:7] = struct.pack(
                ">I", choice.choice([0, 1, len(raw), 131064, 131073, 0xFFFFFFFF])
            )
        elif kind == 3:
            del raw[choice.randrange(len(raw)) :]
        elif kind == 4:
            place = choice.randrange(len(raw))
            raw[place:place] = choice.randbytes(choice.randint(1, 9))
        elif kind == 5:
            frames.insert(choice.randrange(len(frames)), frames[at])
        else:
            frames[at], frames[-1] = frames[-1], frames[at]
            continue
        frames[at] = bytes(raw)
    return b"".join(frames)
