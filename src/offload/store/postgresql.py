"""The store on PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

from django.db.backends.postgresql import base as backend

from offload.store.base import Store
from offload.store.records import (
    CallRow,
    ClaimedJob,
    ClaimKey,
    ClaimRequest,
    FinishedJob,
    NewJob,
    ProgressUpdates,
    Watermark,
)
from offload.store.session import LOCK_TIMEOUT_SECONDS, MAX_ROWS_PER_STATEMENT
from offload.store.statements import statement

# JIT would compile the claim as soon as the planner expects many ready jobs. Joins must be loops
# over the primary key, even if the table was empty when its statistics were taken. The settings
# last for the transaction only, because a pooler may give this session to other clients.
_SETTINGS = """SELECT
    set_config('lock_timeout', %s, TRUE), set_config('jit', 'off', TRUE),
    set_config('enable_hashjoin', 'off', TRUE), set_config('enable_mergejoin', 'off', TRUE),
    set_config('enable_seqscan', 'off', TRUE),
    set_config('plan_cache_mode', 'force_generic_plan', TRUE)"""

_KEEPALIVES = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""Connection options, in seconds; the last in milliseconds.

By default the kernel reports a server that vanished after 15 minutes while data is being sent, and
after two hours on an idle connection.
"""

WATERMARK_PARAMETERS = [f"watermark_{name}" for name in Watermark._fields]
"""Names of the parameters of ready_above.sql, one array for each field of a watermark."""


class PostgreSQLStore(Store):
    """The store's operations in PostgreSQL's SQL."""

    dialect = "postgresql"

    def dedicate_connection(self) -> None:
        connection = self.connection
        options = _KEEPALIVES | connection.settings_dict["OPTIONS"]
        connection.close()
        options.pop("pool", None)
        # A copy: the connections of other threads share the old settings.
        connection.settings_dict = connection.settings_dict | {"OPTIONS": options}

    def diagnose(self) -> dict[str, str]:
        with self.connection.cursor() as cursor:
            cursor.execute("SHOW server_encoding")
            (encoding,) = cursor.fetchone()
        return {"server_encoding": encoding}

    def _insert_rows(self, job: NewJob, calls: Sequence[CallRow]) -> None:
        ids, arguments = zip(*calls, strict=True)
        parameters = job._asdict() | {"ids": _array(ids), "arguments": _array(arguments)}
        with self.connection.cursor() as cursor:
            cursor.execute(statement("postgresql", "insert_many"), parameters)

    @contextmanager
    def _pipeline(self) -> Iterator[None]:
        """Send BEGIN, the settings and the next statement in one round trip."""
        connection: Any = self.connection
        connection.ensure_connection()
        pipelines = getattr(connection.Database, "Pipeline", None)  # psycopg2 has none
        is_supported = pipelines is not None and pipelines.is_supported()  # since libpq 14
        pipeline = connection.connection.pipeline if is_supported else nullcontext
        with connection.wrap_database_errors:
            _allow_prepared(connection.connection)
            with pipeline():
                yield

    def _cursor(self) -> Any:
        """Return a cursor whose statements are parsed and planned once, where that is allowed.

        Django's own cursor interpolates the parameters, so that each statement is a new one.
        """
        connection = self.connection
        if getattr(connection.connection, "prepare_threshold", None) is None:
            return connection.cursor()
        make_cursor: Any = backend.ServerBindingCursor  # missing in Django's stubs
        cursor = make_cursor(connection.connection)
        if connection.queries_logged:
            return connection.make_debug_cursor(cursor)
        return connection.make_cursor(cursor)

    def _prepare_transaction(self, *, waits: bool) -> None:  # noqa: ARG002  # claims need it too
        with self._cursor() as cursor:
            cursor.execute(_SETTINGS, [f"{LOCK_TIMEOUT_SECONDS}s"])

    def _write_outcomes(self, finished: Sequence[FinishedJob]) -> dict[ClaimKey, int]:
        rows = [
            (
                job.id,
                job.fence,
                int(outcome.state),
                int(outcome.delay * 1_000_000),
                int(not outcome.counts),
                int(outcome.worker_lost),
                outcome.return_value,
            )
            for job, outcome in finished
        ]
        names = ("ids", "fences", "states", "delays", "discounts", "losses", "return_values")
        with self._cursor() as cursor:
            cursor.execute(statement("postgresql", "finish"), _array_parameters(names, rows))
            return {(job_id, fence): state for job_id, fence, state in cursor.fetchall()}

    def keep_progress(
        self, progress: ProgressUpdates, finished: Collection[ClaimKey] = ()
    ) -> set[ClaimKey]:
        rows = [(*key, key in finished, text) for key, text in progress]
        if not rows:
            return set()
        names = ("ids", "fences", "finished", "progress")
        with self._cursor() as cursor:
            cursor.execute(statement("postgresql", "progress"), _array_parameters(names, rows))
            return set(cursor.fetchall())

    def _claim(self, worker: str, request: ClaimRequest) -> list[ClaimedJob]:
        parameters: dict[str, Any] = {
            "worker": worker,
            "backend": request.backend,
            "queues": list(request.queues),
            "sync_slots": request.sync_slots,
            "sync_per_queue": request.per_queue(request.sync_slots),
            "async_slots": request.async_slots,
            "async_per_queue": request.per_queue(request.async_slots),
        }
        ready = "ready"
        if request.watermarks:
            ready = "ready_above"
            parameters |= _array_parameters(WATERMARK_PARAMETERS, request.watermarks)
        sql = statement("postgresql", "claim").replace("{ready}", statement("postgresql", ready))
        with self._cursor() as cursor:
            cursor.execute(sql, parameters)
            claimed = [ClaimedJob(*row) for row in cursor.fetchall()]
        # RETURNING returns the rows in the order in which they were updated.
        claimed.sort(key=ClaimedJob.urgency)
        return claimed

    def promote(self) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute(statement("postgresql", "promote"), {"limit": MAX_ROWS_PER_STATEMENT})
            return int(cursor.rowcount)


_is_direct: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""Whether each of the driver's connections is one server session, without a pooler between."""


def _allow_prepared(connection: Any) -> None:
    """Make the driver prepare statements, unless a pooler may give the session to other clients.

    Behind a pooler the driver's process number is not the server's.
    """
    if getattr(connection, "prepare_threshold", 0) is not None:
        return  # psycopg2 cannot, or the project's OPTIONS decide
    if connection not in _is_direct:
        ((pid,),) = connection.execute("SELECT pg_backend_pid()").fetchall()
        _is_direct[connection] = pid == connection.info.backend_pid
    if _is_direct[connection]:
        connection.prepare_threshold = 0


def _array_parameters(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """Return one array for each column of the rows, which must not be empty."""
    columns = zip(*rows, strict=True)
    return {name: _array(values) for name, values in zip(names, columns, strict=True)}


def _array(values: Iterable[str | float | None]) -> str:
    """Return an array in PostgreSQL's text format, ten times as fast as the driver does."""
    return f"{{{','.join(map(_array_item, values))}}}"


def _array_item(value: str | float | None) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if value is None:
        return "NULL"
    return str(value)
