"""A timer that a selector can wait for, exact to some microseconds (Linux: timerfd_create(2)).

Python's epoll takes whole milliseconds, and ``os.timerfd_create`` came with Python 3.13: hence ctypes.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import Final

CLOCK_MONOTONIC: Final = 1
TFD_TIMER_ABSTIME: Final = 1
TFD_FLAGS: Final = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)
PR_SET_TIMERSLACK: Final = 29
SLACK_NS: Final = 1000  # the default of 50 us would be added to every latency
_ITIMERSPEC: Final = struct.Struct("4l")  # interval and first expiry, seconds and nanoseconds each


class PreciseTimer:
    """One timer of this process's monotonic clock; readable once it has expired, until armed anew.

    Owns its descriptor. Only where `is_available`.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = self._libc.timerfd_create(CLOCK_MONOTONIC, TFD_FLAGS)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._libc.prctl(PR_SET_TIMERSLACK, SLACK_NS, 0, 0, 0)
        self._spec = bytearray(_ITIMERSPEC.size)
        self._argument = (ctypes.c_char * len(self._spec)).from_buffer(self._spec)
        self._at_ns = 0

    @staticmethod
    def is_available() -> bool:
        """Whether this system has such timers."""
        return sys.platform == "linux"

    def fileno(self) -> int:
        """For a selector."""
        return self._fd

    def arm(self, at_ns: int) -> None:
        """Expire at ``at_ns`` of `time.monotonic_ns`, at once if that is past."""
        if at_ns == self._at_ns:
            return
        self._at_ns = at_ns
        _ITIMERSPEC.pack_into(self._spec, 0, 0, 0, *divmod(at_ns, 1_000_000_000))
        if self._libc.timerfd_settime(self._fd, TFD_TIMER_ABSTIME, self._argument, None):
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)
