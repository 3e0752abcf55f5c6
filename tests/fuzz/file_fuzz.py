"""Fuzz of the readers of files: logs, snapshots and definitions that lie under good checksums, and configuration files (F4).

A unit is a seed: `INPUTS` inputs, each a data directory with one or two files changed by `reseal`, or a configuration. Promises: a start
serves or refuses with `StorageError`; a configuration loads or is refused with `ConfigError`; nothing else is raised, and no reader
reads beyond its buffer (interpreted kernels show that). What accidents do to files is tried by `tests.support.damage_campaign`.
"""

from __future__ import annotations

import logging
import pathlib
import random
import tempfile
import time

from posthouse.core.config import Config, Section, settings_of
from posthouse.core.errors import ConfigError, PosthouseError
from posthouse.server.config import load_toml
from tests.fuzz import reseal
from tests.fuzz.session_fuzz import HANG_S, INPUT_S, listening, watched
from tests.fuzz.witness import Broken
from tests.support.damage import files_of, look
from tests.support.sample import Sample, large_sample, small_sample
from tests.torture.campaign import Campaign, Figures

INPUTS = 100
CONFIGURATIONS_SHARE = 0.2


def samples() -> list[Sample]:
    """The directories that are changed."""
    return [small_sample(), large_sample(), large_sample(is_stopped=True)]


def configuration() -> str:
    """A file with every setting at its default."""
    lines = []
    tree = Config()
    for name in Config.__dataclass_fields__:
        section = getattr(tree, name)
        if isinstance(section, Section):
            lines.append(f"[{name}]")
            lines += [f"{i.name} = {_toml(i.default)}" for i in settings_of(type(section))]
    return "\n".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def change_directory(sample: Sample, choice: random.Random) -> tuple[dict[str, bytes], str]:
    """A copy with one or two files changed; which ones, in words."""
    contents = dict(sample.contents)
    names = []
    for _ in range(choice.choice((1, 1, 2))):
        among = [path for path, data in contents.items() if data == sample.contents[path] and data]
        among = [path for path in among if path.endswith(tuple(reseal.CHANGES))]
        definitions = [path for path in among if "definitions" in path]
        path = choice.choice(definitions if definitions and choice.random() < 0.3 else among)
        before = contents[path]
        contents[path] = reseal.CHANGES[path[path.rindex(".") :]](before, choice)
        pairs = zip(before, contents[path], strict=True)
        names.append(
            f"{path} from octet {next((n for n, (a, b) in enumerate(pairs) if a != b), -1)}"
        )
    return contents, ", ".join(names)


def try_configuration(directory: pathlib.Path, choice: random.Random) -> bool:
    """Load a changed configuration; whether it was taken."""
    file = directory / "posthouse.toml"
    text = reseal.change_text(configuration(), choice)
    file.write_text(text, encoding="utf-8")
    try:
        load_toml(str(file))
    except ConfigError:
        return False
    except Exception as error:
        raise Broken(f"{error!r} for the configuration {text!r}") from error
    return True


def try_directory(contents: dict[str, bytes], choice: random.Random) -> str:
    """Start on the directory and read all queues; ``served`` or ``refused``."""
    try:
        seen = look(files_of(contents), memory_max=choice.choice((0, 1 << 20)))
    except PosthouseError:
        return "refused"  # of another kind than `StorageError`: an exchange type that there is not
    return "refused" if seen.refusal else "served"


def run(seed: int, count: int = INPUTS) -> Figures:
    """The unit of ``seed``."""
    choice = random.Random(f"files {seed}")
    figures = {
        "inputs": 0.0,
        "served": 0.0,
        "refused": 0.0,
        "configurations": 0.0,
        "slowest_input_s_max": 0.0,
    }
    with (
        watched(f"files-{seed}", HANG_S),
        tempfile.TemporaryDirectory() as directory,
        listening(logging.WARNING),
    ):
        for number in range(count):
            begin = time.process_time()
            what = "configuration"
            try:
                if choice.random() < CONFIGURATIONS_SHARE:
                    try_configuration(pathlib.Path(directory), choice)
                    figures["configurations"] += 1
                else:
                    contents, what = change_directory(choice.choice(samples()), choice)
                    figures[try_directory(contents, choice)] += 1
            except Exception as error:
                raise Broken(f"seed {seed}, input {number}, {what}: {error!r}") from error
            took = time.process_time() - begin
            if took > INPUT_S:
                raise Broken(f"seed {seed}, input {number}, {what}: {took:.1f} s")
            figures["inputs"] += 1
            figures["slowest_input_s_max"] = max(figures["slowest_input_s_max"], took)
    return figures


CAMPAIGN = Campaign(
    name="file-fuzz",
    what="logs, snapshots and definitions that lie under good checksums, and configurations: served or refused, never a crash (F4)",
    units=1000,
    run=run,
    batch=20,
)
