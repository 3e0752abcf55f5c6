"""Loaders: they translate files into `posthouse.core.config.Config` and know nothing else."""

from __future__ import annotations

from posthouse.server.config.toml import load_toml, parse_toml

__all__ = ["load_toml", "parse_toml"]
