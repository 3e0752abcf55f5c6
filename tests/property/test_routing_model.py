"""Routing through exchanges of all kinds against a naive model that keeps nothing but lists.

Random exchanges (with alternates that may be missing or lead in circles), queues and bindings come and go; after the
changes every exchange is asked with random keys and headers. The kept routes are asked as well: the same key must get
the same queues before and after it is kept.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.broker.broker import Broker
from posthouse.broker.dispatch import Dispatcher
from posthouse.broker.vhost import VHost
from posthouse.journal.block import BlockTable, LogBuffer
from posthouse.journal.table import Table
from posthouse.wire.amqp091.fields import typed_value

EXCHANGES = ("d", "f", "t", "h", "d2", "f2")
KINDS = {"d": "direct", "f": "fanout", "t": "topic", "h": "headers"}
QUEUES = ("q1", "q2", "q3")
KEYS = (b"", b"a", b"a.b", b"b", b"q1")
PATTERNS = (*KEYS, b"#", b"*", b"a.*", b"*.b", b"a.#")
MATCHES: tuple[dict[str, Any], ...] = (
    {},
    {"x-match": "any"},
    {"n": 1},
    {"n": 1, "m": 2},
    {"x-match": "any", "n": 1, "m": 2},
    {"x-match": "all-with-x", "x-n": 1},
    {"x-match": "any-with-x", "x-n": 1, "n": 1},
)
HEADERS: tuple[dict[str, Any] | None, ...] = (
    None,
    {},
    {"n": 1},
    {"n": 2},
    {"m": 2, "x-n": 1},
    {"n": 1, "m": 2},
)

Bound = tuple[str, str, str, bytes, int]  # source, destination kind and name, key, index in MATCHES
BINDING = st.tuples(
    st.sampled_from(EXCHANGES),
    st.one_of(
        st.tuples(st.just("queue"), st.sampled_from(QUEUES)),
        st.tuples(st.just("exchange"), st.sampled_from(EXCHANGES)),
    ),
    st.sampled_from(PATTERNS),
    st.integers(0, len(MATCHES) - 1),
).map(lambda b: (b[0], *b[1], b[2], b[3]))
CHANGE = st.one_of(
    st.tuples(st.just("bind"), BINDING),
    st.tuples(st.just("bind"), BINDING),
    st.tuples(st.just("unbind"), BINDING),
    st.tuples(st.just("delete queue"), st.sampled_from(QUEUES)),
    st.tuples(st.just("delete exchange"), st.sampled_from(EXCHANGES)),
)
ALTERNATES = st.dictionaries(
    st.sampled_from(EXCHANGES), st.sampled_from((*EXCHANGES, "ghost", "amq.fanout"))
)


class Model:
    """Lists, and the rules as the documentation states them."""

    def __init__(self, alternates: dict[str, str]) -> None:
        self.alternates = alternates
        self.exchanges = set(EXCHANGES)
        self.queues = set(QUEUES)
        self.bindings: set[Bound] = set()

    def ends_exist(self, bound: Bound) -> bool:
        source, kind, name, _, _ = bound
        return source in self.exchanges and name in (
            self.queues if kind == "queue" else self.exchanges
        )

    def forget(self, kind: str, name: str) -> None:
        """An exchange or queue went: so do the bindings at either end of it."""
        (self.queues if kind == "queue" else self.exchanges).discard(name)
        self.bindings = {b for b in self.bindings if self.ends_exist(b)}

    def route(self, exchange: str, key: bytes, headers: dict[str, Any], seen: set[str]) -> set[str]:
        """The queues reached; ``seen`` collects the exchanges visited."""
        if exchange in seen or exchange not in self.exchanges:
            return set()
        seen.add(exchange)
        hits = [b for b in self.bindings if b[0] == exchange and takes(b, key, headers)]
        found = {name for _, kind, name, _, _ in hits if kind == "queue"}
        onward = [name for _, kind, name, _, _ in hits if kind == "exchange"]
        if not hits and exchange in self.alternates:
            onward = [self.alternates[exchange]]
        for name in onward:
            found |= self.route(name, key, headers, seen)
        return found


def takes(bound: Bound, key: bytes, headers: dict[str, Any]) -> bool:
    """Whether one binding takes a message."""
    source, _, _, pattern, match = bound
    kind = KINDS[source[0]]
    if kind == "fanout":
        return True
    if kind == "direct":
        return pattern == key
    if kind == "topic":
        return topic(pattern.split(b".") if pattern else [], key.split(b".") if key else [])
    arguments = MATCHES[match]
    how = arguments.get("x-match", "all")
    wanted = [n for n in arguments if n != "x-match" and (how.endswith("x") or n[:2] != "x-")]
    hits = [headers.get(name) == arguments[name] for name in wanted]
    return any(hits) if how.startswith("any") else all(hits)


def topic(pattern: list[bytes], key: list[bytes]) -> bool:
    if not pattern:
        return not key
    if pattern[0] == b"#":
        return any(topic(pattern[1:], key[i:]) for i in range(len(key) + 1))
    return bool(key) and pattern[0] in (b"*", key[0]) and topic(pattern[1:], key[1:])


def new_vhost(alternates: dict[str, str]) -> VHost:
    blocks = BlockTable()
    broker = Broker(Dispatcher(blocks, LogBuffer(blocks, False), None), Table(None), typed_value)
    broker.load()
    vhost = broker.vhosts["/"]
    for name in EXCHANGES:
        arguments = {"alternate-exchange": alternates[name]} if name in alternates else {}
        vhost.declare_exchange(
            name,
            KINDS[name[0]],
            durable=False,
            auto_delete=False,
            internal=False,
            arguments=arguments,
        )
    for name in QUEUES:
        vhost.declare_queue(
            name,
            durable=True,
            exclusive_owner=None,
            requester=None,
            auto_delete=False,
            arguments={},
        )
    return vhost


def apply(change: tuple[str, Any], vhost: VHost, model: Model) -> None:
    verb, what = change
    if verb == "delete queue":
        vhost.delete_queue(what, requester=None)
        model.forget("queue", what)
    elif verb == "delete exchange":
        vhost.delete_exchange(what)
        model.forget("exchange", what)
    else:
        source, kind, name, key, match = what
        arguments = MATCHES[match]
        if verb == "unbind":
            vhost.unbind(source, name, kind, key, arguments)
            model.bindings.discard(what)
        elif model.ends_exist(what):
            vhost.bind(source, name, kind, key, arguments)
            model.bindings.add(what)


def check(vhost: VHost, model: Model, exchange: str, key: bytes, headers: Any) -> None:
    expected = model.route(exchange, key, headers or {}, set())
    found = [queue.name for queue in vhost.resolve(exchange, key, headers)]
    assert len(found) == len(set(found)), "a queue is reached once"
    assert set(found) == expected
    blob = bytes((len(exchange),)) + exchange.encode() + bytes((len(key),)) + key
    route = vhost.routes.lookup(blob)
    if route.plain:
        names = {queue.name for queue in route.queues}  # type: ignore[attr-defined]
        assert names == expected


@settings(max_examples=60, deadline=None)
@given(
    ALTERNATES,
    st.lists(CHANGE, max_size=25),
    st.sampled_from(KEYS),
    st.sampled_from(HEADERS),
)
def test_routes_as_the_rules_say(
    alternates: dict[str, str],
    changes: list[tuple[str, Any]],
    key: bytes,
    headers: dict[str, Any] | None,
) -> None:
    vhost = new_vhost(alternates)
    model = Model(alternates)
    for change in changes:
        apply(change, vhost, model)
        source = change[1][0] if change[0].endswith("bind") else EXCHANGES[0]
        check(vhost, model, source, key, headers)
    for exchange in EXCHANGES:
        for some_key in KEYS:
            check(vhost, model, exchange, some_key, headers)
