"""``posthouse check`` on real directories."""

from __future__ import annotations

import json
import pathlib

import pytest
from click.testing import CliRunner

from posthouse.cli.check import check
from posthouse.core.errors import DataDirLocked, PosthouseError
from posthouse.journal.local.disk import DiskFiles
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.properties import BasicProperties
from tests.support.inmemory import World


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> pathlib.Path:
    """A directory with ten messages, stopped in good order."""
    world = World(str(tmp_path / "data"))
    peer = world.peer()
    peer.call(methods.QueueDeclare(queue="q", durable=True))
    for _ in range(10):
        peer.publish(b"q", bytes(100), properties=BasicProperties(delivery_mode=2))
    peer.close()
    world.stop()
    return tmp_path / "data"


def spoil(directory: pathlib.Path) -> None:
    path = next((directory / "shard").glob("*.seg"))
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)


def state(directory: pathlib.Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path): path.read_bytes() for path in files}


def test_clean_is_0(directory: pathlib.Path) -> None:
    result = CliRunner().invoke(check, [str(directory)])
    assert result.exit_code == 0, result.output
    assert "clean" in result.output
    assert "10 messages written" in result.output


def test_damage_is_1_and_nothing_changes_without_repair(directory: pathlib.Path) -> None:
    spoil(directory)
    before = state(directory)
    for options in ([], ["--repair", "--dry-run"], ["--json"]):
        result = CliRunner().invoke(check, [str(directory), *options])
        assert result.exit_code == 1
        assert "damage at offset" in result.output
        assert state(directory) == before


def test_repair_then_clean(directory: pathlib.Path) -> None:
    spoil(directory)
    result = CliRunner().invoke(check, [str(directory), "--repair", "--json"])
    assert result.exit_code == 1
    report = json.loads(result.output)
    assert report["repaired"] == [report["findings"][0]["path"]]
    assert report["messages_hit"] == {"queue 'q' in vhost '/'": 1}
    assert CliRunner().invoke(check, [str(directory)]).exit_code == 0


def test_a_directory_in_use_is_refused(directory: pathlib.Path) -> None:
    lock = DiskFiles().lock(str(directory / "lock"))
    result = CliRunner().invoke(check, [str(directory)])
    assert isinstance(result.exception, DataDirLocked)
    lock.release()


def test_another_directory_is_refused(tmp_path: pathlib.Path) -> None:
    result = CliRunner().invoke(check, [str(tmp_path)])
    assert isinstance(result.exception, PosthouseError)
    assert "no data directory" in str(result.exception)


def test_dry_run_alone_is_a_usage_error(directory: pathlib.Path) -> None:
    assert CliRunner().invoke(check, [str(directory), "--dry-run"]).exit_code == 2
