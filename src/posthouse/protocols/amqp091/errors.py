"""From domain errors to AMQP reply codes: the one table (AMQP 0-9-1 §1.2, RabbitMQ's `rabbit_framing`).

Texts are ``NAME - explanation``, cut to 255 octets, as clients match on them. A channel error closes the channel,
a connection error the connection.
"""

from __future__ import annotations

from posthouse.core import errors

REPLY_NAMES: dict[int, str] = {
    311: "CONTENT_TOO_LARGE",
    312: "NO_ROUTE",
    313: "NO_CONSUMERS",
    320: "CONNECTION_FORCED",
    402: "INVALID_PATH",
    403: "ACCESS_REFUSED",
    404: "NOT_FOUND",
    405: "RESOURCE_LOCKED",
    406: "PRECONDITION_FAILED",
    501: "FRAME_ERROR",
    502: "SYNTAX_ERROR",
    503: "COMMAND_INVALID",
    504: "CHANNEL_ERROR",
    505: "UNEXPECTED_FRAME",
    506: "RESOURCE_ERROR",
    530: "NOT_ALLOWED",
    540: "NOT_IMPLEMENTED",
    541: "INTERNAL_ERROR",
}

CHANNEL_CODES = frozenset({311, 403, 404, 405, 406})

# Every leaf of the domain's tree; a test walks the tree and demands an entry.
CODES: dict[type[errors.PosthouseError], int] = {
    errors.NotFound: 404,
    errors.AccessRefused: 403,
    errors.ResourceLocked: 405,
    errors.PreconditionFailed: 406,
    errors.NotAllowed: 530,
    errors.CommandInvalid: 503,
}


class AmqpError(Exception):
    """A reply code with its explanation, on its way to the client.

    ``class_id`` and ``method_id`` name the method that failed, 0 when none did.
    """

    def __init__(self, code: int, explanation: str, class_id: int = 0, method_id: int = 0) -> None:
        super().__init__(f"{REPLY_NAMES[code]} - {explanation}")
        self.code = code
        self.explanation = explanation
        self.class_id = class_id
        self.method_id = method_id

    @property
    def text(self) -> str:
        """The reply text, at most 255 octets."""
        text = f"{REPLY_NAMES[self.code]} - {self.explanation}"
        return text.encode("utf-8", "surrogateescape")[:255].decode("utf-8", "ignore")

    @property
    def closes_connection(self) -> bool:
        """Whether the connection goes, not just the channel."""
        return self.code not in CHANNEL_CODES


def from_domain(error: errors.PosthouseError) -> AmqpError:
    """The reply for a domain error; the nearest ancestor in `CODES` decides, 541 without one."""
    for kind in type(error).__mro__:
        code = CODES.get(kind)
        if code is not None:
            return AmqpError(code, error.explanation)
    return AmqpError(541, error.explanation)
