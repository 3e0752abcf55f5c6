"""The register of scripts: what a name stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.conformance.differential.peer import Stage

Play = Callable[..., None]


@dataclass(frozen=True)
class Script:
    """One sequence of frames. ``restricted`` ones run on brokers whose guest may do little."""

    name: str
    play: Play
    arguments: tuple[Any, ...] = ()
    restricted: bool = False

    def run(self, port: int) -> list[str]:
        """Play it against the broker on ``port``; returns the transcript."""
        stage = Stage(port)
        self.play(stage, *self.arguments)
        return stage.transcript()


SCRIPTS: dict[str, Script] = {}


def script(*variants: Any, restricted: bool = False) -> Callable[[Play], Play]:
    """Register a function as a script, or as one per variant: (label, argument...)."""

    def register(play: Play) -> Play:
        base = play.__module__.rsplit(".", 1)[-1] + "." + play.__name__
        for variant in variants or (("",),):
            label, *arguments = variant if isinstance(variant, tuple) else (variant, variant)
            name = f"{base}[{label}]" if variants else base
            assert name not in SCRIPTS, name
            SCRIPTS[name] = Script(name, play, tuple(arguments), restricted)
        return play

    return register
