"""File locks that show which workers of this host are running.

A worker locks a file in shared memory, and the kernel releases the lock whenever the process exits.
An unlocked file therefore proves that its worker has exited, and the worker's jobs are rescued
before its lease expires. Shared memory belongs to one running kernel: no other host, image or
copied disk has the file. For a worker without a file, only its lease decides.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from io import FileIO
from pathlib import Path
from uuid import UUID
from weakref import WeakSet

from offload.failpoints import failpoint
from offload.private_folders import (
    UntrustedFolder,
    create_private_folder,
    private_path,
    warn_once,
)

SHARED_MEMORY = "/dev/shm"  # noqa: S108  # files lie in a private folder in it
UNLOCKED_SUFFIX = ".entering"
"""Suffix of a file that its worker has not locked yet."""
MAX_UNLOCKED_SECONDS = 60.0
"""A worker that has not locked its file for this long was killed before it could."""


_locks: WeakSet[HostLock] = WeakSet()
"""Those of this process."""


class HostLock:
    """The lock of one worker, which can also check those of other workers on this host.

    Args:
        database: identifies the database that the workers share.
    """

    def __init__(self, database: str) -> None:
        self._database = database
        self._folder = _create_folder(database)
        _locks.add(self)
        self._path: Path | None = None
        self._file: FileIO | None = None

    @property
    def folder(self) -> Path | None:
        """Where the files are; None if there is no folder that can be trusted."""
        return self._folder

    def acquire(self, worker: UUID) -> None:
        """Lock a file for a worker, until `release` or until the process exits."""
        self.release()
        self._folder = _create_folder(self._database)  # the last worker to exit removed it
        if self._folder is None:
            return
        path = self._folder / str(worker)
        unlocked_path = path.with_suffix(UNLOCKED_SUFFIX)
        with contextlib.suppress(OSError):
            self._path, self._file = path, FileIO(unlocked_path, "w")
            # A file under its final name is always locked by a running worker.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            failpoint("host_lock.creating")
            unlocked_path.rename(path)

    def release(self) -> None:
        """Remove the file, as the worker leaves no jobs that others must rescue."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
                self._path.parent.rmdir()  # if it is empty
        self.close()

    def close(self) -> None:
        """Unlock the file and keep it, as the kernel does when the process exits."""
        if self._file is not None:
            self._file.close()
        self._path = self._file = None

    def exited_workers(self) -> set[UUID]:
        """Return the workers of this host that exited without `release`."""
        workers: set[UUID] = set()
        if self._folder is None:
            return workers
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                if path.suffix == UNLOCKED_SUFFIX:
                    _remove_if_stale(path)
                    continue
                worker = _worker_of(path)
                if worker is not None and not _is_locked(path):
                    workers.add(worker)
        return workers

    def forget(self, worker: UUID) -> None:
        """Remove the file of a worker: no process finds from now on that it has exited.

        Its jobs were rescued, or the caller is about to kill it and writes their outcomes.
        """
        if self._folder is not None:
            with contextlib.suppress(OSError):
                (self._folder / str(worker)).unlink()


def _leave_locks_to_parent() -> None:
    """Close the files in a copy of the process: it would keep them locked after the worker died."""
    for lock in list(_locks):
        lock.close()


os.register_at_fork(after_in_child=_leave_locks_to_parent)


def _worker_of(path: Path) -> UUID | None:
    try:
        return UUID(path.name)
    except ValueError:  # another program's file
        return None


def _is_locked(path: Path) -> bool:
    try:
        with FileIO(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return os.fstat(file.fileno()).st_nlink == 0  # removed since it was opened
    except OSError:  # locked; or removed or unreadable, which does not prove an exit
        return True


def _remove_if_stale(path: Path) -> None:
    with contextlib.suppress(OSError):
        age = time.time() - path.stat().st_mtime
        if age > MAX_UNLOCKED_SECONDS and not _is_locked(path):
            path.unlink()


def _create_folder(database: str) -> Path | None:
    """Return this user's folder for a database, or None if there is none that can be trusted."""
    folder = private_path(SHARED_MEMORY, database)
    try:
        if not _is_tmpfs(SHARED_MEMORY):
            return None
        create_private_folder(folder)
    except UntrustedFolder as error:
        warn_once(str(error), "So only the lease shows other workers that this one has died.")
        return None
    except OSError:  # not Linux, for example
        return None
    return folder


def _is_tmpfs(folder: str) -> bool:
    """Return whether a folder is the kernel's own memory, and not a disk that hosts may share."""
    file_system = ""
    for mount in Path("/proc/self/mounts").read_text().splitlines():
        _, mount_point, kind, *_ = mount.split()
        if mount_point == folder:
            file_system = kind  # the last mount hides earlier ones
    return file_system == "tmpfs"
