"""What a person sees while units run: a bar on a terminal, elsewhere a line now and then; failures at once, with how to repeat them."""

from __future__ import annotations

import time

from rich import progress as bars
from rich.console import Console
from rich.markup import escape

from tests.torture.record import Outcome

# Where nobody watches: after news, and without news.
LINE_EVERY_S = 10.0
SILENCE_S = 60.0
ERROR_LINES_MAX = 30


def replay_command(name: str, seed: int) -> str:
    """What repeats one unit."""
    return f"python -m tests.torture {name} --seed {seed}"


class Progress:
    """Of one campaign after the other."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: bars.Progress | None = None
        self._task = bars.TaskID(0)
        self._name = ""
        self._units = self._done = self._failed = 0
        self._began = self._said_at = time.monotonic()
        self._has_news = False

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._bar = bars.Progress(
                bars.TextColumn("{task.description}"),
                bars.BarColumn(),
                bars.MofNCompleteColumn(),
                bars.TextColumn("{task.fields[failed]} failed"),
                bars.TimeElapsedColumn(),
                bars.TimeRemainingColumn(),
                console=self._console,
            )
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, name: str, units: int, done: int) -> None:
        """A campaign begins, of which ``done`` units are there from an earlier run."""
        self._name, self._units, self._done, self._failed = name, units, done, 0
        self._began = time.monotonic()
        if self._bar is not None:
            self._task = self._bar.add_task(name, total=units, completed=done, failed=0)
        else:
            earlier = f", {done} of them done before" if done else ""
            self._line(f"{name}: {units} units{earlier}")

    def done(self, outcome: Outcome) -> None:
        """A unit ended."""
        self._done += 1
        self._has_news = True
        if outcome.error:
            self._failed += 1
            lines = outcome.error.rstrip().splitlines()[-ERROR_LINES_MAX:]
            text = "\n".join(f"    {line}" for line in lines)
            again = replay_command(self._name, outcome.seed)
            self._console.print(
                f"{self._name}: seed {outcome.seed} failed after {outcome.seconds:.1f} s:\n"
                f"{escape(text)}\n  again: {again}",
                highlight=False,
            )
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, failed=self._failed)

    def show(self) -> None:
        """To be called now and then."""
        if self._bar is not None:
            return
        silent_s = time.monotonic() - self._said_at
        if silent_s >= SILENCE_S or (self._has_news and silent_s >= LINE_EVERY_S):
            seconds = time.monotonic() - self._began
            self._line(
                f"{self._name}: {self._done}/{self._units}, {self._failed} failed, {seconds:.0f} s"
            )

    def _line(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)
        self._said_at = time.monotonic()
        self._has_news = False
