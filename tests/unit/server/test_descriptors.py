"""Room for connections under the limit of open files."""

from __future__ import annotations

import resource

import pytest

from posthouse.server.descriptors import ENOUGH, RESERVED, connection_room

INFINITY = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limits", "is_allowed", "room"),
    [
        ((1024, 1024), True, 1024 - RESERVED),
        ((1024, 4096), True, 4096 - RESERVED),
        ((1024, 4096), False, 1024 - RESERVED),
        ((256, INFINITY), True, ENOUGH - RESERVED),
        ((256, INFINITY), False, 256 - RESERVED),
        ((INFINITY, INFINITY), True, ENOUGH),
        ((40, 40), True, 1),
    ],
)
def test_what_the_log_needs_is_kept_aside(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], is_allowed: bool, room: int
) -> None:
    now = limits

    def set_limit(_: int, wanted: tuple[int, int]) -> None:
        nonlocal now
        if not is_allowed:
            raise ValueError("not allowed to raise the limit")
        now = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda _: now)
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    assert connection_room() == room
    assert now[1] == limits[1]
