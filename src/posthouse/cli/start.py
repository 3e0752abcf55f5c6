"""``posthouse start``: command line and file become one `Config`, which a node runs in the
foreground.

The order of precedence is: defaults, then the file of ``--config``, then the command line.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from posthouse.core.config import DURABILITIES, Config
from posthouse.core.errors import ConfigError


def configure(
    config_file: str | None = None,
    *,
    data_dir: str | None = None,
    memory: bool = False,
    durability: str | None = None,
    bind: str | None = None,
    amqp_port: int | None = None,
) -> Config:
    """The tree for a run: what is None stays as the file, or the default, has it.

    Raises:
        ConfigError: the file cannot be used, or options contradict each other.
    """
    if memory and data_dir is not None:
        raise ConfigError(
            "--memory writes nothing, so it cannot go with --data-dir: give one of them"
        )
    if config_file is None:
        config = Config()
    else:
        from posthouse.server.config import load_toml

        config = load_toml(config_file)
    node: dict[str, Any] = {
        "data_dir": data_dir,
        "durability": durability,
        "memory": memory or None,
    }
    if data_dir is not None:
        node["memory"] = False
    amqp: dict[str, Any] = {"bind": bind, "port": amqp_port}
    return dataclasses.replace(
        config,
        node=dataclasses.replace(config.node, **_given(node)),
        amqp=dataclasses.replace(config.amqp, **_given(amqp)),
    )


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


@click.command()
@click.option("--config", "config_file", metavar="FILE", help="Read settings from a TOML file.")
@click.option("--data-dir", metavar="DIR", help="Keep the logs here (default: posthouse-data).")
@click.option(
    "--memory", is_flag=True, help="Keep everything in memory; nothing survives the process."
)
@click.option(
    "--durability", type=click.Choice(DURABILITIES),
    help="Confirm after the disk has it (fsync, the default) or after the system has it (os).",
)  # fmt: skip
@click.option("--bind", metavar="ADDR", help="Listen on this address (default: 127.0.0.1).")
@click.option(
    "--amqp-port", type=click.IntRange(0, 65535), metavar="N",
    help="AMQP port (default: 5672); 0 picks a free one.",
)  # fmt: skip
@click.option(
    "--ready-json",
    is_flag=True,
    help="Print one JSON line when connections are accepted, for scripts.",
)
def start(
    config_file: str | None,
    data_dir: str | None,
    memory: bool,
    durability: str | None,
    bind: str | None,
    amqp_port: int | None,
    ready_json: bool,
) -> int:
    """Run a broker in the foreground until SIGTERM or ctrl-C."""
    config = configure(
        config_file,
        data_dir=data_dir,
        memory=memory,
        durability=durability,
        bind=bind,
        amqp_port=amqp_port,
    )
    from posthouse.server.process import run

    return run(config, ready_json=ready_json)
