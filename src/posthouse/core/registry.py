"""A registry of named factories: the bundled ones, and third parties' through an entry point group."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar, cast

from posthouse.core.errors import ConfigError

T = TypeVar("T")


class Registry(Generic[T]):
    """Name -> factory. Entry points are looked at only when an unknown name is asked for."""

    def __init__(self, group: str, bundled: dict[str, T]) -> None:
        self.group = group
        self._items = dict(bundled)
        self._missing: set[str] = set()

    def register(self, name: str, item: T) -> None:
        """Add a factory.

        Raises:
            ConfigError: the name is taken.
        """
        if name in self._items:
            raise ConfigError(f"{self.group}: the name {name!r} is registered twice")
        self._items[name] = item

    def get(self, name: str) -> T | None:
        """The factory of that name, or None. Names that were not found are remembered (at most 256)."""
        item = self._items.get(name)
        if item is not None or name in self._missing:
            return item
        for point in entry_points(group=self.group):
            if point.name == name:
                loaded = cast(T, point.load())
                self._items[name] = loaded
                return loaded
        if len(self._missing) < 256:
            self._missing.add(name)
        return None

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None
