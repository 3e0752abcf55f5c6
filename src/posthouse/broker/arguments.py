"""x-arguments: validation on declare, and equivalence on redeclare, with RabbitMQ's texts.

Order of checks and texts are those of RabbitMQ 3.10 as it answers (`tests/unit/broker/test_arguments.py` holds its answers).
Values come as the wire decoded them: plain Python values, or small objects with ``tag`` and ``value`` for numbers of
other widths than signed 32 bit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from posthouse.broker.terms import plain, text, type_name
from posthouse.core.errors import PreconditionFailed

Value = Any  # a field value
Check = Callable[[Value], str | None]  # the problem, or None

# Ten years, RabbitMQ's bound on times.
TIME_MAX_MS = 315360000000
PRIORITY_MAX = 255


def is_integer(value: Value) -> bool:
    """Whether RabbitMQ takes it for an integer; a timestamp or decimal is none."""
    number = plain(value)
    return isinstance(number, int) and type_name(value) not in ("bool", "timestamp")


# --- validation ---------------------------------------------------------------------------------


def _any_integer(value: Value) -> str | None:
    return None if is_integer(value) else f'"expected integer, got {type_name(value)}"'


def _integer(minimum: int = 0, *, maximum: int | None = None, above: str = "") -> Check:
    def check(value: Value) -> str | None:
        if not is_integer(value):
            return _any_integer(value)
        number = plain(value)
        if number < 0:
            return f"{{value_negative,{number}}}"
        if number < minimum:
            return "{value_zero,0}"
        if maximum is not None and number > maximum:
            return f"{{{above},{number}}}"
        return None

    return check


def _version(value: Value) -> str | None:
    problem = _integer()(value)
    if problem is None and plain(value) not in (1, 2):
        problem = f"\"unsupported queue version '{plain(value)}'\""
    return problem


def _boolean(value: Value) -> str | None:
    return None if isinstance(value, bool) else f"{{unacceptable_type,{type_name(value)}}}"


def _string(value: Value) -> str | None:
    if type_name(value) == "longstr":
        return None
    return f"{{unacceptable_type,{type_name(value)}}}"


def _one_of(error: str, *allowed: str) -> Check:
    def check(value: Value) -> str | None:
        problem = _string(value)
        if problem is None and value not in allowed:
            problem = error.replace("%", text(value))
        return problem

    return check


def _max_age(value: Value) -> str | None:
    problem = _string(value)
    if problem is None and not re.fullmatch(r"[0-9]+[YMDhms]", text(value)):
        problem = "invalid_max_age"
    return problem


# In the order in which RabbitMQ looks at them. `x-consumer-timeout` is not looked at (3.10).
CHECKS: dict[str, Check] = {
    "x-expires": _integer(1, maximum=TIME_MAX_MS, above="value_too_large"),
    "x-message-ttl": _integer(maximum=TIME_MAX_MS, above="value_too_large"),
    "x-dead-letter-routing-key": _string,
    "x-dead-letter-strategy": _one_of("invalid_dlx_strategy", "at-most-once", "at-least-once"),
    "x-max-length": _integer(),
    "x-max-length-bytes": _integer(),
    "x-max-in-memory-length": _integer(),
    "x-max-in-memory-bytes": _integer(),
    "x-max-priority": _integer(maximum=PRIORITY_MAX, above="max_value_exceeded"),
    "x-overflow": _one_of("invalid_overflow", "drop-head", "reject-publish", "reject-publish-dlx"),
    "x-queue-mode": _one_of("\"unsupported queue mode '%'\"", "default", "lazy"),
    "x-queue-version": _version,
    "x-single-active-consumer": _boolean,
    "x-max-age": _max_age,
    "x-stream-max-segment-size-bytes": _integer(),
    "x-initial-cluster-size": _integer(1),
    "x-quorum-initial-group-size": _integer(1),
    "x-delivery-limit": _any_integer,
    "x-queue-master-locator": _string,
    "x-queue-leader-locator": _one_of(
        "invalid_queue_locator_arg", "client-local", "balanced", "random", "least-leaders"
    ),
}

# What each queue type knows: these are compared on redeclare, the others of `CHECKS` are refused.
KNOWN: dict[str, tuple[str, ...]] = {
    "classic": (
        "x-expires",
        "x-message-ttl",
        "x-dead-letter-exchange",
        "x-dead-letter-routing-key",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-priority",
        "x-overflow",
        "x-queue-mode",
        "x-queue-version",
        "x-single-active-consumer",
        "x-queue-type",
        "x-queue-master-locator",
    ),
    "quorum": (
        "x-expires",
        "x-message-ttl",
        "x-dead-letter-exchange",
        "x-dead-letter-routing-key",
        "x-dead-letter-strategy",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-in-memory-length",
        "x-max-in-memory-bytes",
        "x-overflow",
        "x-single-active-consumer",
        "x-queue-type",
        "x-quorum-initial-group-size",
        "x-delivery-limit",
        "x-queue-leader-locator",
    ),
    "stream": (
        "x-max-length-bytes",
        "x-queue-type",
        "x-max-age",
        "x-stream-max-segment-size-bytes",
        "x-initial-cluster-size",
        "x-queue-leader-locator",
    ),
}
# Refused by 3.10 on a classic queue, taken by later versions: the permissive one is followed.
TOLERATED = {"classic": ("x-queue-leader-locator",)}

EXCHANGE_EQUIVALENT = ("alternate-exchange",)


def queue_type(arguments: Mapping[str, Value], described: str) -> str:
    """The queue type that the arguments ask for.

    Raises:
        PreconditionFailed: there is no such type.
    """
    if "x-queue-type" not in arguments:
        return "classic"
    kind = arguments["x-queue-type"]
    problem = _string(kind)
    if problem is None and kind not in KNOWN:
        problem = f"\"unsupported queue type '{text(kind)}'\""
    if problem is not None:
        raise PreconditionFailed(f"invalid arg 'x-queue-type' for {described}: {problem}")
    return text(kind)


def check_queue_arguments(arguments: Mapping[str, Value], described: str) -> str:
    """Refuse what RabbitMQ refuses on a first declare; ``described`` is ``queue 'q' in vhost '/'``.

    Returns the queue type.

    Raises:
        PreconditionFailed: naming the argument.
    """
    _check_name_of_exchange("x-dead-letter-exchange", arguments, described)
    kind = queue_type(arguments, described)
    supported = KNOWN[kind] + TOLERATED.get(kind, ())
    for name, check in CHECKS.items():
        if name not in arguments:
            continue
        if name not in supported:
            raise PreconditionFailed(
                f"invalid arg '{name}' for {described} of queue type rabbit_{kind}_queue"
            )
        problem = check(arguments[name])
        if name == "x-dead-letter-routing-key" and "x-dead-letter-exchange" not in arguments:
            problem = problem or "routing_key_but_no_dlx_defined"
        if problem is not None:
            raise PreconditionFailed(f"invalid arg '{name}' for {described}: {problem}")
    if kind == "stream" and "x-dead-letter-exchange" in arguments:
        raise PreconditionFailed(
            f"invalid arg 'x-dead-letter-exchange' for {described} of queue type rabbit_stream_queue"
        )
    return kind


def check_queue_properties(
    kind: str, described: str, *, durable: bool, exclusive: bool, auto_delete: bool
) -> None:
    """Quorum queues and streams are durable and belong to nobody."""
    if kind == "classic":
        return
    for wrong, name in (
        (auto_delete, "auto-delete"),
        (exclusive, "exclusive-owner"),
        (not durable, "non-durable"),
    ):
        if wrong:
            raise PreconditionFailed(f"invalid property '{name}' for {described}")


def check_exchange_arguments(arguments: Mapping[str, Value], described: str) -> None:
    """The alternate exchange must be named by text."""
    _check_name_of_exchange("alternate-exchange", arguments, described)


def _check_name_of_exchange(name: str, arguments: Mapping[str, Value], described: str) -> None:
    if name in arguments and type_name(arguments[name]) != "longstr":
        raise PreconditionFailed(
            f"invalid type '{type_name(arguments[name])}' for arg '{name}' in {described}"
        )


# --- equivalence --------------------------------------------------------------------------------


def check_equal(name: str, described: str, received: object, current: object) -> None:
    """A property of a redeclared object."""
    if received != current:
        raise PreconditionFailed(
            f"inequivalent arg '{name}' for {described}: "
            f"received '{text(received)}' but current is '{text(current)}'"
        )


def _type_class(value: Value) -> str:
    raw = plain(value)
    if isinstance(raw, int | Decimal) and not isinstance(raw, bool):
        return "integer"
    return "float" if isinstance(raw, float) else type_name(value)


def _same(a: Value, b: Value) -> bool:
    return _type_class(a) == _type_class(b) and bool(plain(a) == plain(b))


def check_equivalent(
    names: tuple[str, ...],
    described: str,
    received: Mapping[str, Value],
    current: Mapping[str, Value],
) -> None:
    """The arguments ``names`` of a redeclared object; integers of all widths compare by value.

    The values need not be valid: RabbitMQ validates only what it creates.
    """
    for name in names:
        has_new, has_old = name in received, name in current
        if has_new and has_old:
            if not _same(received[name], current[name]):
                raise PreconditionFailed(
                    f"inequivalent arg '{name}' for {described}: received "
                    f"'{text(received[name])}' but current is '{text(current[name])}'"
                )
        elif has_new or has_old:
            if name == "x-queue-type" and (received if has_new else current)[name] == "classic":
                continue
            new = _with_type(received[name]) if has_new else "none"
            old = _with_type(current[name]) if has_old else "none"
            raise PreconditionFailed(
                f"inequivalent arg '{name}' for {described}: received {new} but current is {old}"
            )


def check_queue_equivalent(
    described: str, received: Mapping[str, Value], current: Mapping[str, Value]
) -> None:
    """The arguments that the queue's type knows."""
    kind = queue_type(current, described)
    check_equivalent(KNOWN[kind], described, received, current)


def _with_type(value: Value) -> str:
    return f"the value '{text(value)}' of type '{type_name(value)}'"
