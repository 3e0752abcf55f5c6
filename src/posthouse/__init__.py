"""Posthouse (驿站): a message broker with RabbitMQ's protocol and MetaQ's model over one log."""

from __future__ import annotations

import os

from posthouse._kernels import prefer_interpreted

__version__ = "0.1.0"
__all__ = ["__version__"]

# The same kernels run compiled (the default) or interpreted with bounds checks (for tests and debugging).
if os.environ.get("POSTHOUSE_KERNELS") == "interpreted":
    prefer_interpreted()
