"""Classifies database errors, and explains them to users."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_stack

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, OperationalError

from offload.exceptions import InvalidArguments, QueueUnavailable

# PostgreSQL: undefined_table, undefined_column. MySQL: ER_NO_SUCH_TABLE, ER_BAD_FIELD_ERROR.
_MISSING_CODES = {"42P01", "42703", 1146, 1054}
# PostgreSQL: lock_not_available, deadlock_detected, serialization_failure. MySQL:
# ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK, ER_CHECKREAD (record has changed since last read).
_CONTENTION_CODES = {"55P03", "40P01", "40001", 1205, 1213, 1020}
_TIMEOUT_CODES = {"55P03", 1205}
# MySQL calls these operational: ER_TRUNCATED_WRONG_VALUE_FOR_FIELD, ER_NET_PACKET_TOO_LARGE,
# ER_DATA_TOO_LONG, ER_CANNOT_CONVERT_STRING.
_DATA_CODES = {1366, 1153, 1406, 3988}
# PostgreSQL: character_not_in_repertoire, untranslatable_character. MySQL: as above.
_CHARACTER_CODES = {"22021", "22P05", 1366, 3988}
_MISSING_TEXTS = ("no such table: ", "no such column: ", "has no column named ")  # SQLite

# PostgreSQL: connection exceptions, wrong password, unknown database, shutdown, too many
# connections. SQLite: the file cannot be opened, or read.
_UNAVAILABLE_CODES = ("08", "28", "3D", "57P", "53300", "SQLITE_CANTOPEN", "SQLITE_IOERR")
# MySQL: ER_CON_COUNT_ERROR, ER_DBACCESS_DENIED_ERROR, ER_ACCESS_DENIED_ERROR, ER_BAD_DB_ERROR,
# ER_SERVER_SHUTDOWN, ER_HOST_IS_BLOCKED, ER_HOST_NOT_PRIVILEGED, ER_TOO_MANY_USER_CONNECTIONS,
# ER_CONNECTION_KILLED, ER_CLIENT_INTERACTION_TIMEOUT; errors of the client begin at 2000.
_UNAVAILABLE_NUMBERS = {1040, 1044, 1045, 1049, 1053, 1129, 1130, 1203, 1927, 4031}
_CLIENT_NUMBERS = range(2000, 3000)


def is_missing_migration(error: BaseException) -> bool:
    """Return True if a table or column of django-offload is missing."""
    if not isinstance(error, DatabaseError):
        return False
    if _code_of(error) in _MISSING_CODES:
        return True
    return any(text in str(error) for text in _MISSING_TEXTS)


def is_unavailable(error: BaseException) -> bool:
    """Return True if there is no connection to the database, as opposed to a refused statement.

    A database that answers "deadlock", "read-only" or "disk full" is available.
    """
    if isinstance(error, InterfaceError):
        return True
    if not isinstance(error, OperationalError) or is_missing_migration(error):
        return False
    code = _code_of(error)
    if isinstance(code, int):
        return code in _UNAVAILABLE_NUMBERS or code in _CLIENT_NUMBERS
    # Without a code, the error is of the driver: it could not connect, or lost the connection.
    return code is None or code.startswith(_UNAVAILABLE_CODES)


def is_contention(error: BaseException) -> bool:
    """Return True if another transaction held a lock, so that this one can be retried."""
    return isinstance(error, OperationalError) and _code_of(error) in _CONTENTION_CODES


def is_lock_timeout(error: BaseException) -> bool:
    """Return True if another transaction held a lock for too long; this one can go on without."""
    return isinstance(error, OperationalError) and _code_of(error) in _TIMEOUT_CODES


def is_sqlite_lock(error: BaseException | None) -> bool:
    """Return True if another connection held SQLite's lock: this statement changed nothing."""
    return isinstance(error, OperationalError) and "locked" in str(error)


def is_about_data(error: BaseException) -> bool:
    """Return True if the database refused a value, which it will refuse again."""
    if isinstance(error, DataError | IntegrityError):
        return True
    return isinstance(error, OperationalError) and _code_of(error) in _DATA_CODES


@contextmanager
def explained(using: str) -> Iterator[None]:
    """Explain the database errors that the caller cannot mend by trying the transaction again.

    All others are raised as they are: a caller that repeats its transaction after a deadlock
    recognizes its own database's error.

    Raises:
        QueueUnavailable: if there is no connection, or the database was not migrated.
        InvalidArguments: for text with characters that the database cannot store.
    """
    try:
        yield
    except UnicodeEncodeError as error:  # MySQL's driver encodes by OPTIONS["charset"]
        raise _refused_text(error, using) from error
    except QueueUnavailable:  # explained by a block inside
        raise
    except (DatabaseError, InterfaceError) as error:
        if is_missing_migration(error) or is_unavailable(error):
            raise explain(error, using) from error
        if _is_about_characters(error):
            raise _refused_text(error, using) from error
        raise


def explain(error: DatabaseError | InterfaceError, using: str) -> QueueUnavailable:
    """Return an error that explains a database error and its remedy in one line."""
    if isinstance(error, QueueUnavailable):
        return error
    text = _first_line(error)
    if is_missing_migration(error):
        return QueueUnavailable(
            f"The tables of django-offload are missing in DATABASES[{using!r}], or of an older "
            f"version. {_remedy(using)} ({text})"
        )
    verb = "does not respond" if is_unavailable(error) else "refused a statement"
    return QueueUnavailable(f"The job queue in DATABASES[{using!r}] {verb}: {text}")


def _remedy(using: str) -> str:
    if _is_in_migration():
        return (
            "A migration that enqueues must run after them: add "
            '("offload", "0001_initial") to its dependencies.'
        )
    return f"Run: {migrate_command(using)}"


def _is_in_migration() -> bool:
    executor = "django.db.migrations.executor"
    return any(frame.f_globals.get("__name__") == executor for frame, _ in walk_stack(None))


def _refused_text(error: Exception, using: str) -> InvalidArguments:
    return InvalidArguments(
        f"The database in DATABASES[{using!r}] cannot store all characters of this text, because "
        "of its character set. On MariaDB and MySQL, convert the tables of django-offload to "
        "utf8mb4, and set OPTIONS['charset'] to it; on PostgreSQL use a database with the encoding "
        f"UTF8. ({_first_line(error)})"
    )


def _is_about_characters(error: BaseException) -> bool:
    # MySQL reports text in a column of integers with the same code.
    return _code_of(error) in _CHARACTER_CODES and "integer value" not in str(error)


def migrate_command(using: str) -> str:
    """Return the command that creates or updates the tables in a database."""
    command = "python manage.py migrate"
    return command if using == "default" else f"{command} --database {using}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _code_of(error: BaseException) -> str | int | None:
    """Return PostgreSQL's SQLSTATE, SQLite's name of the error, or MySQL's number."""
    cause = error.__cause__
    code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
    if code is not None:
        return str(code)
    number = next(iter(error.args), None)
    return number if isinstance(number, int) else None
