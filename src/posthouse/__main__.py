"""``python -m posthouse`` is the command ``posthouse``."""

from __future__ import annotations

from posthouse.cli.main import main

if __name__ == "__main__":
    main()
