"""Contents of messages for fuzzed publishes, and what shows on arrival that nothing of them was mixed up."""

from __future__ import annotations

import random
import struct
import zlib

from tests.conformance.bad_input.octets import body, frame, header, short
from tests.fuzz import values

MARK = b"WHOLE"
HEAD = struct.Struct(">5sIII")
PATTERN = random.Random(7).randbytes(1 << 21)
# Around one frame of either size, a large message's arrival in its block (16 KiB to 1 MiB), and the shared receive buffer.
EDGES = (
    *(4088 + n for n in (-1, 0, 1)),
    *(16384 + n for n in (-1, 0, 1)),
    *(131064 + n for n in (-1, 0, 1, 8)),
    *(262144 + n for n in (-1, 0, 1)),
    300_000,
)
HUGE = (*((1 << 20) - 16384 + n for n in (-1, 0, 1)), (1 << 20) + 5)


def size_of_body(choice: random.Random) -> int:
    """A few octets as a rule; sometimes at an edge, rarely a megabyte."""
    kind = choice.random()
    if kind < 0.90:
        return choice.choice((0, 1, 12, 13, 40, 100, 1000))
    if kind < 0.97:
        return choice.randrange(20_000)
    return choice.choice(EDGES if kind < 0.998 else HUGE)


def whole(choice: random.Random, size: int, exchange: bytes, key: bytes) -> bytes:
    """A body that knows its own size, contents, and where it was published."""
    start = choice.randrange(1 << 20)
    if size < HEAD.size:
        return PATTERN[start : start + size]
    head = HEAD.pack(MARK, size, start, zlib.crc32(exchange + b"\0" + key))
    return head + PATTERN[start : start + size - HEAD.size]


def is_whole(octets: bytes, exchange: bytes, key: bytes) -> bool:
    """Whether a received body is one that was sent like this, as far as it says so; true of those that say nothing."""
    if len(octets) < HEAD.size or not octets.startswith(MARK):
        return True
    _, size, start, where = HEAD.unpack_from(octets)
    rest = PATTERN[start : start + size - HEAD.size]
    return (size, where) == (len(octets), zlib.crc32(exchange + b"\0" + key)) and octets[
        HEAD.size :
    ] == rest


def properties(choice: random.Random) -> bytes:
    """Properties, well formed but for odd values: none, plain ones, those that the broker looks at."""
    kind = choice.random()
    if kind < 0.4:
        return b"\0\0"
    if kind < 0.7:
        return b"\x10\0" + choice.choice((b"\1", b"\2", b"\2", b"\0", b"\xff"))
    flags = choice.getrandbits(14) << 2 & (0xFFFC if choice.random() < 0.3 else 0xDEEC)
    parts = [struct.pack(">H", flags)]
    for bit, part in (
        (0x8000, b"\x0atext/plain"),
        (0x4000, b"\0"),
        (0x2000, values.table(choice)),
        (0x1000, choice.choice((b"\1", b"\2"))),
        (0x0800, b"\5"),
        (0x0400, short(b"c" * choice.choice((0, 36, 255)))),
        (0x0200, short("q1")),
        (0x0100, short(choice.choice(EXPIRATIONS))),
        (0x0080, b"\1m"),
        (0x0040, values.number(choice, 8)),
        (0x0020, b"\1t"),
        (0x0010, short(choice.choice(("guest", "guest", "guest", "root", "")))),
        (0x0008, short(choice.choice(values.ODD_NAMES))),
        (0x0004, b"\0"),
    ):
        if flags & bit:
            parts.append(part)
    return b"".join(parts)


EXPIRATIONS = (
    "0",
    "1",
    "60000",
    "-1",
    "--5",
    "",
    "soon",
    "1e3",
    "9" * 200,
    "²",
    "٣",
    "315360000001",
    "1 ",
)


def bodies(choice: random.Random, octets: bytes, channel: int, body_max: int) -> list[bytes]:
    """Body frames: as large as may be, or smaller by chance, with an empty one here and there.

    The mark lies in one frame, where `mutation` finds it.
    """
    frames = []
    at = 0
    step = body_max
    if choice.random() < 0.2:
        step = choice.randint(min(body_max, HEAD.size + len(octets) // 20), body_max)
    while at < len(octets):
        if choice.random() < 0.01:
            frames.append(body(b"", channel))
        frames.append(body(octets[at : at + step], channel))
        at += step
    return frames


def content(
    choice: random.Random, channel: int, body_max: int, exchange: bytes, key: bytes
) -> list[bytes]:
    """Header and body frames of a message."""
    octets = whole(choice, size_of_body(choice), exchange, key)
    head = header(len(octets), properties(choice), channel=channel)
    return [head, *bodies(choice, octets, channel, body_max)]


def lying_content(choice: random.Random, channel: int, body_max: int) -> list[bytes]:
    """A content of which the header is wrong about something, or with frames missing; its body does not vouch for itself."""
    octets = bytes(size_of_body(choice))
    size = len(octets)
    props = properties(choice)
    class_id, weight = 60, 0
    kind = choice.randrange(8)
    if kind == 0:
        size = max(0, size + choice.choice((-1, 1, 5, 70_000)))
    elif kind == 1:
        size = int.from_bytes(values.number(choice, 8), "big")
    elif kind == 2:
        class_id = choice.choice((0, 50, 61, 65535))
    elif kind == 3:
        weight = choice.choice((1, 65535))
    elif kind == 4:
        props = props[: choice.randrange(len(props) + 1)] + choice.randbytes(choice.randrange(4))
    elif kind == 5:
        props = choice.choice((b"\xff\xff", b"\xff\xf8", b"\0\1" * 40, b"\x20\0")) + b"\0" * 9
    elif kind == 6:
        props = b"\x20\0" + values.bad_table(choice)
    frames = [header(size, props, class_id, weight, channel)]
    frames += bodies(choice, octets, channel, body_max)
    if kind == 7:
        del frames[choice.randrange(len(frames))]
    elif kind == 3 and choice.random() < 0.5:
        frames[0] = frame(2, channel, frames[0][7 : 7 + choice.randrange(14)])
    return frames
