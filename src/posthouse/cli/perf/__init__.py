"""``posthouse perf``: a load generator for AMQP 0-9-1 brokers, ours and others."""

from posthouse.cli.perf.command import perf

__all__ = ["perf"]
