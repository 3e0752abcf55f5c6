"""``python -m posthouse.cli.perf``."""

from __future__ import annotations

from posthouse.cli.perf import perf

perf(prog_name="posthouse perf")
