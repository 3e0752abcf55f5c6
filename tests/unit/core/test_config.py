"""The schema of the configuration: defaults, checks, documentation."""

from __future__ import annotations

import dataclasses
import pathlib
import re

import pytest

from posthouse.core.config import (
    SECTIONS,
    AmqpConfig,
    AuthConfig,
    Config,
    NodeConfig,
    Section,
    settings_of,
)
from posthouse.core.errors import ConfigError

SRC = pathlib.Path(__file__).resolve().parents[3] / "src" / "posthouse"


def test_the_tree_has_exactly_the_sections() -> None:
    assert {field.name for field in dataclasses.fields(Config)} == set(SECTIONS)
    for name, section in SECTIONS.items():
        assert type(getattr(Config(), name)) is section


@pytest.mark.parametrize("section", SECTIONS.values())
def test_every_setting_has_a_sentence(section: type[Section]) -> None:
    for item in settings_of(section):
        assert item.setting.doc.endswith("."), item.name
        assert "|" not in item.setting.doc, "the reference page is a table"


@pytest.mark.parametrize(
    ("setting", "value", "text"),
    [
        ("port", 65536, "port: 65536 is above the greatest value 65535"),
        ("port", -1, "port: -1 is below the least value 0"),
        ("port", "5672", "port: '5672' is not of type int"),
        ("port", True, "port: True is not of type int"),
        ("bind", 1, "bind: 1 is not of type str"),
        ("handshake_timeout_s", "10", "handshake_timeout_s: '10' is not of type float"),
    ],
)
def test_refuses_a_value_that_cannot_be_used(setting: str, value: object, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        AmqpConfig(**{setting: value})  # type: ignore[arg-type]
    assert caught.value.explanation == text


def test_an_integer_is_a_number_of_seconds() -> None:
    assert AmqpConfig(handshake_timeout_s=3).handshake_timeout_s == 3


def test_refuses_an_unknown_choice() -> None:
    with pytest.raises(ConfigError, match="'never' is none of fsync, os"):
        NodeConfig(durability="never")
    with pytest.raises(ConfigError, match="'PLANE' is none of PLAIN"):
        AuthConfig(mechanisms=("PLAIN", "PLANE"))


def test_refuses_two_permission_patterns() -> None:
    with pytest.raises(ConfigError, match="give three patterns"):
        AuthConfig(default_permissions=(".*", ".*"))


def test_does_not_show_secrets() -> None:
    config = Config(auth=AuthConfig(default_pass="hush"))
    assert "hush" not in repr(config)
    with pytest.raises(ConfigError) as caught:
        AuthConfig(default_pass=8086)  # type: ignore[arg-type]
    assert "8086" not in caught.value.explanation


def test_every_setting_is_used_somewhere() -> None:
    """A setting that nothing reads would be a promise that is not kept."""
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("server", "cli", "protocols", "auth")
        for path in (SRC / folder).rglob("*.py")
    )
    unused = [
        f"{name}.{item.name}"
        for name, section in SECTIONS.items()
        for item in settings_of(section)
        if not re.search(rf"\b{name}\.{item.name}\b|\b{name}_config\.{item.name}\b", code)
    ]
    assert unused == []
