"""Log lines of the program: one event a line, nothing in it that could be taken for another line, and no flood of the same one.

What clients send stands in log lines (names, reasons), so control characters are escaped and the length is bounded; a traceback
becomes part of its line. Whoever repeats an attack must not fill the disk with it, nor must a segment of damaged messages: of one kind of
message at most `BURST` lines pass within `PERIOD_S`, more of errors, and the next period says how many did not.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable
from typing import TextIO

DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
FORMAT = "%(asctime)s [%(levelname)s] %(message)s"
# A line with everything: a name of 255 octets, escaped, and a reason, several times over.
LINE_MAX = 4096
# A traceback is worth more room, but not any amount.
TRACEBACK_MAX = 16384
BURST = 20
BURST_OF_ERRORS = 200
PERIOD_S = 60.0
# Kinds of messages that are counted at a time; a kind is the text before its arguments are put in, so there are not many.
KINDS_MAX = 512

# C0 without tab, DEL, C1, the separators that some viewers break lines at, marks that turn the direction of text, and halves of surrogates.
_UNSAFE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SHORT = {"\n": "\\n", "\r": "\\r"}


def escaped(text: str) -> str:
    """``text`` as it may stand in a line: what is not printable becomes an escape of Python's; a lone octet its ``\\x``."""
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        # An octet that was no UTF-8 (PEP 383).
        return f"\\x{code - 0xDC00:02x}"
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def shortened(text: str, limit: int) -> str:
    """``text`` with at most ``limit`` characters, and how many are missing if some are."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}... ({len(text) - limit} more)"


class LineFormatter(logging.Formatter):
    """One line an event, in UTC, escaped and bounded."""

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        record.message = record.getMessage()
        clock = time.strftime(DATE_FORMAT, time.gmtime(record.created))
        record.asctime = f"{clock},{int(record.msecs):03d}"
        line = shortened(escaped(self.formatMessage(record)), LINE_MAX)
        if record.exc_info:
            # The end of a traceback says most.
            told = escaped(self.formatException(record.exc_info))
            line += f" | {told if len(told) <= TRACEBACK_MAX else '...' + told[-TRACEBACK_MAX:]}"
        return line


class FloodFilter(logging.Filter):
    """Lets so many lines of a kind pass in a period. Critical ones always pass: it is the end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[tuple[str, str], list[float]] = {}  # begin of the period, lines in it

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter.filter`; adds to the first line of a period what the one before did not say."""
        if record.levelno >= logging.CRITICAL:
            return True
        burst = BURST_OF_ERRORS if record.levelno >= logging.ERROR else BURST
        kind = record.name, str(record.msg)
        now = self._clock()
        state = self._kinds.get(kind)
        if state is None:
            if len(self._kinds) >= KINDS_MAX:
                self._kinds.clear()
            self._kinds[kind] = [now, 1]
            return True
        if now - state[0] >= PERIOD_S:
            missing = int(state[1]) - burst
            state[:] = now, 1
            if missing > 0:
                record.msg = f"{record.getMessage()} ({missing} more like this were not logged)"
                record.args = ()
            return True
        state[1] += 1
        return state[1] <= burst


def set_up(level: str = "warning", stream: TextIO | None = None) -> None:
    """Send the log to ``stream``, or standard error; ``level`` is a name of `logging`'s, in small letters."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LineFormatter())
    handler.addFilter(FloodFilter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
