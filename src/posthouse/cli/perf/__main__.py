"""``python -m posthouse.cli.perf``: the same as ``posthouse perf``."""

from __future__ import annotations

import sys

from posthouse.cli.main import main

main(["perf", *sys.argv[1:]])
