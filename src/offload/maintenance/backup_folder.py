"""The files of backups: each is whole or absent, and only those of one database are deleted."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from offload.backends.base import offload_backends
from offload.maintenance.errors import DirectoryNotAllowed

logger = logging.getLogger("offload.maintenance")

SUFFIXES = ("sqlite3", "dump", "sql.gz", "json.gz")
"""What the names of backups end with."""
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
IMPOSSIBLE = (errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR)
"""Errors of a path at which there can be no directory: a file is in the way, for example."""
MAX_NAME_CHARS = 60
"""Characters of the database's name in the name of a file."""


class BackupFolder:
    """The backups of one database in a directory.

    Their names begin with the name of the database and a hash of its address, so that several
    databases may share the directory.

    Args:
        directory: its absolute path.
        connection: to the database.

    Raises:
        ImproperlyConfigured: if backups must not be there.
    """

    def __init__(self, directory: str, connection: Any) -> None:
        self.path = _require_safe(directory)
        self._prefix = _prefix(connection)
        suffixes = "|".join(map(re.escape, SUFFIXES))
        name = rf"{re.escape(self._prefix)}-\d{{8}}T\d{{6}}Z\.(?:{suffixes})"
        self._whole = re.compile(name)
        self._partial = re.compile(rf"\.{name}\.[0-9a-f]+\.partial")

    def create(self) -> None:
        """Create the directory unless it exists, and delete what killed processes left in it.

        Raises:
            ImproperlyConfigured: if there can be no directory at the path.
        """
        try:
            self.path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        except OSError as error:
            if error.errno not in IMPOSSIBLE:
                raise
            raise ImproperlyConfigured(
                f"The directory of backups, {self.path}, cannot be created: {error.strerror} "
                f"({error.filename}). Choose a directory that exists, or can be created."
            ) from error
        for path in self.path.iterdir():
            if self._partial.fullmatch(path.name):
                _delete_abandoned(path)

    @contextmanager
    def new_file(self, suffix: str) -> Iterator[NewBackup]:
        """Open a file for a backup; delete it at the end unless it was published."""
        at = timezone.now().replace(microsecond=0)
        while (self.path / self._name(at, suffix)).exists():
            at += timedelta(seconds=1)
        file = NewBackup(self.path / self._name(at, suffix))
        try:
            yield file
        finally:
            file.close()

    def delete_oldest(self, keep: int, *, newest: Path) -> list[str]:
        """Delete all backups of the database but the newest; return their names.

        Args:
            keep: how many to keep.
            newest: is kept whatever the clock said when the others were written.
        """
        names = {path.name for path in self.path.iterdir() if self._whole.fullmatch(path.name)}
        older = sorted(names - {newest.name}, key=_time_in)
        deleted = []
        for name in older[: max(0, len(older) - (keep - 1))]:
            try:
                (self.path / name).unlink()
                deleted.append(name)
            except OSError as error:  # the new backup is good
                logger.warning("The old backup %s could not be deleted: %s", name, error)
        return deleted

    def _name(self, at: Any, suffix: str) -> str:
        return f"{self._prefix}-{at:%Y%m%dT%H%M%SZ}.{suffix}"


class NewBackup:
    """A file that a backup is written to, under a name that no backup has.

    Args:
        path: its name once it is whole.

    Attributes:
        partial: its path until then.
        descriptor: is open for writing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
        self.descriptor = os.open(self.partial, flags, PRIVATE_FILE)
        with suppress(OSError):  # a file system without locks
            # A program that writes the file inherits the lock, and may outlive this process.
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def publish(self) -> Path:
        """Give the file its name, after its content is on the disk."""
        os.fsync(self.descriptor)
        self.partial.rename(self._path)
        _sync_folder(self._path.parent)
        return self._path

    def close(self) -> None:
        """Close the file, and delete it if it was not published."""
        try:
            _delete(self.partial)
        finally:
            os.close(self.descriptor)


def require_allowed_directory(directory: str) -> None:
    """Raise DirectoryNotAllowed unless the settings allow backups in a directory.

    The directories of all backends count together.
    """
    found = {Path(path) for one in offload_backends() for path in one.settings.backup_directories}
    path = Path(directory).resolve()
    if any(path.is_relative_to(allowed.resolve()) for allowed in found):
        return
    names = sorted({*map(str, found), directory})
    raise DirectoryNotAllowed(
        f"Jobs may not write backups into the directory {directory}. Whoever can enqueue jobs or "
        "write to their table could copy the database to any place, and delete older backups. To "
        "allow that, add it to the settings: "
        f'TASKS["default"]["OPTIONS"]["backup_directories"] = {names!r}.'
    )


def _require_safe(directory: Any) -> Path:
    """Return the path of a directory in which backups may be."""
    if not isinstance(directory, str) or not Path(directory).is_absolute():
        raise ImproperlyConfigured(
            f"The directory of backups must be an absolute path, not {directory!r}: workers may "
            'run in any folder. Use str(settings.BASE_DIR / "backups"), for example.'
        )
    path = Path(directory)
    for name in ("MEDIA_ROOT", "STATIC_ROOT"):
        public = getattr(settings, name, None)
        if public and path.resolve().is_relative_to(Path(public).resolve()):
            raise ImproperlyConfigured(
                f"The directory of backups, {path}, is in {name}, which web servers publish. "
                "Choose another directory."
            )
    require_allowed_directory(directory)
    return path


def _prefix(connection: Any) -> str:
    """Return what the names of a database's backups begin with."""
    chosen = connection.settings_dict
    name = str(chosen["NAME"])
    if connection.vendor == "sqlite" and not connection.is_in_memory_db():
        name = str(Path(name).resolve())
    address = [connection.vendor, name, str(chosen["HOST"]), str(chosen["PORT"])]
    digest = hashlib.sha256(repr(address).encode()).hexdigest()[:6]
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", Path(name).stem)[:MAX_NAME_CHARS]
    return f"{plain or connection.alias}-{digest}"


def _time_in(name: str) -> str:
    """Return the time in the name of a backup."""
    return name.partition(".")[0].rpartition("-")[2]


def _delete_abandoned(path: Path) -> None:
    """Delete an unfinished file unless a process is writing it."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _delete(path)
            logger.warning("Deleted %s, a backup that was not finished.", path)
        finally:
            os.close(descriptor)


def _delete(partial: Path) -> None:
    """Delete an unfinished file, and those that SQLite has made beside it."""
    for suffix in ("-journal", "-wal", "-shm", ""):
        partial.with_name(partial.name + suffix).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system that cannot
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
