"""A disk whose power can be cut: an ext4 file system in an image file, mounted by loop.

What a process wrote and did not sync is in the page cache of the mounted file system, not in the image. A copy of the image is therefore
what a machine finds after a power cut: everything synced, and of the rest what the kernel happened to have written back. Mounting the copy
runs ext4's own journal recovery. The image
stands for a device without a volatile cache of its own: octets that reached it are on the medium.

The copy must show one instant. Who uses the disk is stopped with SIGSTOP before; then only the kernel's write-back may still write, each
time something that could as well have come before the cut. The device's counters are compared before and after the copy, and it is made
again if anything was written meanwhile. `fsfreeze` is of no use here: it syncs.

Needs root, loop devices and mkfs.ext4.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.nodes import lacks, require

SIZE_BYTES = 384 << 20  # above the disk alarm's 50 MB with room for the load; the file has holes
COPY_TIMEOUT_S = 20.0
SHARED_MEMORY = Path("/dev/shm")


class LoopDisk:
    """One mounted image. `close`, or leaving the ``with`` block, unmounts it and removes the files.

    Attributes:
        mount_point: where the file system is, now and after each `replace`.
        cuts: copies made so far.
        copies_repeated: how often a copy was made again because the kernel had written meanwhile.
    """

    def __init__(self, options: str = "", size_bytes: int = SIZE_BYTES) -> None:
        """``options`` are mount options of ext4."""
        make_fs = require("mkfs.ext4", "Debian: apt-get install e2fsprogs")
        self._directory = Path(tempfile.mkdtemp(prefix="posthouse-disk-", dir=_memory(size_bytes)))
        self._image = self._directory / "disk.0.img"
        self._options = options
        self._device = ""
        self.mount_point = self._directory / "mnt"
        self.cuts = 0
        self.copies_repeated = 0
        self.mount_point.mkdir()
        with self._image.open("wb") as file:
            file.truncate(size_bytes)
        # Everything is initialised now, so that the kernel has nothing to write later by itself.
        lazy = "lazy_itable_init=0,lazy_journal_init=0"
        try:
            _run([make_fs, "-q", "-F", "-m", "0", "-E", lazy, str(self._image)])
            self._mount()
        except BaseException:
            shutil.rmtree(self._directory)
            raise

    def __enter__(self) -> LoopDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _mount(self) -> None:
        options = ",".join(["loop", *filter(None, [self._options])])
        _run(["mount", "-t", "ext4", "-o", options, str(self._image), str(self.mount_point)])
        for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
            device, where = line.split()[:2]
            if where == str(self.mount_point):
                self._device = Path(device).name
        assert self._device.startswith("loop"), self._device

    def _unmount(self) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                _run(["umount", str(self.mount_point)])
                return
            except RuntimeError:  # the killed process is not quite gone
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _written(self) -> tuple[Sequence[str], bool]:
        """Counters of what the device has written, and whether it is writing now."""
        path = Path("/sys/block") / self._device
        counters = (path / "stat").read_text(encoding="ascii").split()
        in_flight = (path / "inflight").read_text(encoding="ascii").split()
        return counters[4:7] + counters[11:14], in_flight[1] != "0"

    def cut(self) -> Path:
        """Copy the image as it is at one instant; who uses the disk has been stopped. The copy is for `replace`."""
        self.cuts += 1
        copy = self._directory / f"disk.{self.cuts}.img"
        deadline = time.monotonic() + COPY_TIMEOUT_S
        while time.monotonic() < deadline:
            before, is_writing = self._written()
            if not is_writing:
                _copy_sparse(self._image, copy)
                if self._written() == (before, False):
                    return copy
                self.copies_repeated += 1
            time.sleep(0.001)
        raise RuntimeError(f"{self._device} was written to for {COPY_TIMEOUT_S} s")

    def replace(self, copy: Path) -> None:
        """Give up the file system, which nobody uses any more, and mount the copy in its place."""
        self._unmount()
        self._image.unlink()
        self._image = copy
        self._mount()

    def close(self) -> None:
        """Unmount and remove everything."""
        with contextlib.suppress(RuntimeError):
            self._unmount()
        if not os.path.ismount(self.mount_point):
            shutil.rmtree(self._directory)


def require_loop_disk() -> None:
    """Skip the test where an image cannot be mounted: no root, no loop devices, a container that forbids it."""
    if os.geteuid() != 0:
        lacks("root, to mount an image by loop")
    try:
        LoopDisk(size_bytes=16 << 20).close()
    except (RuntimeError, FileNotFoundError) as error:
        lacks(f"loop mounts of ext4 ({error})")


def _memory(size_bytes: int) -> str | None:
    """A directory in memory with room for an image and its copy, if there is one."""
    if SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free > 3 * size_bytes:
        return str(SHARED_MEMORY)
    return None


def _copy_sparse(source: Path, target: Path) -> None:
    """Copy a file with its holes."""
    with source.open("rb") as read, target.open("wb") as write:
        size = os.fstat(read.fileno()).st_size
        write.truncate(size)
        at = 0
        while at < size:
            try:
                at = os.lseek(read.fileno(), at, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole is left
                break
            end = os.lseek(read.fileno(), at, os.SEEK_HOLE)
            write.seek(at)
            while at < end:
                at += os.sendfile(write.fileno(), read.fileno(), at, end - at)


def _run(command: Sequence[str]) -> None:
    """Run a command.

    Raises:
        RuntimeError: it failed; has what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip()}")
