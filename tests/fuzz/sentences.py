"""What a fuzzed client says: some methods in a row that make sense where it stands, with or without something wrong in them.

A sentence is a list of frames. `Speaker.say` looks at the session it speaks to, so that tags are outstanding, channels open, and
consumers there; two channels' parts may be interleaved.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.conformance.bad_input.octets import frame, method, short
from tests.fuzz import facts, large, messages
from tests.fuzz.grammar import ANY, FORMS, Given

if TYPE_CHECKING:
    from posthouse.protocols.amqp091.channel import Channel
    from posthouse.protocols.amqp091.session import Session

CHANNELS = (1, 2, 3)
HEARTBEAT = b"\x08\0\0\0\0\0\0\xce"
ODD_CHANNELS = (0, 4, 255, 2047, 2048, 32768, 65535)
# How often each is said.
VERBS: tuple[tuple[str, int], ...] = (
    ("basic.publish", 36),
    ("basic.get", 6),
    ("basic.consume", 9),
    ("basic.cancel", 3),
    ("basic.ack", 10),
    ("basic.nack", 5),
    ("basic.reject", 4),
    ("basic.qos", 3),
    ("basic.recover", 2),
    ("basic.recover-async", 1),
    ("queue.declare", 7),
    ("queue.bind", 4),
    ("queue.unbind", 2),
    ("queue.purge", 1),
    ("queue.delete", 3),
    ("exchange.declare", 4),
    ("exchange.bind", 2),
    ("exchange.unbind", 1),
    ("exchange.delete", 1),
    ("confirm.select", 3),
    ("tx.select", 3),
    ("tx.commit", 4),
    ("tx.rollback", 2),
    ("channel.open", 2),
    ("channel.close", 1),
    ("channel.flow", 1),
    ("access.request", 1),
    ("connection.update-secret", 1),
)
NAMES = tuple(name for name, _ in VERBS)
WEIGHTS = tuple(weight for _, weight in VERBS)
# Where there is no good answer to something that was delivered meanwhile: the same octets in other pieces may say something else.
NOT_SYNCHRONOUS = frozenset(("basic.consume", "channel.close"))
REQUESTS = tuple(form for form in ANY if form.name not in NOT_SYNCHRONOUS)


class Speaker:
    """Makes sentences. ``choice`` is the only source of chance."""

    def __init__(self, choice: random.Random) -> None:
        self.choice = choice

    def say(self, session: Session, *, wrong: bool, synchronous: bool = False) -> list[bytes]:
        """A sentence for an open connection; with ``wrong`` one method of it is mutated.

        ``synchronous``: nothing in it makes the broker send what was not asked for.
        """
        choice = self.choice
        if choice.random() < (0.5 if synchronous else 0.2):
            return self.interleaved(large.large(choice, session, wrong=wrong))
        if choice.random() < 0.15:
            return settling(choice, session)
        count = choice.choice((1, 2, 3, 4, 6))
        bad = choice.randrange(count) if wrong else -1
        lines: dict[int, list[bytes]] = {}
        for number in range(count):
            channel = choice.choice(CHANNELS) if choice.random() < 0.4 else 1
            is_open = channel in lines or channel in session.channels
            line = lines.setdefault(channel, [])
            name = choice.choices(NAMES, WEIGHTS)[0]
            name = sensible(choice, name, session.channels.get(channel))  # type: ignore[arg-type]
            if synchronous and name in NOT_SYNCHRONOUS:
                name = "basic.get"
            if not is_open and name != "channel.open":
                line.append(frame(1, channel, FORMS["channel.open"].head + b"\0"))
            elif is_open and name == "channel.open" and choice.random() < 0.9:
                name = "basic.publish"
            is_bad = number == bad
            line += self.method(session, name, channel, bad=is_bad, synchronous=synchronous)
        return self.interleaved(list(lines.values()))

    def interleaved(self, lines: list[list[bytes]]) -> list[bytes]:
        """One after another, or mixed, each line in its own order."""
        choice = self.choice
        if len(lines) == 1:
            return lines[0]
        if choice.random() < 0.5:
            return [one for line in lines for one in line]
        turns = [line for line in lines for _ in line]
        choice.shuffle(turns)
        heads = {id(line): iter(line) for line in lines}
        mixed = [next(heads[id(line)]) for line in turns]
        if choice.random() < 0.2:
            mixed.insert(choice.randrange(len(mixed)), HEARTBEAT)
        return mixed

    def method(
        self, session: Session, name: str, channel: int, *, bad: bool, synchronous: bool
    ) -> list[bytes]:
        """The frames of one method, with its content if it has one."""
        choice = self.choice
        known = session.channels.get(channel)
        form = FORMS[name]
        at = channel
        wrong = -1
        kind = choice.random() if bad else 1.0
        if kind < 0.1:
            form = choice.choice(ANY if not synchronous else REQUESTS)
        elif kind < 0.15:
            at = choice.choice(ODD_CHANNELS)
        if kind < 0.6 and form.fields:
            wrong = choice.randrange(len(form.fields))
        if form.name.startswith("connection.") and choice.random() < 0.9:
            at = 0
        given = self.given(form.name, known)  # type: ignore[arg-type]  # the session's are Channels
        frames = [frame(1, at, form.write(choice, given, wrong))]
        if form.name == "basic.publish":
            if bad:
                frames += messages.lying_content(choice, channel, session.body_max)
            else:
                where = given["exchange"], given["routing_key"]
                frames += messages.content(choice, channel, session.body_max, *where)  # type: ignore[arg-type]
        return frames

    def given(self, name: str, channel: Channel | None) -> Given:
        """What this method should say on this channel to be of any use."""
        tell = facts.TELL.get(name)
        return {} if tell is None else tell(self.choice, channel)


SETTLING = frozenset(("basic.ack", "basic.nack", "basic.reject", "basic.recover"))
IN_TRANSACTION = frozenset(("tx.commit", "tx.rollback"))


def sensible(choice: random.Random, name: str, channel: Channel | None) -> str:
    """What can be said instead of something that is an error where the channel stands, nine times out of ten."""
    if choice.random() < 0.1:
        return name
    is_transactional = channel is not None and channel.transaction is not None
    if name in SETTLING and (channel is None or not channel.unacked.count):
        return "basic.get"
    if name in IN_TRANSACTION and not is_transactional:
        return "basic.publish"
    if name == "confirm.select" and is_transactional:
        return "tx.commit"
    if name == "tx.select" and channel is not None and channel.confirm:
        return "basic.publish"
    if name == "basic.cancel" and (channel is None or not channel.consumers):
        return "basic.consume"
    return name


def settling(choice: random.Random, session: Session) -> list[bytes]:
    """Some messages are taken and settled in any order, some of them twice."""
    channel = session.channels.get(1)
    if channel is None:
        return [method(20, 10, b"\0")]
    name = short(facts.existing_queue(choice, channel))  # type: ignore[arg-type]  # the session's are Channels
    count = choice.randint(2, 5)
    frames = [method(60, 70, b"\0\0" + name + b"\0") for _ in range(count)]
    tags = [channel.delivery_tag + 1 + n for n in range(count)] + channel.unacked.tags()
    for tag in (
        choice.choices(tags, k=count) if choice.random() < 0.5 else choice.sample(tags, count)
    ):
        raw = tag.to_bytes(8, "big")
        multiple, requeue = (bytes((choice.random() < odds,)) for odds in (0.1, 0.6))
        kind = choice.randrange(3)
        if kind == 0:
            frames.append(method(60, 80, raw + multiple))
        elif kind == 1:
            frames.append(method(60, 90, raw + requeue))
        else:
            frames.append(method(60, 120, raw + bytes((multiple[0] | requeue[0] << 1,))))
    return frames
