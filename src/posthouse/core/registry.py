"""A registry of named factories: the bundled ones, and third parties' through an entry point group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from posthouse.core.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class Registry(Generic[T]):
    """Name -> factory. Entry points are looked at only when an unknown name is asked for."""

    def __init__(self, group: str, bundled: dict[str, T]) -> None:
        self.group = group
        self._items = dict(bundled)
        self._points: dict[str, EntryPoint] | None = None

    def register(self, name: str, item: T) -> None:
        """Add a factory.

        Raises:
            ConfigError: the name is taken.
        """
        if name in self._items:
            raise ConfigError(f"{self.group}: the name {name!r} is registered twice")
        self._items[name] = item

    def get(self, name: str) -> T | None:
        """The factory of that name, or None."""
        item = self._items.get(name)
        if item is not None:
            return item
        if self._points is None:
            # Imported late: reading every distribution's metadata costs milliseconds, once.
            from importlib.metadata import entry_points

            self._points = {point.name: point for point in entry_points(group=self.group)}
        point = self._points.get(name)
        if point is None:
            return None
        loaded = cast(T, point.load())
        self._items[name] = loaded
        return loaded

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None
