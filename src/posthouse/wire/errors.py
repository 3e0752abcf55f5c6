"""What a peer can do wrong on the wire. Each kind carries the reply code that AMQP 0-9-1 and RabbitMQ prescribe.

::

    WireError
    ├── SyntaxProblem     arguments that do not decode (501)
    │   └── BadField      a malformed field table or property list (502)
    ├── UnknownMethod     no such class or method (503)
    ├── UnknownFrame      no such frame type, or a payload too short for its type (501)
    ├── FrameTooLarge     above the negotiated limit (501)
    └── BadFrameEnd       the end octet is not 0xCE (501)

Texts are RabbitMQ's (seen on 3.10.8). RabbitMQ: for an unknown method and for a malformed table it drops the socket
without a frame; we answer with the code that the specification has for it.
"""

from __future__ import annotations

# RabbitMQ shows at most so many octets of a bad frame.
OCTETS_SHOWN = 16
# A reply text has at most 255 octets, and each octet shown takes two of them or more.
ARGUMENTS_SHOWN = 128

# ``connection.start-ok``, ``secure-ok`` and ``update-secret``: error texts go to logs and to the peer's logs, and secrets do not.
SECRET_METHODS = frozenset((b"\0\x0a\0\x0b", b"\0\x0a\0\x15", b"\0\x0a\0\x46"))
HIDDEN = "<<...>>"

_ESCAPES = {8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 27: "\\e"}
_ESCAPES |= {34: '\\"', 92: "\\\\"}


def octets_text(octets: bytes) -> str:
    """``octets`` as an Erlang binary of numbers: ``<<0,50>>``."""
    return f"<<{','.join(map(str, octets))}>>"


def binary_text(octets: bytes) -> str:
    """``octets`` as Erlang prints a binary: ``<<"abc">>`` if they are printable Latin-1, else their numbers."""
    if not octets or not all(
        32 <= octet <= 126 or octet >= 160 or octet in _ESCAPES for octet in octets
    ):
        return octets_text(octets)
    return '<<"' + "".join(_ESCAPES.get(octet) or chr(octet) for octet in octets) + '">>'


def is_secret(payload: bytes) -> bool:
    """Whether a method frame's payload carries what must not be shown: a password, a token."""
    return payload[:4] in SECRET_METHODS


def arguments_text(payload: bytes) -> str:
    """The arguments of a method frame's payload, as error texts show them."""
    return HIDDEN if is_secret(payload) else octets_text(payload[4 : 4 + ARGUMENTS_SHOWN])


def octets_of_frame(kind: int, payload: bytes) -> str:
    """A frame as RabbitMQ shows it, but for secrets."""
    if is_secret(payload):
        return f"type {kind}, {len(payload)} octets = {HIDDEN}"
    shown = "all octets" if len(payload) <= OCTETS_SHOWN else f"first {OCTETS_SHOWN} octets"
    return f"type {kind}, {shown} = {binary_text(payload[:OCTETS_SHOWN])}"


def frame_text(kind: int, payload: bytes, reason: str) -> str:
    """RabbitMQ's sentence about a frame that it cannot use."""
    return f"{octets_of_frame(kind, payload)}: {reason}"


class WireError(Exception):
    """The root: the peer broke the protocol.

    Attributes:
        explanation: for the close frame, without the code's name.
        class_id, method_id: the method that is to blame, 0 when none is.
    """

    reply_code = 501

    def __init__(self, explanation: str, class_id: int = 0, method_id: int = 0) -> None:
        super().__init__(explanation)
        self.explanation = explanation
        self.class_id = class_id
        self.method_id = method_id


class SyntaxProblem(WireError):
    """Octets that do not decode to what they should be."""


class BadField(SyntaxProblem):
    """A field table or value that is malformed, of an unknown type, or nested too deeply."""

    reply_code = 502


class UnknownMethod(WireError):
    """No such class or method."""

    reply_code = 503

    def __init__(self, class_id: int, method_id: int) -> None:
        super().__init__("unimplemented method", class_id, method_id)


class UnknownFrame(WireError):
    """A frame of no known type, or with a payload that its type cannot have."""

    def __init__(self, kind: int, payload: bytes) -> None:
        super().__init__(frame_text(kind, payload, "unknown_frame"))
        self.kind = kind


class FrameTooLarge(WireError):
    """A frame above the limit. ``limit`` is the largest payload: the negotiated frame-max less 8."""

    def __init__(self, kind: int, size: int, limit: int) -> None:
        super().__init__(frame_text(kind, b"", f"{{frame_too_large,{size},{limit}}}"))
        self.size = size
        self.limit = limit


class BadFrameEnd(WireError):
    """A wrong end octet."""

    def __init__(self, kind: int, payload: bytes, octet: int) -> None:
        super().__init__(frame_text(kind, payload, f"{{invalid_frame_end_marker,{octet}}}"))
        self.octet = octet
