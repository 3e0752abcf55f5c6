"""No password leaves by a side door: every way to log in, right, wrong and broken, with passwords that are then searched for.

Searched: standard output and error with the log at its most talkative, everything under the data directory, the arguments and the
environment of the process as others see them, and every octet that the broker sent. Looked for as they are, in Base64, in hexadecimal
and as decimal numbers.
"""

from __future__ import annotations

import base64
import pathlib
import signal
import struct
from collections.abc import Iterator

import pytest

from tests.conformance.bad_input import octets
from tests.conformance.bad_input.octets import HEADER, long, method, opening, short, start_ok
from tests.conformance.bad_input.target import Target
from tests.support.nodes import PosthouseNode

pytestmark = pytest.mark.slow

# The right one first; each begins with what is searched for.
MARK = b"Zq7wXmark"
PASSWORD = MARK + b"-right"
WRONG = MARK + b"-wrong"
TABLE = short("LOGIN") + b"S" + long(b"owner") + short("PASSWORD") + b"S"
SECURE_OK = struct.pack(">HH", 10, 21)

LOGINS: dict[str, tuple[bytes, ...]] = {
    "plain": (start_ok(b"\0owner\0" + PASSWORD),),
    "plain, wrong": (start_ok(b"\0owner\0" + WRONG),),
    "plain, nobody": (start_ok(b"\0nobody\0" + WRONG),),
    "plain, without zeros": (start_ok(b"owner " + WRONG),),
    "plain, a zero too many": (start_ok(b"\0owner\0" + WRONG + b"\0"),),
    "amqplain": (start_ok(TABLE + long(PASSWORD), "AMQPLAIN"),),
    "amqplain, wrong": (start_ok(TABLE + long(WRONG), "AMQPLAIN"),),
    "amqplain, cut short": (start_ok(TABLE + long(WRONG, 99), "AMQPLAIN"),),
    "amqplain, of an unknown type": (start_ok(TABLE[:-1] + b"Q" + long(WRONG), "AMQPLAIN"),),
    "unknown mechanism": (start_ok(b"\0owner\0" + WRONG, "SCRAM"),),
    "challenge": (
        start_ok(b"owner", "RABBIT-CR-DEMO"),
        octets.frame(1, 0, SECURE_OK + long(b"My password is " + PASSWORD)),
    ),
    "challenge, wrong": (
        start_ok(b"owner", "RABBIT-CR-DEMO"),
        octets.frame(1, 0, SECURE_OK + long(b"My password is " + WRONG)),
    ),
    "challenge, another answer": (
        start_ok(b"owner", "RABBIT-CR-DEMO"),
        octets.frame(1, 0, SECURE_OK + long(WRONG)),
    ),
    "challenge, cut short": (
        start_ok(b"owner", "RABBIT-CR-DEMO"),
        octets.frame(1, 0, SECURE_OK + long(WRONG, 200)),
    ),
    "challenge, wrong frame end": (
        start_ok(b"owner", "RABBIT-CR-DEMO"),
        octets.frame(1, 0, SECURE_OK + long(WRONG), b"\0"),
    ),
    "start-ok, cut short": (method(10, 11, long(b"") + short("PLAIN") + long(WRONG, 200), 0),),
    "start-ok, wrong frame end": (octets.frame(1, 0, b"\0\x0a\0\x0b" + WRONG, b"\0"),),
    "start-ok, as another frame": (octets.frame(9, 0, WRONG),),
    "start-ok, as a heartbeat": (octets.frame(8, 0, WRONG),),
    "start-ok, as a body": (octets.frame(3, 0, WRONG),),
    "password as a method": (octets.frame(1, 0, WRONG),),
    "password as a header": (WRONG,),
}
SECRETS: dict[str, bytes] = {
    "taken": method(10, 70, long(WRONG) + short("because"), 0),
    "cut short": method(10, 70, long(WRONG, 200) + short("because"), 0),
    "wrong frame end": octets.frame(1, 0, b"\0\x0a\0\x46" + long(WRONG) + b"\0", b"\0"),
    "as another frame": octets.frame(9, 0, b"\0\x0a\0\x46" + long(WRONG)),
    "on a channel": method(10, 70, long(WRONG) + short("because"), 1),
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PosthouseNode]:
    """A broker that logs all it can, with a default user of which the password is secret."""
    config = tmp_path_factory.mktemp("config") / "posthouse.toml"
    config.write_text(
        '[node]\nlog_level = "debug"\n'
        f'[auth]\ndefault_user = "owner"\ndefault_pass = "{PASSWORD.decode()}"\nrefusal_delay_ms = 0\n'
        'mechanisms = ["PLAIN", "AMQPLAIN", "RABBIT-CR-DEMO"]\n',
        encoding="utf-8",
    )
    node = PosthouseNode(options=["--config", str(config)]).start()
    try:
        yield node
    finally:
        node.stop()


def exchange(port: int, pieces: tuple[bytes, ...], *, opened: bool) -> bytes:
    """Send the pieces one after another, each when the one before was answered; returns all that came back."""
    target = Target(port)
    heard = []
    try:
        if opened:
            target.send(HEADER + start_ok(b"\0owner\0" + PASSWORD) + octets.tune_ok() + opening())
            heard += [target.frame() for _ in range(3)]
            target.send(method(20, 10, b"\0"))
            heard.append(target.frame())
        elif pieces[0][:1] in b"\1\3\x08\x09":
            target.send(HEADER)
            heard.append(target.frame())
        for piece in pieces:
            target.send(piece)
            heard.append(target.frame())
    finally:
        target.close()
    return b"".join(one[2] for one in heard if one is not None)


def forms(secret: bytes) -> dict[str, bytes]:
    """How a secret may show. In Base64 it depends on what stands before it."""
    found = {"text": secret, "hexadecimal": secret.hex().encode()}
    found["numbers"] = ",".join(map(str, secret)).encode()
    for offset in range(3):
        whole = base64.b64encode(bytes(offset) + secret)
        found[f"Base64, {offset}"] = whole[4 if offset else 0 : -4]
    return found


def everything_under(directory: pathlib.Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


@pytest.mark.timeout(120)
def test_no_password_is_found_anywhere(node: PosthouseNode) -> None:
    places: dict[str, bytes] = {}
    for name, pieces in LOGINS.items():
        places[f"answer to {name}"] = exchange(node.port, pieces, opened=False)
    for name, piece in SECRETS.items():
        places[f"answer to update-secret, {name}"] = exchange(node.port, (piece,), opened=True)
    assert node.process is not None
    assert node.process.stdout is not None
    for name in ("cmdline", "environ"):
        places[name] = pathlib.Path(f"/proc/{node.pid}/{name}").read_bytes()
    node.process.send_signal(signal.SIGTERM)
    places["standard output"] = node.process.stdout.read()
    assert node.terminate() == 0
    places["standard error"] = node.stderr().encode()
    assert node.data_dir is not None
    kept = everything_under(node.data_dir)
    places |= kept

    assert any(b"owner" in said for said in kept.values())
    assert b"authenticated" in places["standard error"]
    assert places["standard error"].count(b"login refused") >= 5
    found = [
        (place, form)
        for place, said in places.items()
        for form, secret in forms(MARK).items()
        if secret in said
    ]
    assert not found


def test_the_search_finds_what_it_searches_for() -> None:
    for offset in range(3):
        hidden = base64.b64encode(b"x" * offset + PASSWORD + b"more")
        assert any(form in hidden for form in forms(MARK).values())
