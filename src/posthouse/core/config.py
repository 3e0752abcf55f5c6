"""The configuration: one tree of frozen dataclasses, each setting declared once.

A field carries its type, its unit in the name, its default, one sentence, the RabbitMQ key it
answers to and whether a running broker can take a new value. Loaders (``server.config``), the
command line and the reference page ``docs/reference/configuration.md`` only translate from and into
this tree. Values are checked when a section is made, so a tree that exists is usable. Units of the
broker receive their own section, never the whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from posthouse.core.errors import ConfigError

DURABILITIES: Final = ("fsync", "os")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
ON_FAILURE: Final = ("stop", "block")
ON_DAMAGE: Final = ("serve", "stop")
MECHANISMS: Final = ("PLAIN", "AMQPLAIN", "ANONYMOUS", "RABBIT-CR-DEMO", "EXTERNAL")


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known of one field besides its name, type and default."""

    doc: str
    rabbitmq_key: str = ""
    is_reloadable: bool = False
    is_secret: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


def _setting(default: object, doc: str, **known: Any) -> Any:
    """A dataclass field with its `Setting`. Any: the field's own annotation is the type."""
    setting = Setting(doc, **known)
    return field(default=default, metadata={"setting": setting}, repr=not setting.is_secret)


class Section:
    """A part of the tree. Making one checks every value against its `Setting`."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for item in settings_of(type(self)):
            _check(item, getattr(self, item.name))


@dataclass(frozen=True, slots=True)
class SettingField:
    """A field of a section as loaders and the reference page see it."""

    name: str
    type_name: str
    default: object
    setting: Setting


def settings_of(section: type[Section]) -> Iterator[SettingField]:
    """The settings of a section, in the order they are declared."""
    for entry in dataclasses.fields(section):  # type: ignore[arg-type]  # every Section is a dataclass
        yield SettingField(entry.name, str(entry.type), entry.default, entry.metadata["setting"])


def _has_type(value: object, type_name: str) -> bool:
    match type_name:
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "str":
            return isinstance(value, str)
        case "tuple[str, ...]":
            return isinstance(value, tuple) and all(isinstance(part, str) for part in value)
    raise AssertionError(f"no check for settings of type {type_name}")


def _check(item: SettingField, value: object) -> None:
    """Raise ConfigError when ``value`` cannot stand for the setting. Secrets are not repeated."""
    setting = item.setting
    shown = "the value" if setting.is_secret else repr(value)
    if not _has_type(value, item.type_name):
        wanted = "list of str" if item.type_name.startswith("tuple") else item.type_name
        raise ConfigError(f"{item.name}: {shown} is not of type {wanted}")
    if setting.minimum is not None and value < setting.minimum:  # type: ignore[operator]
        raise ConfigError(f"{item.name}: {shown} is below the least value {setting.minimum}")
    if setting.maximum is not None and value > setting.maximum:  # type: ignore[operator]
        raise ConfigError(f"{item.name}: {shown} is above the greatest value {setting.maximum}")
    for part in value if isinstance(value, tuple) else (value,):
        if setting.choices and part not in setting.choices:
            raise ConfigError(f"{item.name}: {part!r} is none of {', '.join(setting.choices)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig(Section):
    """The node itself: its name and where its data lies."""

    name: str = _setting(
        "posthouse@localhost", "The node's name, shown to clients as the cluster name.",
        rabbitmq_key="cluster_name",
    )  # fmt: skip
    data_dir: str = _setting(
        "posthouse-data", "Directory of the logs; relative paths start at the working directory.",
    )  # fmt: skip
    memory: bool = _setting(
        False, "Keep everything in memory and write nothing; `data_dir` is unused."
    )
    durability: str = _setting(
        "fsync",
        "When a commit counts as done: `fsync` after the disk has it, `os` after the operating "
        "system has it (survives a crash of the broker, not of the machine; definitions are synced all the same).",
        choices=DURABILITIES,
    )  # fmt: skip
    log_level: str = _setting(
        "warning",
        "What is logged, on standard error: `info` adds who connects, who leaves and why, `debug` more.",
        rabbitmq_key="log.console.level", choices=LOG_LEVELS,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AmqpConfig(Section):
    """The AMQP 0-9-1 listener and what it negotiates."""

    bind: str = _setting(
        "127.0.0.1", "Address to listen on; `0.0.0.0` or `::` for every interface.",
        rabbitmq_key="listeners.tcp",
    )  # fmt: skip
    port: int = _setting(
        5672, "TCP port; 0 lets the system choose one.",
        rabbitmq_key="listeners.tcp", minimum=0, maximum=65535,
    )  # fmt: skip
    frame_max: int = _setting(
        131072, "Largest frame in octets that is offered to a client.",
        rabbitmq_key="frame_max", minimum=8192, maximum=245760,
    )  # fmt: skip
    channel_max: int = _setting(
        2047, "Most channels of one connection.",
        rabbitmq_key="channel_max", minimum=1, maximum=65535,
    )  # fmt: skip
    heartbeat_s: int = _setting(
        60, "Heartbeat interval that is proposed to a client; 0 proposes none.",
        rabbitmq_key="heartbeat", minimum=0, maximum=65535,
    )  # fmt: skip
    handshake_timeout_s: float = _setting(
        10.0, "Time from accepting a socket to connection.open, after which the socket is closed.",
        rabbitmq_key="handshake_timeout", minimum=0.1,
    )  # fmt: skip
    max_message_size_bytes: int = _setting(
        134217728, "Largest message body; a larger one closes its channel with 406.",
        rabbitmq_key="max_message_size", minimum=1, maximum=536870912,
    )  # fmt: skip
    backlog: int = _setting(
        1024, "Length of the listen queue of the operating system.",
        rabbitmq_key="tcp_listen_options.backlog", minimum=1,
    )  # fmt: skip
    connections_max: int = _setting(
        65536, "Most connections at a time, and 64 less than files may be open; more wait in the listen queue.",
        rabbitmq_key="connection_max", minimum=1,
    )  # fmt: skip
    unauthenticated_max: int = _setting(
        1024,
        "Most connections that have not finished their handshake; more wait in the listen queue.",
        minimum=1,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthConfig(Section):
    """Who may come in. The default user is made once, when the data directory is new."""

    default_user: str = _setting("guest", "Name of the first user.", rabbitmq_key="default_user")
    default_pass: str = _setting(
        "guest", "Password of the first user.", rabbitmq_key="default_pass", is_secret=True
    )
    default_vhost: str = _setting(
        "/", "Virtual host that is made at the first start.", rabbitmq_key="default_vhost"
    )
    default_user_tags: tuple[str, ...] = _setting(
        ("administrator",), "Tags of the first user.", rabbitmq_key="default_user_tags"
    )
    default_permissions: tuple[str, ...] = _setting(
        (".*", ".*", ".*"),
        "Patterns of the first user's configure, write and read permission on the default vhost.",
        rabbitmq_key="default_permissions",
    )  # fmt: skip
    refusal_delay_ms: int = _setting(
        1000, "How long a refused login waits for its answer: guessing passwords shall be slow.",
        minimum=0, maximum=5000,
    )  # fmt: skip
    loopback_users: tuple[str, ...] = _setting(
        ("guest",), "Users that may connect from this machine only.", rabbitmq_key="loopback_users"
    )
    allow_default_password: bool = _setting(
        False,
        "Start even if user guest can log in with password guest from other machines.",
    )  # fmt: skip
    mechanisms: tuple[str, ...] = _setting(
        ("PLAIN", "AMQPLAIN"), "SASL mechanisms that are offered, in this order.",
        rabbitmq_key="auth_mechanisms", choices=MECHANISMS,
    )  # fmt: skip

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if len(self.default_permissions) != 3:
            raise ConfigError("default_permissions: give three patterns: configure, write, read")
        if not self.mechanisms:
            raise ConfigError("mechanisms: name at least one, or nobody can log in")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig(Section):
    """Bounds; what happens at each is part of its sentence."""

    memory_high_watermark: float = _setting(
        0.4, "Share of the machine's memory above which publishers are blocked.",
        rabbitmq_key="vm_memory_high_watermark.relative", minimum=0.0, maximum=1.0,
    )  # fmt: skip
    disk_free_limit_bytes: int = _setting(
        50_000_000, "Free space of the data directory's disk below which publishers are blocked.",
        rabbitmq_key="disk_free_limit.absolute", minimum=0,
    )  # fmt: skip
    consumer_max_per_channel: int = _setting(
        0, "Most consumers of one channel, 0 for no limit; one more closes the channel with 530.",
        rabbitmq_key="consumer_max_per_channel", minimum=0,
    )  # fmt: skip
    vhost_connections_max: int = _setting(
        -1, "Most connections to a virtual host that has no limit of its own, -1 for no limit; one more is closed with 530.",
        minimum=-1,
    )  # fmt: skip
    vhost_queues_max: int = _setting(
        -1, "Most queues of a virtual host that has no limit of its own, -1 for no limit; one more is refused with 406.",
        minimum=-1,
    )  # fmt: skip
    user_connections_max: int = _setting(
        -1, "Most connections of a user who has no limit of their own, -1 for no limit; one more is closed with 530.",
        minimum=-1,
    )  # fmt: skip
    user_channels_max: int = _setting(
        -1, "Most channels of a user who has no limit of their own, -1 for no limit; one more closes its connection with 530.",
        minimum=-1,
    )  # fmt: skip
    output_high_water_bytes: int = _setting(
        1 << 20, "Unsent output of one connection above which nothing more is delivered to it.",
        minimum=65536,
    )  # fmt: skip
    message_memory_bytes: int = _setting(
        160 << 20,
        "Memory for messages; the bodies of a deeper backlog lie on disk only. 0: no bound but the memory watermark.",
        minimum=0,
    )
    unsynced_high_water_bytes: int = _setting(
        64 << 20,
        "Octets on their way to the disk above which publishers are not read until half of it is there: bounds memory, and "
        "how long a confirm takes on a slow disk.",
        minimum=65536,
    )
    queue_high_water_bytes: int = _setting(
        32 << 20,
        "Undelivered bytes of a queue whose consumers' connections cannot take more, above which its "
        "publishers are read more slowly.",
        minimum=65536,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig(Section):
    """The logs on disk."""

    segment_size_bytes: int = _setting(
        64 << 20, "Size at which a segment file is ended and the next one begun.", minimum=4096
    )
    reserve_bytes: int = _setting(
        16 << 20,
        "Disk space kept aside, so that acknowledgements and deletes go on when the disk is full. 0: none.",
        minimum=0,
    )
    snapshot_bytes: int = _setting(
        64 << 20,
        "Growth of the message log after which the queues are written to a snapshot, at least four times the last one's "
        "size: a restart reads what came after it.",
        minimum=4096,
    )
    on_failure: str = _setting(
        "stop",
        "What a failed write or sync does; nothing is confirmed after one. `stop`: the process ends with code 74. `block`: publishers "
        "are blocked, consumers get what is there, acknowledgements are forgotten at the end.",
        choices=ON_FAILURE,
    )
    on_damage: str = _setting(
        "serve",
        "What damaged data does at a start. `serve`: what is undamaged is served, the rest reported. `stop`: the whole log is read "
        "first, and the broker refuses to start where something stored is lost.",
        choices=ON_DAMAGE,
    )
    ack_delay_ms: float = _setting(
        5.0, "Longest time an acknowledgement waits for company before it is written.",
        minimum=0.0, maximum=1000.0,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole tree, immutable. A reload makes a new one and compares."""

    node: NodeConfig = field(default_factory=NodeConfig)
    amqp: AmqpConfig = field(default_factory=AmqpConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    log: LogConfig = field(default_factory=LogConfig)


SECTIONS: Final[dict[str, type[Section]]] = {
    "node": NodeConfig,
    "amqp": AmqpConfig,
    "auth": AuthConfig,
    "limits": LimitsConfig,
    "log": LogConfig,
}
