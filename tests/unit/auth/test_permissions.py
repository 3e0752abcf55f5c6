"""A channel's permission cache and the texts of its refusals."""

from __future__ import annotations

import pytest

from posthouse.auth.api import Identity
from posthouse.auth.permissions import CACHE_SIZE, PermissionCache
from posthouse.core.errors import AccessRefused


class Rules:
    """An authorizer that counts and refuses what stands in ``refused``."""

    def __init__(self, *refused: str) -> None:
        self.refused = set(refused)
        self.asked: list[tuple[str, str, str, str]] = []

    def may_access_vhost(self, identity: Identity, vhost: str) -> bool:
        return True

    def permits(self, identity: Identity, vhost: str, permission: str, name: str) -> bool:
        self.asked.append((identity.name, vhost, permission, name))
        return name not in self.refused


def cache_over(rules: Rules) -> PermissionCache:
    return PermissionCache(rules, Identity("ann"), "v")


@pytest.mark.parametrize("permission", ["configure", "write", "read"])
@pytest.mark.parametrize("kind", ["queue", "exchange"])
def test_refuses_with_rabbitmqs_words(permission: str, kind: str) -> None:
    with pytest.raises(AccessRefused) as caught:
        cache_over(Rules("x")).check(permission, kind, "x")
    assert caught.value.explanation == (
        f"{permission} access to {kind} 'x' in vhost 'v' refused for user 'ann'"
    )


def test_the_default_exchange_goes_by_its_other_name() -> None:
    rules = Rules("amq.default")
    with pytest.raises(AccessRefused, match=r"exchange 'amq\.default' in vhost"):
        cache_over(rules).check("write", "exchange", "")
    assert rules.asked == [("ann", "v", "write", "amq.default")]


def test_asks_once_for_what_is_granted() -> None:
    rules = Rules()
    cache = cache_over(rules)
    for _ in range(3):
        cache.check("write", "exchange", "e")
        cache.check("read", "exchange", "e")
    assert len(rules.asked) == 2


def test_asks_again_for_what_was_refused() -> None:
    rules = Rules("e")
    cache = cache_over(rules)
    with pytest.raises(AccessRefused):
        cache.check("write", "exchange", "e")
    rules.refused.clear()
    cache.check("write", "exchange", "e")


def test_asks_again_after_a_change() -> None:
    rules = Rules()
    cache = cache_over(rules)
    cache.check("write", "exchange", "e")
    rules.refused.add("e")
    cache.clear()
    with pytest.raises(AccessRefused):
        cache.check("write", "exchange", "e")


def test_forgets_the_one_used_longest_ago() -> None:
    rules = Rules()
    cache = cache_over(rules)
    for i in range(CACHE_SIZE):
        cache.check("read", "queue", f"q{i}")
    cache.check("read", "queue", "q0")
    cache.check("read", "queue", "one more")
    rules.asked.clear()
    cache.check("read", "queue", "q0")
    assert rules.asked == []
    cache.check("read", "queue", "q1")
    assert [name for *_, name in rules.asked] == ["q1"]
