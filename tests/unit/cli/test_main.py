"""The command line: exit codes, precedence of options, lazy subcommands."""

from __future__ import annotations

import importlib
import pathlib
import subprocess
import sys

import click
import pytest

from posthouse import __version__
from posthouse._kernels import KERNELS
from posthouse.cli import main as cli_main
from posthouse.cli.start import configure
from posthouse.core.errors import ConfigError, StorageError


def test_version_counts_the_kernels(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli_main.run(["--version"]) == 0
    line = capsys.readouterr().out
    assert line.startswith(f"posthouse {__version__} (")
    assert f" of {len(KERNELS)} kernels compiled)" in line


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["start", "--no-such"], ["start", "--amqp-port", "70000"]]
)
def test_a_wrong_command_line_exits_with_64(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli_main.run(arguments) == 64
    assert "Error: " in capsys.readouterr().err


def test_a_wrong_file_exits_with_78(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[amqp]\nprot = 1\n")
    assert cli_main.run(["start", "--config", str(file)]) == 78
    error = capsys.readouterr().err
    assert error == f"posthouse: {file}:2: unknown key amqp.prot; did you mean 'port'?\n"


@pytest.mark.parametrize(
    ("failure", "code"), [(StorageError("the disk is gone"), 69), (RuntimeError("oops"), 70)]
)
def test_failures_have_their_exit_codes(
    failure: Exception,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    @click.command()
    def failing() -> None:
        raise failure

    monkeypatch.setattr(cli_main.LazyGroup, "get_command", lambda *_: failing)
    assert cli_main.run(["start"]) == code
    error = capsys.readouterr().err
    assert ("Traceback" in error) == (code == 70)
    assert str(failure) in error


def test_every_command_exists_and_has_the_same_sentence_in_both_places() -> None:
    for module, attribute, _ in cli_main.COMMANDS.values():
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        assert command.help


def test_help_lists_the_commands_without_importing_them() -> None:
    code = (
        "import sys; from posthouse.cli.main import run; run(['--help']);"
        "sys.exit('posthouse.cli.start' in sys.modules or 'asyncio' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0
    for name in cli_main.COMMANDS:
        assert name in result.stdout


def test_options_win_over_the_file(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[node]\ndurability = 'os'\nmemory = true\n[amqp]\nport = 1\nbind = '::1'\n")
    config = configure(str(file), amqp_port=0, durability="fsync")
    assert (config.amqp.port, config.amqp.bind) == (0, "::1")
    assert (config.node.durability, config.node.memory) == ("fsync", True)
    assert configure(str(file), data_dir="d").node.memory is False


def test_memory_and_a_directory_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match="give one of them"):
        configure(memory=True, data_dir="d")
