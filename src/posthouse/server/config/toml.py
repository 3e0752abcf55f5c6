"""The native configuration file: TOML, one table per section of `posthouse.core.config`.

::

    [amqp]
    port = 5673
    heartbeat_s = 30

Everything has a default, so an empty file is a valid one. Errors name the file, the line and the
key, and suggest the nearest known one. ``docs/reference/configuration.md`` lists all keys.
"""

from __future__ import annotations

import difflib
import pathlib
import re
import tomllib
from typing import Any

from posthouse.core.config import SECTIONS, Config, Section, settings_of
from posthouse.core.errors import ConfigError


def load_toml(path: str) -> Config:
    """Read the file at ``path``.

    Raises:
        ConfigError: it cannot be read, is not TOML, or holds an unknown key or a value that cannot
        be used.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (octet {error.start})") from error
    return parse_toml(text, path)


def parse_toml(text: str, name: str = "configuration") -> Config:
    """The tree that ``text`` describes; ``name`` stands for the file in errors.

    Raises:
        ConfigError: as for `load_toml`.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not valid TOML: {error}") from error
    sections: dict[str, Any] = {}  # Any: the classes of the sections differ
    for key, table in document.items():
        if key not in SECTIONS:
            where = f"{name}:{_line_of(text, key, None)}"
            what = "table" if isinstance(table, dict) else "key outside a table"
            raise ConfigError(f"{where}: unknown {what} {key!r}{_nearest(key, list(SECTIONS))}")
        if not isinstance(table, dict):
            where = f"{name}:{_line_of(text, key, None)}"
            raise ConfigError(f"{where}: {key!r} is a table: write [{key}] and its keys below it")
        sections[key] = _section(SECTIONS[key], key, table, text, name)
    return Config(**sections)


def _section(
    section: type[Section], table_name: str, table: dict[str, Any], text: str, name: str
) -> Section:
    known = [item.name for item in settings_of(section)]
    values: dict[str, object] = {}
    for key, value in table.items():
        where = f"{name}:{_line_of(text, key, table_name)}"
        if key not in known:
            raise ConfigError(f"{where}: unknown key {table_name}.{key}{_nearest(key, known)}")
        values[key] = tuple(value) if isinstance(value, list) else value
        try:
            section(**{key: values[key]})
        except ConfigError as error:
            raise ConfigError(f"{where}: {table_name}.{error.explanation}") from error
    return section(**values)


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def _line_of(text: str, key: str, table: str | None) -> int:
    """The line where ``key`` stands in ``[table]`` (or where the table begins), counted from 1; 1
    if unseen.

    tomllib keeps no positions, so this reads the file once more, in the common forms only.
    """
    current: str | None = None
    header = re.compile(r"\s*\[\s*([A-Za-z0-9_\"'.-]+)\s*\]")
    dotted = re.compile(rf"\s*[\"']?{re.escape(table or '')}[\"']?\s*\.\s*[\"']?{re.escape(key)}\b")
    plain = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]")
    for number, line in enumerate(text.splitlines(), start=1):
        found = header.match(line)
        if found:
            current = found[1].strip("\"'")
            if table is None and current.split(".")[0] == key:
                return number
        elif (plain if current == table else dotted if current is None else header).match(line):
            return number
    return 1
