"""Backups by the programs of PostgreSQL, MariaDB and MySQL."""

from __future__ import annotations

import gzip
import os
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from django.core.exceptions import ImproperlyConfigured

from offload.maintenance.errors import BackupError

CHECK_INTERVAL = 0.5
"""Seconds between two chances to stop the job."""
LOCK_TIMEOUT = 600_000
"""Milliseconds for which pg_dump waits for the lock of a table, which a migration may hold."""
CHUNK = 1024**2
MAX_ERROR_BYTES = 4_000

PASSWORDS = ("PGPASSWORD", "MYSQL_PWD")
"""The variables in which the programs get a password: each user of a host sees command lines."""
PACKAGES = {
    "pg_dump": "postgresql-client",
    "mariadb-dump": "mariadb-client",
    "mysqldump": "default-mysql-client",
}
"""The Debian packages of the programs."""


def dump_postgresql(connection: Any, descriptor: int, _path: Path) -> None:
    """Write a dump for pg_restore; all of it is from one moment."""
    options = ["--format=custom", "--no-password", f"--lock-wait-timeout={LOCK_TIMEOUT}"]
    if role := connection.settings_dict["OPTIONS"].get("assume_role"):
        options.append(f"--role={role}")
    with _running(connection, ["pg_dump"], options, stdout=descriptor) as process:
        while process.poll() is None:
            _wait(process)


def dump_mysql(connection: Any, descriptor: int, _path: Path) -> None:
    """Write compressed SQL; all of it is from one moment, if the tables are InnoDB's."""
    names = ["mariadb-dump", "mysqldump"]
    if not connection.mysql_is_mariadb:
        names.reverse()
    options = ["--single-transaction", "--quick", "--routines", "--hex-blob", "--no-tablespaces"]
    with (
        _running(connection, names, options, stdout=subprocess.PIPE) as process,
        os.fdopen(descriptor, "wb", closefd=False) as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0) as file,
    ):
        for chunk in _chunks(process.stdout):
            file.write(chunk)
        process.wait()


@contextmanager
def _running(
    connection: Any, names: Sequence[str], options: Sequence[str], *, stdout: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of the database; kill it if the block is left before it has ended.

    Raises:
        BackupError: if it fails.
    """
    program = _find(names)
    chosen = connection.settings_dict
    arguments, variables = connection.client.settings_to_cmd_args_env(chosen, options)
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603  # no shell; the password is in the environment
            [program, *arguments[1:]],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=errors,
            env={**os.environ, **(variables or {})},
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        if process.returncode:
            text = _read_errors(errors, variables or {})
            raise _failure(connection.alias, Path(program).name, process.returncode, text)


def _find(names: Sequence[str]) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    raise ImproperlyConfigured(
        f"The program {names[0]} is not on the PATH of the worker. Install it, in the version of "
        f"the database server or newer (on Debian, the package {PACKAGES[names[0]]}), or pass "
        'method="dumpdata", which needs no program.'
    )


def _wait(process: subprocess.Popen[bytes]) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(CHECK_INTERVAL)


def _chunks(stream: IO[bytes] | None) -> Iterator[bytes]:
    """Yield what a program writes; Python runs meanwhile, so that the job can be stopped."""
    if stream is None:
        return
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    while True:
        if not poll.poll(CHECK_INTERVAL * 1000):
            continue
        chunk = os.read(stream.fileno(), CHUNK)
        if not chunk:
            return
        yield chunk


def _read_errors(errors: IO[bytes], variables: Mapping[str, str]) -> str:
    """Return what a program has printed, without the password."""
    errors.seek(0)
    text = errors.read(MAX_ERROR_BYTES).decode(errors="replace").strip()
    for name in PASSWORDS:
        if variables.get(name):
            text = text.replace(variables[name], "***")
    return text or "it printed nothing"


def _failure(alias: str, program: str, code: int, text: str) -> BackupError:
    hint = ""
    if "version mismatch" in text:
        hint = f" Install {program} in the version of the server or newer."
    elif "No space left" in text:
        hint = " Delete files, choose a directory on another disk, or lower keep."
    return BackupError(
        f"{program} could not back up DATABASES[{alias!r}] (exit code {code}): {text}{hint}"
    )
