"""Whether an engine of this host is there, told by the kernel.

An engine holds the lock on a file in shared memory, and the kernel lets go of it when the process
ends, however it ends. So whose file is there and not locked is gone beyond doubt, and its jobs
need not wait for its lease to run out. Shared memory belongs to one running kernel: no other host,
image or copied disk has the file. Of an engine without a file nothing is known: its lease decides.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from hashlib import sha256
from io import FileIO
from pathlib import Path
from uuid import UUID

from offload.failpoints import failpoint

SHARED_MEMORY = "/dev/shm"  # noqa: S108  # ours is a folder of our own in it
ENTERING = ".entering"
"""What the file of an engine is called until it is locked."""
LONGEST_ENTRY = 60.0
"""Seconds after which an engine that has not locked its file was killed as it entered."""


class HostLock:
    """Args:
    database: what tells the engines' database from others.
    """

    def __init__(self, database: str) -> None:
        self._database = database
        self._folder = _folder(database)
        self._path: Path | None = None
        self._file: FileIO | None = None

    def enter(self, worker: UUID) -> None:
        """Show that this process is an engine, until it leaves or ends."""
        self.leave()
        self._folder = _folder(self._database)  # anew: who left last has removed it
        if self._folder is None:
            return
        path = self._folder / str(worker)
        entering = path.with_suffix(ENTERING)
        with contextlib.suppress(OSError):
            self._path, self._file = path, FileIO(entering, "w")
            # Under its own name nobody ever sees it without the lock.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            failpoint("host_lock.creating")
            entering.rename(path)

    def leave(self) -> None:
        """Show nothing any more: there are no jobs that others should take back."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
                self._path.parent.rmdir()  # if it is empty
        self.close()

    def close(self) -> None:
        """Let go of the file, as the kernel does when the process ends."""
        if self._file is not None:
            self._file.close()
        self._path = self._file = None

    def gone(self) -> set[UUID]:
        """Return the engines that ended without having left."""
        found = set()
        if self._folder is not None:
            with contextlib.suppress(OSError):
                for path in self._folder.iterdir():
                    if path.suffix == ENTERING:
                        _remove_if_left(path)
                        continue
                    with contextlib.suppress(ValueError):
                        worker = UUID(path.name)
                        found |= set() if _is_locked(path) else {worker}
        return found

    def forget(self, worker: UUID) -> None:
        """Remove the file of an engine that is gone, and whose jobs were taken back."""
        if self._folder is not None:
            with contextlib.suppress(OSError):
                (self._folder / str(worker)).unlink()


def _is_locked(path: Path) -> bool:
    try:
        with FileIO(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # locked; or removed just now, or not ours to open: nothing is known then
        return True
    return False


def _remove_if_left(path: Path) -> None:
    with contextlib.suppress(OSError):
        if time.time() - path.stat().st_mtime > LONGEST_ENTRY and not _is_locked(path):
            path.unlink()


def _folder(database: str) -> Path | None:
    """Return this user's folder for a database, or None if there is none to be trusted."""
    digest = sha256(database.encode()).hexdigest()[:16]
    folder = Path(SHARED_MEMORY) / f"offload-{os.getuid()}-{digest}"
    try:
        if not _is_memory(SHARED_MEMORY):
            return None
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:  # not Linux, for example
        return None
    is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    return folder if is_ours and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else None


def _is_memory(folder: str) -> bool:
    """Tell whether a folder is the kernel's own memory, and not a disk that others may share."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    kinds = [kind for _, place, kind, *_ in mounts if place == folder]
    return kinds[-1:] == ["tmpfs"]
