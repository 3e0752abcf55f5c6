"""Test suites that others wrote for their own client libraries, run as they are against a broker.

A `Suite` knows where its tests come from (a source distribution from PyPI, a package from npm), how they are told where the
broker is, and what was recorded for each test with a real RabbitMQ (`<name>.json` beside this file). Nothing in the fetched
files is changed; what the tests hard-code (port 5672, clean-up over the management API) is turned at run time by
`broker_plugin.py` and `rewrite_port.cjs`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conformance.clients.tools import (
    CACHE,
    Broker,
    attempt,
    copy_sources,
    install_once,
    locked,
)

HERE = Path(__file__).resolve().parent
TIME_LIMIT_S = 180.0

Outcomes = dict[str, str]  # test id -> passed, failed or skipped


@dataclass(frozen=True, slots=True)
class Suite:
    """One foreign suite; `version` is the release that both the tests and the library under them have."""

    name: str
    version: str
    tests: tuple[str, ...]  # paths inside the package
    deselected: dict[str, str] = field(default_factory=dict)  # part of a test id -> reason

    @property
    def record(self) -> Path:
        """The file with what RabbitMQ gave."""
        return HERE / f"{self.name}.json"

    def expected(self) -> dict[str, Any]:
        """What is recorded: `outcomes` with RabbitMQ, and `deviations` of Posthouse with a reason each."""
        data: dict[str, Any] = json.loads(self.record.read_text())
        assert data["version"] == self.version, "record again: the suite's version changed"
        return data

    def fetch(self) -> Path:
        """Download and unpack, once per version; return the folder with the tests."""
        raise NotImplementedError

    def run(self, broker: Broker, only: list[str] | None = None) -> tuple[Outcomes, str]:
        """Run all tests, or those with the ids in `only`; return the outcomes and the runner's output."""
        raise NotImplementedError


def finished(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run a suite's process within the time limit; return its output, also when tests failed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=TIME_LIMIT_S,
        check=False,
    )
    return done.stdout


def outcomes_from(report: Path) -> Outcomes:
    """Read the lines that the reporters write: a JSON pair of test id and outcome; the worst of a test counts."""
    rank = {"passed": 0, "skipped": 1, "failed": 2}
    outcomes: Outcomes = {}
    for line in report.read_text().splitlines():
        test, outcome = json.loads(line)
        if rank[outcome] >= rank[outcomes.get(test, "passed")]:
            outcomes[test] = outcome
    report.unlink()
    return outcomes


class PythonSuite(Suite):
    """A suite for pytest from a source distribution."""

    def fetch(self) -> Path:
        with locked(f"suites/{self.name}-{self.version}") as folder:
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q"]
            source = ["--no-deps", "--no-binary", ":all:"]
            if not (folder / "unpacked").exists():
                attempt([*pip, *source, f"{self.name}=={self.version}"], cwd=folder)
                (archive,) = folder.glob("*.tar.gz")
                with tarfile.open(archive) as tar:
                    tar.extractall(folder / "new", filter="data")
                (folder / "new").rename(folder / "unpacked")
            (root,) = (folder / "unpacked").iterdir()
        return root

    def run(self, broker: Broker, only: list[str] | None = None) -> tuple[Outcomes, str]:
        folder = self.fetch()
        report = CACHE / "suites" / f"{self.name}-{os.getpid()}.jsonl"
        report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "broker_plugin", "-W", "ignore"]
        command += [
            "-p",
            "no:cacheprovider",
            "-p",
            "no:rerunfailures",
            "--tb=short",
            "--timeout=60",
        ]
        output = finished(
            [*command, *(only or self.tests)], folder, self._environment(broker, report)
        )
        return outcomes_from(report), output

    def _environment(self, broker: Broker, report: Path) -> dict[str, str]:
        """The names by which the three libraries' tests look for a broker."""
        port = str(broker.port)
        return {
            "PYTHONPATH": f"{HERE}{os.pathsep}.",
            "SUITE_REPORT": str(report),
            "SUITE_PORT": port,
            "SUITE_DESELECT": json.dumps(sorted(self.deselected)),
            "RABBITMQ_HOST": broker.host,
            "RABBITMQ_5672_TCP": port,
            "AMQP_HOST": broker.host,
            "AMQP_USERNAME": "guest",
            "AMQP_PASSWORD": "guest",
            "AMQP_URI": broker.url,
            "AMQP_HTTP_URL": "http://127.0.0.1:1",
        }


class NodeSuite(Suite):
    """npm's amqplib, whose package carries its tests for node's own test runner."""

    def fetch(self) -> Path:
        with locked("clients/node") as folder:
            key = copy_sources(
                HERE.parent / "clients" / "node", folder, ["package.json", "client.js"]
            )
            install_once(folder, key, [["npm", "install", "--no-audit", "--no-fund"]])
        root = folder / "node_modules" / self.name
        assert json.loads((root / "package.json").read_text())["version"] == self.version
        return root

    def run(self, broker: Broker, only: list[str] | None = None) -> tuple[Outcomes, str]:
        folder = self.fetch()
        report = CACHE / "suites" / f"{self.name}-{os.getpid()}.jsonl"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.unlink(missing_ok=True)
        files = sorted({test.split("::")[0] for test in only}) if only else list(self.tests)
        # Their own limit is one second a test (and, in this runner, a file); two busy cores need more.
        command = [
            "node",
            "--require",
            str(HERE / "rewrite_port.cjs"),
            "--test",
            "--test-timeout=60000",
        ]
        command += ["--test-concurrency=1", f"--test-reporter={HERE / 'reporter.mjs'}"]
        command += ["--test-reporter-destination=stdout", *files]
        environment = {
            "NODE_OPTIONS": f"--require {HERE / 'rewrite_port.cjs'}",  # the files run in processes of their own
            "SUITE_REPORT": str(report),
            "SUITE_PORT": str(broker.port),
        }
        output = finished(command, folder, environment)
        outcomes = outcomes_from(report)
        return {t: o for t, o in outcomes.items() if only is None or t in only}, output


TLS = "needs a TLS listener and certificates, which its package does not carry"
HTTP = "needs the management API"

SUITES: tuple[Suite, ...] = (
    PythonSuite("amqp", "5.4.2", ("t/integration",), {"tls": TLS}),
    PythonSuite("kombu", "5.7.0", ("t/integration/test_py_amqp.py",)),
    PythonSuite(
        "amqpstorm",
        "3.1.4",
        ("amqpstorm/tests/functional",),
        {"functional/management/": HTTP, "test_web_based.py": HTTP, "functional/ssl/": TLS},
    ),
    NodeSuite(
        "amqplib",
        "2.0.0",
        ("test/callback_api.test.js", "test/channel_api.test.js", "test/connect.test.js"),
    ),
)
