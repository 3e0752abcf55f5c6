"""Write ``docs/reference/configuration.md`` from the schema in ``posthouse.core.config``.

Usage: ``python tools/generate_config_reference.py [--check]``; ``--check`` only says whether the page is current.
"""

from __future__ import annotations

import pathlib
import sys

from posthouse.core.config import SECTIONS, SettingField, settings_of

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "reference" / "configuration.md"

HEAD = """\
# Configuration

<!-- Written by tools/generate_config_reference.py from src/posthouse/core/config.py: `make docs`. -->

Everything has a default: a broker needs no configuration. `posthouse start --config FILE` reads a TOML file with the tables
below; options of the command line win over the file. An unknown key or a value that cannot be used stops the start with
the file, the line and the nearest known key.

```toml
[node]
data_dir = "posthouse-data"

[amqp]
bind = "0.0.0.0"
heartbeat_s = 30
```

The last part of a name is its unit (`_bytes`, `_s`, `_ms`). The third column names the key of `rabbitmq.conf` that means the same.
"""


def shown(value: object) -> str:
    """A value as TOML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(shown(part) for part in value) + "]"
    if isinstance(value, str):
        return f'"{value}"'
    return str(value)


def bounds(item: SettingField) -> str:
    """What a value must keep to, as the end of a sentence."""
    setting = item.setting
    if setting.choices:
        return " One of " + ", ".join(f"`{choice}`" for choice in setting.choices) + "."
    if setting.minimum is not None and setting.maximum is not None:
        return f" From {setting.minimum} to {setting.maximum}."
    if setting.minimum is not None:
        return f" At least {setting.minimum}."
    return ""


def page() -> str:
    """The whole document."""
    parts = [HEAD]
    for name, section in SECTIONS.items():
        doc = (section.__doc__ or "").strip()
        parts.append(f"\n## `[{name}]`\n\n{doc}\n\n")
        parts.append("| key | default | RabbitMQ | meaning |\n| --- | --- | --- | --- |\n")
        for item in settings_of(section):
            setting = item.setting
            key = f"`{setting.rabbitmq_key}`" if setting.rabbitmq_key else ""
            meaning = setting.doc + bounds(item)
            if setting.is_reloadable:
                meaning += " Can be changed while the broker runs."
            parts.append(f"| `{item.name}` | `{shown(item.default)}` | {key} | {meaning} |\n")
    return "".join(parts)


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` compare it."""
    text = page()
    if "--check" in arguments:
        return 0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text else 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
