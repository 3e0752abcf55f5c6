"""The program around a node: event loop, signals, log lines, and what it says when it is ready."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import signal
import sys
from typing import Any
from urllib.parse import quote

from posthouse import __version__
from posthouse.core.config import Config
from posthouse.core.errors import ConfigError, StorageError
from posthouse.server import logs
from posthouse.server.allocator import return_freed_blocks
from posthouse.server.node import Node
from posthouse.server.precautions import check_data_dir, check_passwords
from posthouse.server.surroundings import of_this_machine


def _lines(config: Config, node: Node, host: str, port: int) -> list[str]:
    where = "memory only: nothing survives the process"
    if not config.node.memory:
        where = f"{os.path.abspath(config.node.data_dir)} (durability: {config.node.durability})"
    auth = config.auth
    user = auth.default_user
    # The well-known password of the well-known user is no secret; any other one is.
    password = "guest" if (user, auth.default_pass) == ("guest", "guest") else "PASSWORD"
    shown = f"[{host}]" if ":" in host else host
    vhost = "" if auth.default_vhost == "/" else quote(auth.default_vhost, safe="")
    url = f"amqp://{user}:{password}@{shown}:{port}/{vhost}"
    lost = f", {node.lost_count} lost (see the log)" if node.lost_count else ""
    limited = ", from this machine only" if user in auth.loopback_users else ""
    return [
        f"Posthouse {__version__}",
        f"  AMQP 0-9-1   {shown}:{port}",
        f"  data         {where}",
        f"  messages     {node.recovered_count} recovered{lost}",
        f"  user         {user}, password {password}{limited}",
        f"  try          {_command()} perf amqp --url {url}",
        "  stop         ctrl-C",
    ]


def _command() -> str:
    """How to call this program again from here."""
    if sys.argv[0].endswith("__main__.py"):
        return "python -m posthouse"
    if shutil.which("posthouse") is None and os.sep in sys.argv[0]:
        return os.path.relpath(sys.argv[0])
    return "posthouse"


def _ready(config: Config, host: str, port: int) -> str:
    memory = config.node.memory
    return json.dumps(
        {
            "event": "ready",
            "pid": os.getpid(),
            "amqp": {"host": host, "port": port},
            "data_dir": None if memory else os.path.abspath(config.node.data_dir),
            "durability": "none" if memory else config.node.durability,
        }
    )


async def _serve(config: Config, ready_json: bool) -> int:
    loop = asyncio.get_running_loop()
    if not config.node.memory:
        check_data_dir(os.path.abspath(config.node.data_dir))
    node = Node(config, of_this_machine(loop))
    try:
        check_passwords(config, node.users)
    except ConfigError:
        node.close()
        raise
    stopped = asyncio.Event()
    node.on_stopped = stopped.set
    try:
        host, port = node.listen()
    except OSError as error:
        node.close()
        amqp = config.amqp
        raise StorageError(
            f"cannot listen on {amqp.bind}:{amqp.port}: {error.strerror or error}; "
            "give another --amqp-port (0 picks a free one)"
        ) from error
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.stop)
    if ready_json:
        print(_ready(config, host, port), flush=True)
    print("\n".join(_lines(config, node, host, port)), flush=True)
    # What exists now lives as long as the process: keep the collector from walking it again and again.
    gc.collect()
    gc.freeze()
    await stopped.wait()
    return node.close()


def _new_loop() -> Any:  # Any: uvloop is untyped where it is not installed
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def run(config: Config, *, ready_json: bool = False) -> int:
    """Run a node in the foreground until SIGTERM or SIGINT; returns the exit code."""
    logs.set_up(config.node.log_level)
    # The committer needs the interpreter only briefly, but soon: see ADR 0003.
    sys.setswitchinterval(0.0005)
    return_freed_blocks()
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        return runner.run(_serve(config, ready_json))
