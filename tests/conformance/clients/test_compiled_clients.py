"""Clients in Go, Java and JavaScript, built from the programs beside this file and run as processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.clients.program import STEPS, run_program
from tests.conformance.clients.tools import Broker, copy_sources, install_once, locked
from tests.support.nodes import require

pytestmark = [pytest.mark.external, pytest.mark.slow, pytest.mark.timeout(900)]

HERE = Path(__file__).resolve().parent


def test_go_client(broker: Broker) -> None:
    """amqp091-go: no recovery of its own, so the program dials again after the cut."""
    require("go")
    with locked("clients/go") as folder:
        key = copy_sources(HERE / "go", folder, ["go.mod", "go.sum", "main.go"])
        install_once(folder, key, [["go", "build", "-o", "client", "."]])
    steps = run_program([str(folder / "client")], broker, cwd=folder)
    assert steps == [*STEPS, "exception", "cut", "reconnect"]


def test_java_client(broker: Broker) -> None:
    """RabbitMQ's own client, with its recovery of topology and consumers after the cut."""
    require("javac")
    require("mvn")
    with locked("clients/java") as folder:
        key = copy_sources(HERE / "java", folder, ["pom.xml", "Client.java"])
        jars = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"]
        install_once(folder, key, [jars, ["javac", "-cp", "lib/*", "-d", "classes", "Client.java"]])
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", "lib/*:classes", "Client"]
    steps = run_program(command, broker, cwd=folder)
    assert steps == [*STEPS, "exception", "cut", "reconnect"]


def test_node_client(broker: Broker) -> None:
    """npm's amqplib, with its recovery after the cut."""
    require("node")
    require("npm")
    with locked("clients/node") as folder:
        key = copy_sources(HERE / "node", folder, ["package.json", "client.js"])
        install_once(folder, key, [["npm", "install", "--no-audit", "--no-fund"]])
    steps = run_program(["node", "client.js"], broker, cwd=folder)
    assert steps == [*STEPS, "cut", "reconnect"]
