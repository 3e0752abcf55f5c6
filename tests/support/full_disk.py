"""A disk that really fills (C8, P13): a small file system, a foreign file, a broker that publishers fill it with.

Nothing confirmed is lost, and all goes on when there is space again, without a restart; every second time the broker is killed while the
disk is full. Needs root, to mount.
"""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator

from tests.support import link as amqp
from tests.support.nodes import PosthouseNode
from tests.torture.campaign import Campaign

SIZE_MB = 48
CONFIG = """
[limits]
disk_free_limit_bytes = 0
[log]
segment_size_bytes = 1048576
"""


@contextlib.contextmanager
def small_disk(size_mb: int = SIZE_MB) -> Iterator[pathlib.Path]:
    """A file system of that many MiB, in memory.

    Raises:
        subprocess.CalledProcessError: we may not mount.
    """
    with tempfile.TemporaryDirectory(prefix="posthouse-disk-") as directory:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", directory]
        subprocess.run(mount, check=True, capture_output=True)
        try:
            yield pathlib.Path(directory)
        finally:
            subprocess.run(["umount", "-l", directory], check=True)


def fill_often(rounds: int) -> dict[str, float]:
    """Fill and free a disk that many times under one broker."""
    confirmed = 0
    with tempfile.TemporaryDirectory() as own, small_disk() as disk:
        config = pathlib.Path(own) / "posthouse.toml"
        config.write_text(CONFIG, encoding="utf-8")
        node = PosthouseNode(disk / "data", options=["--config", str(config)]).start()
        try:
            for turn in range(rounds):
                confirmed += fill_and_free(node, disk / "foreign", is_killed=turn % 2 == 1)
            assert node.terminate() == 0
        finally:
            node.stop()
    return {"fills": rounds, "kills_while_full": rounds // 2, "confirmed": confirmed, "lost": 0}


def fill_and_free(node: PosthouseNode, foreign: pathlib.Path, *, is_killed: bool) -> int:
    """Publish until nothing is confirmed any more; free space; everything confirmed is there, once, in order.

    Returns how many were confirmed.
    """
    deadline = time.monotonic() + 20
    while shutil.disk_usage(foreign.parent).free < 20 << 20:
        assert time.monotonic() < deadline, "space did not come back"
        time.sleep(0.05)
    foreign.write_bytes(bytes(16 << 20))
    link = amqp.Link(node.port)
    link.declare_queue("q")
    link.select_confirms()
    sent = confirmed = 0
    last = time.monotonic()
    while time.monotonic() - last < 1.5:
        if sent - confirmed < 40 and not link.unsent:
            body = sent.to_bytes(8, "big") + bytes(65536)
            link.send(amqp.publisher("", "q") + amqp.persistent_content(body))
            sent += 1
        tags = [e.arguments for e in link.receive() if e.method == amqp.BASIC_ACK]
        if tags:
            confirmed = max(confirmed, *(int.from_bytes(tag[:8], "big") for tag in tags))
            last = time.monotonic()
        assert sent < 2000
    assert 0 < confirmed < sent
    assert node.is_alive()
    if is_killed:
        node.kill()
        foreign.unlink()
        node.restart()
    else:
        foreign.unlink()
        while confirmed < sent:
            link.flush()
            acks = [e.arguments for e in link.receive() if e.method == amqp.BASIC_ACK]
            confirmed = max([confirmed, *(int.from_bytes(tag[:8], "big") for tag in acks)])
            assert time.monotonic() - last < 20
    link.close()
    assert drained(node, confirmed) >= confirmed
    return confirmed


def drained(node: PosthouseNode, least: int) -> int:
    """Take everything from the queue; how many there were, numbered from 0 on without a gap."""
    link = amqp.Link(node.port)
    count = link.declare_queue("q", passive=True)
    assert count >= least
    link.consume("q", 50)
    taken = 0
    deadline = time.monotonic() + 30
    while taken < count:
        assert time.monotonic() < deadline
        link.flush()
        for event in link.receive():
            if event.method == amqp.BASIC_DELIVER:
                assert int.from_bytes(event.body[:8], "big") == taken
                taken += 1
                tag_at = 1 + event.arguments[0]
                link.send(amqp.ack(int.from_bytes(event.arguments[tag_at : tag_at + 8], "big")))
    assert link.declare_queue("q", passive=True) == 0
    link.close()
    return taken


CAMPAIGN = Campaign(
    name="full-disk",
    what="a small disk fills under load and is freed, twice in a unit, once with a kill while it is full: nothing is lost (C8, P13)",
    units=10,
    run=lambda seed: fill_often(2),
    timeout_s=180.0,
)
