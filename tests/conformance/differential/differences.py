"""Where Posthouse answers otherwise than RabbitMQ 3.10 on purpose. docs/compatibility.md shows this list; a test keeps them equal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """One decision, and the scripts in which it shows."""

    what: str
    here: str
    rabbitmq: str
    why: str
    scripts: tuple[str, ...]


DIFFERENCES: tuple[Difference, ...] = ()


def table() -> str:
    """The list as docs/compatibility.md has it."""
    lines = ["| what | here | RabbitMQ 3.10 | why |", "| --- | --- | --- | --- |"]
    lines += [f"| {d.what} | {d.here} | {d.rabbitmq} | {d.why} |" for d in DIFFERENCES]
    return "\n".join(lines)
