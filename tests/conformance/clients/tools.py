"""What the tests with foreign programs share: the broker under test, a proxy that cuts, a cache for downloads and builds.

Everything fetched or built lands in `.cache` under the root of the repository, once per version; a file lock keeps two
test processes from filling the same place at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache"


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker under test listens; `kind` is `posthouse` or `rabbitmq`."""

    kind: str
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{self.host}:{self.port}/%2F"


class CutProxy:
    """A TCP forwarder on a free port that resets its connections on `cut()` and goes on accepting.

    It stands for the network's failures: the client sees a reset, the broker an end without close.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.accepted = 0
        self._thread = threading.Thread(target=self._accept, name="cut-proxy", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    def cut(self) -> int:
        """Reset every connection; return how many there were."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                # Linger zero makes the close a reset; shutdown first, since the pump still holds the socket.
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                    end.shutdown(socket.SHUT_RDWR)
        return len(pairs)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, 5)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs.append((client, server))
                self.accepted += 1
            threading.Thread(target=self._pump, args=(client, server), daemon=True).start()

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        """Carry bytes both ways until either side ends."""
        other = {client: server, server: client}
        with client, server, contextlib.suppress(OSError):
            server.settimeout(None)
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    other[ready].sendall(data)


@contextlib.contextmanager
def locked(name: str) -> Iterator[Path]:
    """Hold the cache's folder `name` for this process alone; yields it, made."""
    folder = CACHE / name
    folder.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name.replace('/', '-')}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def attempt(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None, tries: int = 3
) -> None:
    """Run an install step, again when it fails (downloads do break).

    Raises:
        RuntimeError: with the last output, when every try failed.
    """
    output = ""
    for number in range(tries):
        if number:
            time.sleep(3.0)  # not for a race: a registry that just failed wants a pause
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode == 0:
            return
        output = done.stdout
    raise RuntimeError(f"{' '.join(command)} failed {tries} times:\n{output[-3000:]}")


def install_once(folder: Path, key: str, steps: Sequence[Sequence[str]]) -> None:
    """Run `steps` in `folder` unless its stamp already says `key`.

    Call it inside `locked`.
    """
    stamp = folder / ".installed"
    if stamp.exists() and stamp.read_text() == key:
        return
    for step in steps:
        attempt(step, cwd=folder)
    stamp.write_text(key)


def copy_sources(source: Path, folder: Path, names: Sequence[str]) -> str:
    """Copy `names` from `source` to `folder`; the text of all of them is the key of what is built from them."""
    texts = []
    for name in names:
        shutil.copyfile(source / name, folder / name)
        texts.append((source / name).read_text())
    return "\n".join(texts)
