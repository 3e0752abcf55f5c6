"""Octets and frames changed by chance: what no grammar would say.

`frames` keeps the list of frames and changes some of them; `blind` knows nothing of frames: bits, octets, splices, repeats.
"""

from __future__ import annotations

import random
import struct

from tests.conformance.bad_input.mutations import mutated, session
from tests.fuzz import values
from tests.fuzz.messages import MARK
from tests.fuzz.sentences import HEARTBEAT

ORDINARY = session()
ENDS = (0, 1, 0xCD, 0xCF, 0xFF)
GARBAGE_MAX = 200
# What is changed blindly cannot vouch for itself any more.
UNMARKED = b"UNSEE"


def frames(said: list[bytes], choice: random.Random) -> list[bytes]:
    """One or two changes to the frames themselves: type, channel, size, end, order, number."""
    said = [one.replace(MARK, UNMARKED) for one in said]
    for _ in range(choice.randint(1, 2)):
        if not said:
            break
        at = choice.randrange(len(said))
        raw = bytearray(said[at]) or bytearray(b"\0")
        kind = choice.randrange(9)
        if kind == 0:
            raw[:1] = bytes((choice.choice((0, 1, 2, 3, 4, 8, 65, 255)),))
        elif kind == 1:
            raw[1:3] = values.number(choice, 2)
        elif kind == 2:
            size = choice.choice(
                (0, 1, len(raw) - 9, len(raw) - 7, 131064, 131072, 131073, 1 << 31, 0xFFFFFFFF)
            )
            raw[3:7] = struct.pack(">I", size & 0xFFFFFFFF)
        elif kind == 3:
            raw[-1:] = bytes((choice.choice(ENDS),))
        elif kind == 4:
            del said[at]
            continue
        elif kind == 5:
            said.insert(choice.randrange(len(said) + 1), bytes(raw))
            continue
        elif kind == 6:
            other = choice.randrange(len(said))
            said[at], said[other] = said[other], said[at]
            continue
        elif kind == 7:
            said.insert(
                at, choice.choice((HEARTBEAT, b"\x08\0\1\0\0\0\0\xce", b"\x08\0\0\0\0\0\1\0\xce"))
            )
            continue
        else:
            del raw[choice.randrange(len(raw)) :]
        said[at] = bytes(raw)
    return said


def blind(records: list[bytes], choice: random.Random) -> bytes:
    """Something made of what was said earlier (or of nothing), without knowing what it means."""
    kind = choice.randrange(8)
    if kind == 0:
        return choice.randbytes(choice.randrange(GARBAGE_MAX))
    if kind <= 2 or not records:
        return mutated(ORDINARY, choice)
    raw = bytearray(choice.choice(records).replace(MARK, UNMARKED))
    if not raw:
        return b"\0"
    near = min(len(raw), 400)
    if kind == 3:
        for _ in range(choice.randint(1, 8)):
            raw[choice.randrange(near)] ^= 1 << choice.randrange(8)
    elif kind == 4:
        for _ in range(choice.randint(1, 4)):
            raw[choice.randrange(near)] = choice.choice((0, 1, 0x7F, 0x80, 0xCE, 0xFF))
    elif kind == 5:
        other = choice.choice(records).replace(MARK, UNMARKED)
        raw = raw[: choice.randrange(near)] + other[choice.randrange(len(other) + 1) :]
    elif kind == 6:
        start = choice.randrange(near)
        piece = raw[start : start + choice.randint(1, 64)]
        raw[start:start] = piece * choice.randint(1, 20)
    else:
        del raw[choice.randrange(len(raw)) :]
    return bytes(raw)
