"""Space kept aside for a full disk: what must go on then (acknowledgements, deletes, what was taken already) uses it."""

from __future__ import annotations

import errno
import logging

from posthouse.journal.files import Files

log = logging.getLogger(__name__)

SIZE = 16 << 20
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class NoSpace(OSError):
    """The disk is full, and what was to be written was not begun or cut off again: it may be tried once more."""


class Reserve:
    """The file ``path``, which holds nothing.

    Attributes:
        is_held: the space is there.
    """

    def __init__(self, files: Files, path: str, size: int = SIZE) -> None:
        self._files = files
        self._path = path
        self._size = size
        self.is_held = False

    def take(self) -> bool:
        """Have the space; False if the disk has it not.

        Raises:
            OSError: for another reason than a full disk.
        """
        if self.is_held:
            return True
        try:
            if self._files.exists(self._path):
                self._files.unlink(self._path)
            if self._size:
                self._files.reserve(self._path, self._size)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            return False
        self.is_held = True
        return True

    def give(self) -> bool:
        """Let the space go to who needs it; False if it went already, or cannot."""
        if not self.is_held or not self._size:
            return False
        self.is_held = False
        try:
            self._files.unlink(self._path)
        except OSError as error:
            log.warning("%s: cannot remove: %s", self._path, error)
            return False
        return True
