"""What a node refuses to start with, and what it warns of."""

from __future__ import annotations

import logging
import os
import pathlib
import random
import subprocess
import sys

import pytest

from posthouse.auth.internal import InternalBackend
from posthouse.core.config import AmqpConfig, AuthConfig, Config
from posthouse.core.errors import ConfigError, StorageError
from posthouse.journal.table import Table
from posthouse.server.precautions import check_data_dir, check_passwords


def users(password: str, loopback: tuple[str, ...]) -> InternalBackend:
    backend = InternalBackend(Table(None), random.Random(1).randbytes, frozenset(loopback))
    backend.add_user("guest", password)
    return backend


def config(bind: str, **auth: bool) -> Config:
    return Config(amqp=AmqpConfig(bind=bind), auth=AuthConfig(**auth))  # type: ignore[arg-type]


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.0.2.1", "broker.example"])
def test_the_well_known_password_is_refused_where_anybody_could_use_it(bind: str) -> None:
    with pytest.raises(ConfigError, match="could log in from any machine"):
        check_passwords(config(bind), users("guest", ()))


@pytest.mark.parametrize(
    ("bind", "password", "loopback", "allowed"),
    [
        ("127.0.0.1", "guest", (), False),
        ("::1", "guest", (), False),
        ("localhost", "guest", (), False),
        ("0.0.0.0", "another", (), False),
        ("0.0.0.0", "guest", ("guest",), False),
        ("0.0.0.0", "guest", (), True),
    ],
)
def test_any_of_four_reasons_is_enough(
    bind: str, password: str, loopback: tuple[str, ...], allowed: bool
) -> None:
    check_passwords(config(bind, allow_default_password=allowed), users(password, loopback))


def test_the_program_says_so_in_one_sentence(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "posthouse.toml"
    file.write_text('[auth]\nloopback_users = []\n[amqp]\nbind = "0.0.0.0"\nport = 0\n')
    command = [sys.executable, "-m", "posthouse.cli.main", "start", "--config", str(file)]
    command += ["--data-dir", str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 78
    assert done.stderr.startswith("posthouse: user 'guest' with password 'guest' could log in")
    assert done.stderr.count("\n") == 1
    assert not done.stdout


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_directory_that_everybody_may_write_to_is_refused(
    tmp_path: pathlib.Path, mode: int
) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(StorageError, match="can be written by everybody"):
        check_data_dir(str(directory))


@pytest.mark.parametrize(("mode", "lines"), [(0o700, 0), (0o750, 1), (0o755, 1), (0o770, 1)])
def test_a_directory_that_others_see_into_is_mentioned(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, mode: int, lines: int
) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    directory.chmod(mode)
    with caplog.at_level(logging.WARNING):
        check_data_dir(str(directory))
    assert len(caplog.records) == lines


def test_a_new_directory_is_nobodys_yet(tmp_path: pathlib.Path) -> None:
    check_data_dir(str(tmp_path / "new"))
    assert not os.path.exists(tmp_path / "new")
