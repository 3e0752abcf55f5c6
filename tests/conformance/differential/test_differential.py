"""The same frames to Posthouse and to a real RabbitMQ 3.10: the transcripts are equal, but for the listed differences.

`POSTHOUSE_SCRIPT=name` prints both transcripts of the scripts whose name contains it.
"""

from __future__ import annotations

import difflib
import os
import pathlib
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.conformance.differential import scripts_basic, scripts_connection, scripts_topology
from tests.conformance.differential.differences import DIFFERENCES, table
from tests.conformance.differential.script import SCRIPTS
from tests.support.nodes import PosthouseNode
from tests.support.rabbit import RabbitNode

_ = (scripts_basic, scripts_connection, scripts_topology)

pytestmark = [pytest.mark.external, pytest.mark.slow]

COMPATIBILITY = pathlib.Path(__file__).resolve().parents[3] / "docs" / "compatibility.md"
AT_A_TIME = 8
ALLOWED = "^c"  # a character class would be eaten by the parser of rabbitmq.conf
INTENDED = {name: d for d in DIFFERENCES for name in d.scripts}

Transcripts = dict[str, "Future[list[str]]"]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """The ports of four brokers: each of the two with a guest who may do all, and with one who may do little."""
    config = tmp_path_factory.mktemp("restricted") / "posthouse.toml"
    config.write_text(f"[auth]\ndefault_permissions = ['{ALLOWED}', '{ALLOWED}', '{ALLOWED}']\n")
    permissions = [
        f"default_permissions.{name} = {ALLOWED}" for name in ("configure", "write", "read")
    ]
    started: list[PosthouseNode | RabbitNode] = []
    try:
        with ThreadPoolExecutor(4) as pool:
            starting = {
                "ours": pool.submit(PosthouseNode().start),
                "theirs": pool.submit(RabbitNode().start),
                "ours restricted": pool.submit(
                    PosthouseNode(options=["--config", str(config)]).start
                ),
                "theirs restricted": pool.submit(RabbitNode(permissions).start),
            }
            started.extend(future.result() for future in starting.values())
        yield {name: future.result().port for name, future in starting.items()}
        for node in started:
            if isinstance(node, PosthouseNode):
                node.check()
    finally:
        for node in started:
            node.stop()


@pytest.fixture(scope="module")
def transcripts(nodes: dict[str, int]) -> Iterator[dict[str, Transcripts]]:
    """Every script is played once on either side; RabbitMQ sleeps after some errors, so several run at a time."""
    sides = ("ours", "theirs")
    pools = {side: ThreadPoolExecutor(AT_A_TIME) for side in sides}
    played: dict[str, Transcripts] = {side: {} for side in sides}
    for script in SCRIPTS.values():
        for side in sides:
            port = nodes[side + " restricted" if script.restricted else side]
            played[side][script.name] = pools[side].submit(script.run, port)
    yield played
    for pool in pools.values():
        pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_transcripts_are_equal(transcripts: dict[str, Transcripts], name: str) -> None:
    ours = transcripts["ours"][name].result()
    theirs = transcripts["theirs"][name].result()
    if os.environ.get("POSTHOUSE_SCRIPT", "\0") in name:
        print("\n".join(["", "ours:", *ours, "theirs:", *theirs]))
    assert theirs, "a script that hears nothing compares nothing"
    if name in INTENDED:
        assert ours != theirs, "an intended difference does not show any more: take it off the list"
        if not INTENDED[name].erase:
            return
        ours, theirs = (
            [re.sub(INTENDED[name].erase, "", x) for x in side] for side in (ours, theirs)
        )
    difference = "\n".join(difflib.unified_diff(theirs, ours, "RabbitMQ", "Posthouse", n=3))
    assert not difference, f"\n{difference}"


def test_there_are_enough_scripts() -> None:
    assert len(SCRIPTS) >= 150


def test_differences_name_scripts_that_exist() -> None:
    assert not [name for name in INTENDED if name not in SCRIPTS]


def test_differences_are_in_the_document() -> None:
    assert table() in COMPATIBILITY.read_text(encoding="utf-8")
