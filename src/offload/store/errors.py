"""Classifies database errors, and explains them to users."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, OperationalError

from offload.exceptions import QueueUnavailable

# PostgreSQL: undefined_table, undefined_column. MySQL: ER_NO_SUCH_TABLE, ER_BAD_FIELD_ERROR.
_MISSING_CODES = {"42P01", "42703", 1146, 1054}
# PostgreSQL: lock_not_available, deadlock_detected, serialization_failure. MySQL:
# ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK, ER_CHECKREAD (record has changed since last read).
_CONTENTION_CODES = {"55P03", "40P01", "40001", 1205, 1213, 1020}
# MySQL calls these operational: ER_TRUNCATED_WRONG_VALUE_FOR_FIELD, ER_NET_PACKET_TOO_LARGE,
# ER_DATA_TOO_LONG, ER_CANNOT_CONVERT_STRING.
_DATA_CODES = {1366, 1153, 1406, 3988}
_MISSING_TEXTS = ("no such table: ", "no such column: ", "has no column named ")  # SQLite


def is_missing_migration(error: BaseException) -> bool:
    """Return True if a table or column of django-offload is missing."""
    if not isinstance(error, DatabaseError):
        return False
    if _code_of(error) in _MISSING_CODES:
        return True
    return any(text in str(error) for text in _MISSING_TEXTS)


def is_connection_lost(error: BaseException) -> bool:
    """Return True if the database did not answer, as opposed to refusing a statement."""
    return isinstance(error, OperationalError | InterfaceError) and not is_missing_migration(error)


def is_contention(error: BaseException) -> bool:
    """Return True if another transaction held a lock, so that this one can be retried."""
    return isinstance(error, OperationalError) and _code_of(error) in _CONTENTION_CODES


def is_about_data(error: BaseException) -> bool:
    """Return True if the database refused a value, which it will refuse again."""
    if isinstance(error, DataError | IntegrityError):
        return True
    return isinstance(error, OperationalError) and _code_of(error) in _DATA_CODES


@contextmanager
def explained(using: str) -> Iterator[None]:
    """Raise QueueUnavailable when the database does not respond or was not migrated."""
    try:
        yield
    except (DatabaseError, InterfaceError) as error:
        if is_missing_migration(error) or is_connection_lost(error):
            raise explain(error, using) from error
        raise


def explain(error: DatabaseError | InterfaceError, using: str) -> QueueUnavailable:
    """Return an error that explains a database error and its remedy in one line."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    if is_missing_migration(error):
        return QueueUnavailable(
            f"The tables of django-offload are missing in DATABASES[{using!r}], or of an older "
            f"version. Run: {migrate_command(using)} ({text})"
        )
    return QueueUnavailable(f"The job queue in DATABASES[{using!r}] does not respond: {text}")


def migrate_command(using: str) -> str:
    """Return the command that creates or updates the tables in a database."""
    command = "python manage.py migrate"
    return command if using == "default" else f"{command} --database {using}"


def _code_of(error: BaseException) -> object:
    """Return PostgreSQL's SQLSTATE, or the first argument: MySQL's error number."""
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    return sqlstate or next(iter(error.args), None)
