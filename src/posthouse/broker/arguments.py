"""x-arguments: validation on declare, and equivalence on redeclare. Texts are RabbitMQ's (3.x).

Values come as the wire decoded them: plain Python values, or small objects with ``tag`` and ``value`` for numbers of other
widths than signed 32 bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from posthouse.core.errors import PreconditionFailed

Value = Any  # a field value

# Ten years, RabbitMQ's bound on times.
TIME_MAX_MS = 315360000000

_TYPE_NAMES = {
    "b": "byte",
    "B": "unsignedbyte",
    "s": "short",
    "u": "unsignedshort",
    "i": "unsignedint",
    "l": "long",
    "f": "float",
}


def type_name(value: Value) -> str:
    """RabbitMQ's word for the AMQP type of ``value``."""
    tag = getattr(value, "tag", None)
    if tag is not None:
        return _TYPE_NAMES.get(tag, "long")
    if value is None:
        return "void"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "timestamp" if type(value) is not int else "signedint"
    names = {
        str: "longstr",
        bytes: "longstr",
        bytearray: "binary",
        float: "double",
        dict: "table",
        list: "array",
    }
    return names.get(type(value), "decimal")


def plain(value: Value) -> Value:
    """The value without its tag."""
    return getattr(value, "value", value)


def _is_integer(value: Value) -> bool:
    number = plain(value)
    return isinstance(number, int) and not isinstance(number, bool)


def _text(value: Value) -> str:
    raw = plain(value)
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, bytes | bytearray):
        return bytes(raw).decode("utf-8", "replace")
    return str(raw)


# --- validation ---------------------------------------------------------------------------------


def _integer(minimum: int, maximum: int | None = None) -> Callable[[Value], str | None]:
    def check(value: Value) -> str | None:
        if not _is_integer(value):
            return f"{{unacceptable_type,{type_name(value)}}}"
        number = plain(value)
        if number < 0:
            return f"{{value_negative,{number}}}"
        if number < minimum:
            return "{value_zero,0}"
        if maximum is not None and number > maximum:
            if maximum == TIME_MAX_MS:
                return f"{{value_too_large,{number}}}"
            return f"{{max_value_exceeded,{number}}}"
        return None

    return check


def _string(value: Value) -> str | None:
    return None if isinstance(value, str) else f"{{unacceptable_type,{type_name(value)}}}"


def _boolean(value: Value) -> str | None:
    return None if isinstance(value, bool) else f"{{unacceptable_type,{type_name(value)}}}"


def _one_of(error: str, *allowed: str) -> Callable[[Value], str | None]:
    def check(value: Value) -> str | None:
        if not isinstance(value, str):
            return f"{{unacceptable_type,{type_name(value)}}}"
        return None if value in allowed else error

    return check


QUEUE_ARGUMENTS: dict[str, Callable[[Value], str | None]] = {
    "x-expires": _integer(1, TIME_MAX_MS),
    "x-message-ttl": _integer(0, TIME_MAX_MS),
    "x-dead-letter-exchange": _string,
    "x-dead-letter-routing-key": _string,
    "x-dead-letter-strategy": _one_of("invalid_dlx_strategy", "at-most-once", "at-least-once"),
    "x-max-length": _integer(0),
    "x-max-length-bytes": _integer(0),
    "x-max-in-memory-length": _integer(0),
    "x-max-in-memory-bytes": _integer(0),
    "x-max-priority": _integer(0, 255),
    "x-overflow": _one_of("invalid_overflow", "drop-head", "reject-publish", "reject-publish-dlx"),
    "x-queue-mode": _one_of("invalid_queue_mode", "default", "lazy"),
    "x-queue-version": _integer(1, 2),
    "x-single-active-consumer": _boolean,
    "x-queue-type": _string,
    "x-delivery-limit": _integer(0),
    "x-consumer-timeout": _integer(0, TIME_MAX_MS),
    "x-queue-master-locator": _string,
    "x-queue-leader-locator": _string,
}
QUEUE_TYPES = ("classic",)


def check_queue_arguments(arguments: Mapping[str, Value], described: str) -> None:
    """Refuse values that RabbitMQ refuses; ``described`` is ``queue 'q' in vhost '/'``.

    Raises:
        PreconditionFailed: naming the argument.
    """
    for name, check in QUEUE_ARGUMENTS.items():
        if name not in arguments:
            continue
        problem = check(arguments[name])
        if problem is not None:
            raise PreconditionFailed(f"invalid arg '{name}' for {described}: {problem}")
    if "x-dead-letter-routing-key" in arguments and "x-dead-letter-exchange" not in arguments:
        raise PreconditionFailed(
            f"invalid arg 'x-dead-letter-routing-key' for {described}: routing_key_but_no_dlx_defined"
        )
    kind = arguments.get("x-queue-type", "classic")
    if kind not in QUEUE_TYPES:
        raise PreconditionFailed(
            f"invalid arg 'x-queue-type' for {described}: \"unsupported queue type '{kind}'\""
        )


def check_exchange_arguments(arguments: Mapping[str, Value], described: str) -> None:
    """The alternate exchange must be named by text."""
    value = arguments.get("alternate-exchange")
    if value is not None and not isinstance(value, str):
        raise PreconditionFailed(
            f"invalid type '{type_name(value)}' for arg 'alternate-exchange' in {described}"
        )


# --- equivalence --------------------------------------------------------------------------------


def check_equal(name: str, described: str, received: object, current: object) -> None:
    """A property of a redeclared object."""
    if received != current:
        raise PreconditionFailed(
            f"inequivalent arg '{name}' for {described}: "
            f"received '{_text(received)}' but current is '{_text(current)}'"
        )


def _same(a: Value, b: Value) -> bool:
    if _is_integer(a) and _is_integer(b):
        return bool(plain(a) == plain(b))
    if type_name(a) in ("float", "double") and type_name(b) in ("float", "double"):
        return bool(plain(a) == plain(b))
    return type_name(a) == type_name(b) and bool(plain(a) == plain(b))


def check_equivalent(
    names: tuple[str, ...],
    described: str,
    received: Mapping[str, Value],
    current: Mapping[str, Value],
) -> None:
    """The arguments ``names`` of a redeclared object; integers compare by value."""
    for name in names:
        has_new, has_old = name in received, name in current
        if has_new and has_old:
            if not _same(received[name], current[name]):
                raise PreconditionFailed(
                    f"inequivalent arg '{name}' for {described}: received "
                    f"'{_text(received[name])}' but current is '{_text(current[name])}'"
                )
        elif has_new or has_old:
            if (
                name == "x-queue-type"
                and plain((received if has_new else current)[name]) == "classic"
            ):
                continue
            new = _with_type(received[name]) if has_new else "none"
            old = _with_type(current[name]) if has_old else "none"
            raise PreconditionFailed(
                f"inequivalent arg '{name}' for {described}: received {new} but current is {old}"
            )


def _with_type(value: Value) -> str:
    return f"the value '{_text(value)}' of type '{type_name(value)}'"


QUEUE_EQUIVALENT = (
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-single-active-consumer",
    "x-queue-type",
)
EXCHANGE_EQUIVALENT = ("alternate-exchange",)
