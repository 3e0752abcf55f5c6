"""The TOML loader: translation, and errors that name file, line and the nearest key."""

from __future__ import annotations

import pathlib

import pytest

from posthouse.core.config import Config
from posthouse.core.errors import ConfigError
from posthouse.server.config import load_toml, parse_toml


def test_an_empty_file_is_the_default() -> None:
    assert parse_toml("") == Config()


def test_reads_every_kind_of_value() -> None:
    config = parse_toml(
        """
        [node]
        name = "posthouse@a"
        memory = true
        [amqp]
        port = 0
        handshake_timeout_s = 2.5
        [auth]
        loopback_users = []
        mechanisms = ["PLAIN"]
        """
    )
    assert config.node.name == "posthouse@a"
    assert config.node.memory is True
    assert config.amqp.port == 0
    assert config.amqp.handshake_timeout_s == 2.5
    assert config.auth.loopback_users == ()
    assert config.auth.mechanisms == ("PLAIN",)
    assert config.log == Config().log


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[amqp]\n\nprot = 5", "a.toml:3: unknown key amqp.prot; did you mean 'port'?"),
        ("[node]\nname = 'x'\n[ampq]\n", "a.toml:3: unknown table 'ampq'; did you mean 'amqp'?"),
        ("amqp = 5672", "a.toml:1: 'amqp' is a table: write [amqp] and its keys below it"),
        ("amqp.port = -1", "a.toml:1: amqp.port: -1 is below the least value 0"),
        ("# x\n[amqp]\nport = '1'", "a.toml:3: amqp.port: '1' is not of type int"),
        (
            "[log]\nzzz = 1",
            "a.toml:2: unknown key log.zzz; known are segment_size_bytes, reserve_bytes, snapshot_bytes, on_failure, on_damage, "
            "ack_delay_ms",
        ),
    ],
)
def test_errors_name_the_place(text: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_toml(text, "a.toml")
    assert caught.value.explanation == error


def test_a_key_of_the_same_name_in_another_table_does_not_mislead() -> None:
    text = "[node]\nname = 'a'\n[amqp]\nport = 1\n[limits]\nport = 2\n"
    with pytest.raises(ConfigError, match=r"^a\.toml:6: unknown key limits\.port"):
        parse_toml(text, "a.toml")


def test_a_broken_file_says_where(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text("[amqp\n")
    with pytest.raises(ConfigError, match=r"broken\.toml: not valid TOML: .*line 1"):
        load_toml(str(file))


def test_a_missing_file_says_so(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml: cannot be read: No such file"):
        load_toml(str(tmp_path / "no.toml"))


def test_a_file_that_is_not_text_says_so(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "latin1.toml"
    file.write_bytes(b"[node]\nname = '\xe9'\n")
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(octet 15\)"):
        load_toml(str(file))
