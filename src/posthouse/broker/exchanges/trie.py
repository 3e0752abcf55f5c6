"""The topic matcher: binding patterns of words, ``*`` for one word and ``#`` for any number.

A trie over the patterns' words, matched by walking a set of nodes over the key's words. A step enters a node at most once,
so a match costs at most words x nodes, whatever the number of ``#``: a pattern of 50 of them cannot blow up. Words are
split at ``.``; the empty key has no words; ``a.`` has two. Kernel: compiled with ``trie.pxd``.
"""

from __future__ import annotations

from collections.abc import Hashable


class Node:
    """A place in the patterns.

    Attributes:
        children, star, hash: what follows: a literal word, ``*``, ``#``.
        targets: who ends here, and how many times it was added.
        is_hash: reached by ``#``, so it swallows further words.
        entered: the last step that entered it (see `TopicTrie.match`).
    """

    def __init__(self, is_hash: bool) -> None:
        self.children: dict[bytes, Node] = {}
        self.star: Node | None = None
        self.hash: Node | None = None
        self.targets: dict[Hashable, int] = {}
        self.is_hash = is_hash
        self.entered = 0

    def is_empty(self) -> bool:
        """Whether nothing hangs on this node."""
        return (
            len(self.targets) == 0
            and len(self.children) == 0
            and self.star is None
            and self.hash is None
        )

    def child(self, word: bytes) -> Node | None:
        """What follows by ``word`` of a pattern."""
        if word == b"*":
            return self.star
        if word == b"#":
            return self.hash
        return self.children.get(word)

    def grow(self, word: bytes) -> Node:
        """What follows by ``word`` of a pattern, made if it is not there."""
        node = self.child(word)
        if node is None:
            node = Node(word == b"#")
            if word == b"*":
                self.star = node
            elif word == b"#":
                self.hash = node
            else:
                self.children[word] = node
        return node

    def prune(self, word: bytes) -> None:
        """Forget what follows by ``word``."""
        if word == b"*":
            self.star = None
        elif word == b"#":
            self.hash = None
        else:
            del self.children[word]


class TopicTrie:
    """Patterns to targets; a target may be added under many patterns, and repeatedly under one."""

    def __init__(self) -> None:
        self.root = Node(False)
        self.step = 0

    def is_empty(self) -> bool:
        """Whether no pattern is left."""
        return self.root.is_empty()

    def add(self, pattern: bytes, target: Hashable) -> None:
        """Add ``target`` under ``pattern``."""
        node = self.root
        for word in words(pattern):
            node = node.grow(word)
        node.targets[target] = node.targets.get(target, 0) + 1

    def remove(self, pattern: bytes, target: Hashable) -> None:
        """Remove one addition of ``target`` under ``pattern``, and the branch if nothing else needs it.

        Raises:
            KeyError: it was not added.
        """
        node = self.root
        path = []
        for word in words(pattern):
            child = node.child(word)
            if child is None:
                raise KeyError(pattern)
            path.append((node, word))
            node = child
        count = node.targets[target] - 1
        if count:
            node.targets[target] = count
            return
        del node.targets[target]
        while path and node.is_empty():
            node, word = path.pop()
            node.prune(word)

    def match(self, key: bytes) -> dict[Hashable, int]:
        """All targets whose pattern matches ``key``, in an order that depends on nothing else."""
        self.step += 1
        current: list[Node] = []
        self.enter(self.root, current)
        for word in words(key):
            self.step += 1
            following: list[Node] = []
            for x in current:
                node = x
                if node.is_hash:
                    self.enter(node, following)
                self.enter(node.children.get(word), following)
                self.enter(node.star, following)
            if not following:
                return {}
            current = following
        found: dict[Hashable, int] = {}
        for x in current:
            node = x
            if node.targets:
                found.update(node.targets)
        return found

    def enter(self, node: Node | None, into: list[Node]) -> None:
        """Put ``node`` into the step's list, and what follows it by a ``#`` that takes no word."""
        while node is not None and node.entered != self.step:
            node.entered = self.step
            into.append(node)
            node = node.hash


def words(key: bytes) -> list[bytes]:
    """The words of a key or pattern."""
    return key.split(b".") if key else []
