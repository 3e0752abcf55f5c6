"""What a peer can do wrong on the wire. Each kind carries the reply code its protocol prescribes.

::

    WireError
    ├── SyntaxProblem     malformed arguments or tables (501 on a frame that cannot be decoded)
    ├── UnknownMethod     no such class or method (503)
    ├── FrameTooLarge     above the negotiated limit (501)
    └── BadFrameEnd       the end octet is not 0xCE (501)
"""

from __future__ import annotations


class WireError(Exception):
    """The root: the peer broke the protocol. ``explanation`` is for the close frame."""

    reply_code = 501

    def __init__(self, explanation: str) -> None:
        super().__init__(explanation)
        self.explanation = explanation


class SyntaxProblem(WireError):
    """Octets that do not decode to what they should be."""

    reply_code = 501


class BadField(SyntaxProblem):
    """A field table or value that is malformed, of an unknown type, or nested too deeply."""

    reply_code = 502


class UnknownMethod(WireError):
    """No such class or method."""

    reply_code = 503

    def __init__(self, class_id: int, method_id: int) -> None:
        super().__init__("unimplemented method")
        self.class_id = class_id
        self.method_id = method_id


class FrameTooLarge(WireError):
    """A frame above the limit."""

    def __init__(self, kind: int, size: int, limit: int) -> None:
        super().__init__(f"type {kind}, all octets = <<>>: {{frame_too_large,{size},{limit}}}")
        self.size = size
        self.limit = limit


class BadFrameEnd(WireError):
    """A wrong end octet."""

    def __init__(self, octet: int) -> None:
        super().__init__(f"{{invalid_frame_end_marker,{octet}}}")
        self.octet = octet
