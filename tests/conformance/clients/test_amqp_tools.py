"""Debian's amqp-tools (rabbitmq-c): the shell's way to a broker."""

from __future__ import annotations

import subprocess

import pytest

from tests.conformance.clients.tools import Broker
from tests.support.nodes import require

pytestmark = [pytest.mark.external]


def run(*command: str, stdin: str = "", status: int = 0) -> str:
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == status, (command, done.returncode, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture
def url(broker: Broker) -> str:
    for tool in ("amqp-declare-queue", "amqp-publish", "amqp-get", "amqp-consume"):
        require(tool)
    return broker.url


def test_shell_tools_declare_publish_get_consume_and_delete(url: str, name: str) -> None:
    assert run("amqp-declare-queue", "-u", url, "-q", name, "-d").strip() == name
    run("amqp-publish", "-u", url, "-r", name, "-p", "-b", "first", "-H", "kind: letter")
    run("amqp-publish", "-u", url, "-r", name, "-p", "-l", stdin="second\nthird\nfourth\n")
    assert run("amqp-get", "-u", url, "-q", name) == "first"
    # amqp-consume runs a command per message with the body on its standard input; cat prints it. The bodies keep
    # the line's end, since --line-buffered sends each line as it is.
    got = run("amqp-consume", "-u", url, "-q", name, "-c", "2", "-p", "1", "cat")
    assert got.split() == ["second", "third"]
    assert run("amqp-get", "-u", url, "-q", name).strip() == "fourth"
    run("amqp-get", "-u", url, "-q", name, status=2)  # 2: no message
    assert run("amqp-delete-queue", "-u", url, "-q", name).strip() == "0"


def test_rejected_command_leaves_the_message_redelivered(url: str, name: str) -> None:
    """amqp-consume acknowledges only when its command succeeds; else the message goes back at the end."""
    run("amqp-declare-queue", "-u", url, "-q", name)
    run("amqp-publish", "-u", url, "-r", name, "-b", "again")
    done = subprocess.run(
        ["amqp-consume", "-u", url, "-q", name, "-c", "1", "false"],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Read by a consumer, which waits: the first one's end and the requeue need not be done yet.
    assert run("amqp-consume", "-u", url, "-q", name, "-c", "1", "cat") == "again"
    run("amqp-delete-queue", "-u", url, "-q", name)


def test_publish_to_missing_exchange_says_so(url: str, name: str) -> None:
    """A channel error after the last publish is met at the tool's close of the channel."""
    done = subprocess.run(
        ["amqp-publish", "-u", url, "-e", name, "-r", "x", "-b", "lost"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert f"NOT_FOUND - no exchange '{name}' in vhost '/'" in done.stderr
