"""The registry: bundled names, registration, entry points on demand."""

from __future__ import annotations

import importlib.metadata

import pytest

from posthouse.core.errors import ConfigError
from posthouse.core.registry import Registry


def test_finds_what_is_bundled_and_registered() -> None:
    registry: Registry[int] = Registry("posthouse.test", {"a": 1})
    registry.register("b", 2)
    assert (registry.get("a"), registry.get("b"), registry.get("c")) == (1, 2, None)
    assert list(registry) == ["a", "b"]
    assert "a" in registry
    assert "c" not in registry


def test_a_name_twice_is_an_error() -> None:
    registry: Registry[int] = Registry("posthouse.test", {"a": 1})
    with pytest.raises(ConfigError, match=r"posthouse\.test: the name 'a' is registered twice"):
        registry.register("a", 2)


def test_an_entry_point_is_loaded_when_its_name_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def entry_points(group: str) -> list[importlib.metadata.EntryPoint]:
        asked.append(group)
        return [importlib.metadata.EntryPoint("join", "os.path:join", group)]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    registry: Registry[object] = Registry("posthouse.test", {})
    assert asked == []
    assert callable(registry.get("join"))
    assert callable(registry.get("join"))
    assert asked == ["posthouse.test"]


def test_entry_points_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    def entry_points(group: str) -> list[importlib.metadata.EntryPoint]:
        nonlocal looked
        looked += 1
        return []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    registry: Registry[int] = Registry("posthouse.test", {})
    for n in range(100):
        assert registry.get(f"x{n}") is None
    assert looked == 1
