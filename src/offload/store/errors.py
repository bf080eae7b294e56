"""What an error of the database means for the queue."""

from __future__ import annotations

import re

from django.db import DatabaseError, InterfaceError, OperationalError

from offload.exceptions import QueueUnavailable

_MISSING = re.compile(
    r"no such (table|column): .*|(relation|column) .*does not exist"
    r"|Table '.*offload_.*' doesn't exist|Unknown column .*",
    re.IGNORECASE,
)


def is_missing_migration(error: BaseException) -> bool:
    """Tell whether the error says that a table or column of ours is not there."""
    return isinstance(error, DatabaseError) and bool(_MISSING.search(str(error)))


def is_connection_lost(error: BaseException) -> bool:
    """Tell whether the database did not answer, as opposed to refusing a statement."""
    return isinstance(error, OperationalError | InterfaceError) and not is_missing_migration(error)


def explain(error: DatabaseError | InterfaceError, using: str) -> QueueUnavailable:
    """Return an error that says what to do about a database error."""
    if is_missing_migration(error):
        return QueueUnavailable(
            f"The tables of django-offload are missing in DATABASES[{using!r}], or of an older "
            f"version. Run: python manage.py migrate{'' if using == 'default' else f' --database {using}'}"
            f" ({error})"
        )
    return QueueUnavailable(
        f"The job queue in DATABASES[{using!r}] does not answer: {str(error).strip()}"
    )
