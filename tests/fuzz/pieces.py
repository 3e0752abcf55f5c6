"""The same octets in other pieces: two brokers, one that gets a sentence whole, one that gets it cut anywhere, say the same.

Sentences here make the broker send only answers. What depends on batches by design is left out: how many confirms one ack stands for, and
the confirms of a channel that an error closed in the same batch.
"""

from __future__ import annotations

import random
from typing import Any

from posthouse.wire.amqp091 import methods
from tests.conformance.bad_input.octets import method, short
from tests.fuzz import mutation, openings, sentences
from tests.fuzz.witness import Broken, Witness
from tests.support.inmemory import World

PREPARED = b"".join(
    (
        *(
            method(50, 10, b"\0\0" + short(q) + bytes((n % 2 * 2,)) + bytes(4))
            for n, q in enumerate(("q0", "q1", "q2"))
        ),
        method(50, 20, b"\0\0" + short("q0") + short("amq.topic") + short("#") + bytes(5)),
        method(50, 20, b"\0\0" + short("q1") + short("amq.fanout") + short("") + bytes(5)),
        method(85, 10, b"\0"),
    )
)


def check_pieces(choice: random.Random) -> None:
    """Make a sentence, mutate it, and give it to both."""
    whole, cut = (Witness(World()) for _ in range(2))
    frame_max = choice.choice((4096, 131072))
    if choice.random() < 0.2:
        said = openings.handshake(choice, wrong=choice.random() < 0.5)
    else:
        for peer in (whole, cut):
            peer.log_in(frame_max)
            peer.give(PREPARED)
            peer.world.settle()
            peer.methods_heard()
        said = sentences.Speaker(choice).say(
            whole.session, wrong=choice.random() < 0.6, synchronous=True
        )
    if choice.random() < 0.4:
        said = mutation.frames(said, choice)
    data = b"".join(said)
    whole.give(data)
    whole.world.settle()
    start = 0
    for end in cuts(choice, len(data)):
        if cut.is_closed:
            break
        cut.give(data[start:end])
        cut.world.settle()
        start = end
    one, other = transcript(whole), transcript(cut)
    if one != other:
        raise Broken(f"{data[:600]!r} ({len(data)} octets): whole {one}, in pieces {other}")


def cuts(choice: random.Random, size: int) -> list[int]:
    """Where to cut; the end is the last place."""
    if size < 200 and choice.random() < 0.2:
        return list(range(1, size + 1))
    places = {choice.randrange(size + 1) for _ in range(choice.choice((1, 2, 5, 12)))}
    return sorted(places | {size})


def transcript(peer: Witness) -> tuple[list[Any], bool]:
    """What was heard but for confirms, and whether the connection ended.

    What comes while a refused login waits for its answer is dropped; what comes later may end the connection.
    """
    heard = [
        (n, repr(one)) for n, one in peer.methods_heard() if not isinstance(one, methods.BasicAck)
    ]
    is_refused = bool(heard) and "Login was refused" in heard[-1][1]
    return heard, peer.is_closed and not is_refused
