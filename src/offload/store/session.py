"""The connection of a store, and what a dialect decides about it."""

from __future__ import annotations

import json
from abc import ABC
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import connections
from django.db.models import F
from django.db.models.expressions import RawSQL

from offload.models import Job
from offload.store.reads import JobReads
from offload.store.statements import CLOCKS, statement
from offload.timestamps import now_microseconds

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

LOCK_TIMEOUT_SECONDS = 1
"""How long a transaction of the worker waits for one lock."""
MAX_ROWS_PER_STATEMENT = 1000
"""Rows that one maintenance statement changes, so that it holds its locks briefly."""
NEXT_VERSION = F("version") + 1
"""The version after a change, as an expression for an update."""


class Session(JobReads, ABC):
    """The connection that the store's operations use.

    Args:
        using: alias in DATABASES. Operations use the calling thread's connection of that alias, so
            they take part in the caller's transaction.
    """

    keeps_dead_entries: ClassVar[bool] = True
    """Whether an open transaction elsewhere keeps the index entries of jobs already claimed."""

    @property
    def connection(self) -> BaseDatabaseWrapper:
        return connections[self.using]

    @property
    def address(self) -> str:
        """Text that identifies this database among others."""
        settings = self.connection.settings_dict
        return ":".join(str(settings[name]) for name in ("ENGINE", "HOST", "PORT", "NAME"))

    def now(self, *, after: float = 0.0) -> Any:
        """Return the database's clock, plus `after` seconds, as an expression for a query."""
        field = Job._meta.get_field("run_after")
        sql = f"({CLOCKS[self.dialect]} + {int(after * 1_000_000)})"
        return RawSQL(sql, (), output_field=field)  # noqa: S611  # no text from outside

    def current_time(self) -> int:
        """Return the time of the database's clock, in microseconds since 1970 UTC."""
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT {CLOCKS[self.dialect]}")
            return int(cursor.fetchone()[0])

    def clock_of_this_process(self) -> AbstractContextManager[None]:
        """Replace the database's clock in this thread's statements: a test may have set ours."""
        return self.connection.execute_wrapper(self._replace_clock)

    def _replace_clock(self, execute: Callable[..., Any], sql: Any, *arguments: Any) -> Any:
        if isinstance(sql, str):
            sql = sql.replace(CLOCKS[self.dialect], str(now_microseconds()))
        return execute(sql, *arguments)

    def diagnose(self) -> dict[str, str]:
        """Return what system checks inspect: server settings, by the server's own names."""
        self.connection.ensure_connection()
        return {}

    def dedicate_connection(self) -> None:  # MySQL's driver has no such options
        """Give this thread, which keeps its connection for good, one that is meant to be kept.

        It is not one of the project's pool, which its requests and tasks need, it detects an
        unreachable server within seconds, and its transactions wait for SQLite's write lock.
        """

    def enable_concurrency(self) -> str:  # only SQLite needs it
        """Let several processes use the database at once, if the project leaves this to us.

        Returns:
            A line that says what has changed, or could not be changed; empty otherwise.
        """
        return ""

    def _cursor(self) -> Any:
        """Return a cursor whose statements are planned once, if the driver can do that."""
        return self.connection.cursor()

    def _fetch_unlogged(self, name: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Run a query by the driver's own cursor, which Django's log of queries does not show."""
        connection = self.connection
        connection.ensure_connection()
        with connection.wrap_database_errors, connection.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, name), parameters)
            return list(cursor.fetchall())

    def prepare_read_before_insert(self) -> None:  # only SQLite needs it
        """Let a transaction read although it writes afterwards."""

    def _list(self, values: Sequence[Any]) -> Any:
        """Return a list as a parameter of a statement."""
        return json.dumps(list(values))

    def _pipeline(self) -> AbstractContextManager[object]:
        """Send the statements within without waiting for each answer, if the driver can."""
        return nullcontext()

    def settle_rollback(self) -> None:  # only PostgreSQL's driver needs it
        """Let the driver take note that a savepoint was rolled back, before the next statement."""

    def _prepare_transaction(self, *, waits: bool) -> None:
        """Limit each wait for a lock in this transaction to LOCK_TIMEOUT_SECONDS.

        A user's transaction may hold a running job's row for long, by `cancel()`, and the worker
        must send heartbeats meanwhile.

        Args:
            waits: whether the transaction will wait for locks at all.
        """


def seconds_until(microseconds: int | None) -> float | None:
    """Return the seconds until a time, 0 if it has passed; None if there is no such time."""
    if microseconds is None:
        return None
    return max(0.0, microseconds / 1_000_000)
