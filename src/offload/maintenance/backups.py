"""Backs up a database: chooses how, writes a file that is whole or absent, deletes old ones."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils.connection import ConnectionDoesNotExist

from offload.conf import did_you_mean
from offload.failpoints import failpoint
from offload.maintenance.backup_folder import BackupFolder
from offload.maintenance.dump_programs import dump_mysql, dump_postgresql
from offload.maintenance.errors import BackupError
from offload.maintenance.model_dump import dump_models
from offload.maintenance.sqlite_copy import copy_sqlite

type Method = Literal["dumpdata", "native"]
"""How a backup is made."""

type Writer = Callable[[Any, int, Path], None]
"""Writes a backup: of a connection, to an open descriptor of a path."""

METHODS = ("native", "dumpdata")
NATIVE: dict[str, tuple[str, Writer]] = {
    "sqlite": ("sqlite3", copy_sqlite),
    "postgresql": ("dump", dump_postgresql),
    "mysql": ("sql.gz", dump_mysql),
}
"""Suffix and writer of the native backup, by the vendor of the database."""
MODELS: tuple[str, Writer] = ("json.gz", dump_models)
"""Suffix and writer of `dumpdata`."""


def back_up(directory: str, keep: int, database: str, method: str) -> dict[str, Any]:
    """Write a backup, and delete the oldest ones if there are more than `keep`.

    Raises:
        ImproperlyConfigured: if somebody must change the arguments or the machine first.
        BackupError: for any other failure.
    """
    if type(keep) is not int or keep < 1:
        raise ImproperlyConfigured(f"keep must be a whole number of at least 1, not {keep!r}.")
    connection = _connection(database)
    suffix, write = _choose(connection.vendor, method)
    folder = BackupFolder(directory, connection)
    try:
        folder.create()
        with folder.new_file(suffix) as file:
            write(connection, file.descriptor, file.partial)
            failpoint("backup.written")
            path = file.publish()
        failpoint("backup.published")
        size = path.stat().st_size
        deleted = folder.delete_oldest(keep, newest=path)
    except OSError as error:
        raise _explain(error, database, folder.path) from error
    return {"path": str(path), "bytes": size, "deleted": deleted}


def _connection(database: str) -> Any:
    try:
        return connections[database]
    except ConnectionDoesNotExist:
        raise ImproperlyConfigured(
            f"DATABASES has no {database!r}.{did_you_mean(database, list(connections))}"
        ) from None


def _choose(vendor: str, method: str) -> tuple[str, Writer]:
    if method not in METHODS:
        raise ImproperlyConfigured(f'method must be "native" or "dumpdata", not {method!r}.')
    if method == "dumpdata" or vendor not in NATIVE:
        return MODELS
    return NATIVE[vendor]


def _explain(error: OSError, database: str, folder: Path) -> Exception:
    """Return the error for a file system that does not take the backup."""
    what = f"The backup of DATABASES[{database!r}] to {folder} failed"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        free = shutil.disk_usage(folder).free // 1024**2
        return BackupError(
            f"{what}: {error.strerror}. {free:,} MiB are free. Delete files, choose a directory on "
            "another disk, or lower keep."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ImproperlyConfigured(
            f"{what}: {error.strerror} ({error.filename}). Let the user of the worker write there."
        )
    return BackupError(f"{what}: {error}.")
