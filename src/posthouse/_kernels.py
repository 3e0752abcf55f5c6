"""The list of kernels, and the switch that runs them interpreted.

A kernel is a plain Python module ``x.py`` with an augmenting ``x.pxd`` twin that Cython compiles.
``setup.py`` and the tests read this list; it imports nothing of the package.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

# Only the interpreted run needs the rest, and it costs 25 ms of every start.
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

KERNELS: tuple[str, ...] = (
    "posthouse.journal.block",
    "posthouse.journal.entry",
    "posthouse.broker.index",
    "posthouse.broker.dispatch",
    "posthouse.broker.routing",
    "posthouse.broker.replay",
    "posthouse.broker.walk",
    "posthouse.broker.snapshot",
    "posthouse.broker.census",
    "posthouse.broker.exchanges.trie",
    "posthouse.protocols.amqp091.unacked",
    "posthouse.protocols.amqp091.outlet",
    "posthouse.protocols.amqp091.scan",
    "posthouse.protocols.amqp091.arrival",
    "posthouse.protocols.amqp091.engine",
    "posthouse.client.histogram",
    "posthouse.client.load",
)


class _SourceFirst:
    """Finds the ``.py`` of a kernel even where a compiled twin lies beside it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in KERNELS:
            return None
        import importlib.util
        import pathlib

        file = pathlib.Path(__file__).parent.joinpath(*fullname.split(".")[1:]).with_suffix(".py")
        return importlib.util.spec_from_file_location(fullname, file)


def prefer_interpreted() -> None:
    """Make later imports of kernels take the Python source. No effect on kernels already imported."""
    sys.meta_path.insert(0, _SourceFirst())


def compiled_kernels() -> dict[str, bool]:
    """Which kernels are compiled in this process; imports all of them."""
    return {
        name: not str(importlib.import_module(name).__file__).endswith(".py") for name in KERNELS
    }
