"""Where Posthouse answers otherwise than RabbitMQ 3.10 on purpose. docs/compatibility.md shows this list; a test keeps them equal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """One decision, and the scripts in which it shows.

    ``erase`` is a pattern: without what it matches the transcripts are equal. Without a pattern they only must differ.
    """

    what: str
    here: str
    rabbitmq: str
    why: str
    scripts: tuple[str, ...]
    erase: str = ""


def variants(script: str, *labels: str) -> tuple[str, ...]:
    """The names of a script's variants."""
    return tuple(f"scripts_{script}[{label}]" for label in labels)


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "text of a refused access",
        "`configure access to queue ...`",
        "`access to queue ...`",
        "as RabbitMQ since 3.11: the text says which permission is missing",
        (
            *variants(
                "basic.refused",
                *("declare queue", "delete queue", "declare exchange", "delete exchange", "read"),
                *("get", "purge", "bind source", "bind queue", "unbind queue", "exchange bind"),
                *("alternate", "dead letter"),
            ),
            *variants("basic.publish_refused", "default", "direct", "missing"),
            "scripts_basic.publish_refused_in_a_transaction",
        ),
        r"(configure|write|read) (?=access to)",
    ),
    Difference(
        "exchange type that is not known",
        "406, closes the channel",
        "503, closes the connection",
        "as RabbitMQ since 3.13",
        variants("topology.exchange_type_unknown", "x-none", "", "Direct"),
    ),
    Difference(
        "delivery mode other than 1 and 2",
        "transient",
        "406",
        "as RabbitMQ since 3.13: only 2 means persistent",
        variants("basic.delivery_mode_is_kept", "0", "3"),
    ),
    Difference(
        "long reply texts",
        "one line",
        "broken after 80 columns, with spaces",
        "a line break in the middle of a sentence is an accident of its printer",
        (
            *variants("basic.expiration_malformed", "99999999999999999999"),
            "scripts_connection.frame_end_wrong",
        ),
        r"\\n +",
    ),
    Difference(
        "login with a malformed SASL response, from a client with `authentication_failure_close`",
        "close with 403",
        "closed socket",
        "the capability says that the client wants to hear it",
        (
            *variants("connection.plain_malformed", "no zeros", "one zero", "four parts", "empty"),
            *variants("connection.amqplain_refused", "empty table", "no password"),
        ),
    ),
    Difference(
        "PLAIN with an authorization identity equal to the name",
        "accepted",
        "closed socket",
        "RFC 4616 allows it, and nobody acts for somebody else",
        variants("connection.plain_malformed", "authzid"),
    ),
    Difference(
        "mechanism that is not offered",
        "close with 503 and the name",
        "closed socket",
        "a sentence instead of a riddle",
        ("scripts_connection.mechanism_unknown",),
    ),
    Difference(
        "tune-ok outside of the limits",
        "close with 530 and the value",
        "closed socket",
        "a sentence instead of a riddle; RabbitMQ writes it to its log only",
        variants(
            "connection.tuned",
            *("frame_max too high", "frame_max unlimited", "frame_max too low"),
            *("channel_max too high", "channel_max unlimited"),
        ),
    ),
    Difference(
        "method that no class has",
        "close with 503",
        "closed socket",
        "the specification has a code for it",
        variants("connection.method_unknown", "class 40", "class 99", "class 60", "class 0"),
    ),
    Difference(
        "AMQP 0-8",
        "its protocol header is answered with ours",
        "spoken",
        "no client of today speaks it",
        variants("connection.protocol_header", "0-8"),
    ),
    Difference(
        "body frames with more octets than the header announced",
        "close with 501",
        "silence, until the next frame is called unexpected",
        "the message is wrong when its last octet comes, not later",
        variants("basic.content_out_of_order", "too much body"),
    ),
    Difference(
        "CC and BCC headers",
        "not looked at yet",
        "further routing keys",
        "not built yet",
        variants("basic.sender_selected_distribution", "CC", "BCC", "CC text"),
    ),
    Difference(
        "direct reply-to",
        "`amq.rabbitmq.reply-to` is a name like any other yet",
        "replies without a queue",
        "not built yet",
        ("scripts_basic.reply_to_pseudo_queue_without_a_consumer",),
    ),
)


def table() -> str:
    """The list as docs/compatibility.md has it."""
    lines = ["| what | here | RabbitMQ 3.10 | why |", "| --- | --- | --- | --- |"]
    lines += [f"| {d.what} | {d.here} | {d.rabbitmq} | {d.why} |" for d in DIFFERENCES]
    return "\n".join(lines)
