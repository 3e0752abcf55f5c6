"""The topic matcher: binding patterns of words, ``*`` for one word and ``#`` for any number.

A trie over the patterns' words, matched by walking a set of nodes over the key's words: the set never holds a node
twice, so a match costs at most words x nodes, whatever the number of ``#``. Words are split at ``.``; the empty key has no
words; ``a.`` has two.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable


class Node:
    """A position in the patterns. ``targets`` counts who ends here."""

    __slots__ = ("children", "hash", "star", "targets")

    def __init__(self) -> None:
        self.children: dict[bytes, Node] = {}
        self.star: Node | None = None
        self.hash: Node | None = None
        self.targets: dict[Hashable, int] = {}

    def is_empty(self) -> bool:
        """Whether nothing hangs on this node."""
        return not (self.children or self.star or self.hash or self.targets)


def words(key: bytes) -> list[bytes]:
    """The words of a key or pattern."""
    return key.split(b".") if key else []


class TopicTrie:
    """Patterns to targets; a target may be added under many patterns, and repeatedly under one."""

    def __init__(self) -> None:
        self._root = Node()

    def add(self, pattern: bytes, target: Hashable) -> None:
        """Add ``target`` under ``pattern``."""
        node = self._root
        for word in words(pattern):
            if word == b"*":
                if node.star is None:
                    node.star = Node()
                node = node.star
            elif word == b"#":
                if node.hash is None:
                    node.hash = Node()
                node = node.hash
            else:
                node = node.children.setdefault(word, Node())
        node.targets[target] = node.targets.get(target, 0) + 1

    def remove(self, pattern: bytes, target: Hashable) -> None:
        """Remove one addition of ``target`` under ``pattern``, which must be there; prunes empty branches."""
        path: list[tuple[Node, bytes, Node]] = []
        node = self._root
        for word in words(pattern):
            child = (
                node.star
                if word == b"*"
                else node.hash
                if word == b"#"
                else node.children.get(word)
            )
            assert child is not None
            path.append((node, word, child))
            node = child
        node.targets[target] -= 1
        if not node.targets[target]:
            del node.targets[target]
        for parent, word, child in reversed(path):
            if not child.is_empty():
                break
            if word == b"*":
                parent.star = None
            elif word == b"#":
                parent.hash = None
            else:
                del parent.children[word]

    def match(self, key: bytes) -> set[Hashable]:
        """All targets whose pattern matches ``key``."""
        current = _closure([self._root])
        for word in words(key):
            following: dict[Node, None] = {}
            for node, stays in current.items():
                if stays:
                    following[node] = None
                child = node.children.get(word)
                if child is not None:
                    following[child] = None
                if node.star is not None:
                    following[node.star] = None
            stayed = {node for node, stays in current.items() if stays}
            current = _closure(following, stayed)
            if not current:
                return set()
        found: set[Hashable] = set()
        for node in current:
            found.update(node.targets)
        return found


def _closure(nodes: Iterable[Node], hashes: Iterable[Node] = ()) -> dict[Node, bool]:
    """``nodes`` and whatever a ``#`` without words leads to; the value says whether the node swallows words."""
    swallowing = set(hashes)
    found: dict[Node, bool] = {}
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if node in found:
            continue
        found[node] = node in swallowing
        if node.hash is not None:
            swallowing.add(node.hash)
            found.pop(node.hash, None)
            pending.append(node.hash)
    return found
