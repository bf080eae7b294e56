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

# JIT would compile the claim as soon as the planner believes that many jobs are ready. Joins
# are loops over the primary key, whatever the statistics of a table say that was empty a moment
# ago. LOCAL, because a pooler may give this session to others.
_SETTINGS = """SELECT
    set_config('lock_timeout', %s, TRUE), set_config('jit', 'off', TRUE),
    set_config('enable_hashjoin', 'off', TRUE), set_config('enable_mergejoin', 'off', TRUE),
    set_config('enable_seqscan', 'off', TRUE),
    set_config('plan_cache_mode', 'force_generic_plan', TRUE)"""

# Of a server that is gone without a word the kernel tells after a quarter of an hour while
# something is sent, and after two hours while nothing is. In seconds, the last in milliseconds.
_NOTICE = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


class PostgreSQLStore(Store):
    """The verbs as PostgreSQL has them."""

    dialect = "postgresql"

    def enable_keepalives(self) -> None:
        connection = self.connection
        options = _NOTICE | connection.settings_dict["OPTIONS"]
        connection.close()
        # Other threads' connections share the old ones.
        connection.settings_dict = connection.settings_dict | {"OPTIONS": options}

    def _insert_rows(self, job: NewJob, calls: Sequence[CallRow]) -> None:
        ids, arguments = zip(*calls, strict=True)
        parameters = job._asdict() | {"ids": _array(ids), "arguments": _array(arguments)}
        with self.connection.cursor() as cursor:
            cursor.execute(statement("postgresql", "insert_many"), parameters)

    @contextmanager
    def _pipeline(self) -> Iterator[None]:
        """Send BEGIN and settings with the statement that follows: jobs wait for each answer."""
        connection: Any = self.connection
        connection.ensure_connection()
        kind = getattr(connection.Database, "Pipeline", None)  # psycopg2 has none
        is_able = kind is not None and kind.is_supported()  # libpq has one since version 14
        pipeline = connection.connection.pipeline if is_able else nullcontext
        with connection.wrap_database_errors:
            _allow_prepared(connection.connection)
            with pipeline():
                yield

    def _cursor(self) -> Any:
        """Return a cursor that has its statements parsed and planned once, where that is allowed.

        Django's own cursor puts the parameters into the text, so that each statement is new.
        """
        connection = self.connection
        if getattr(connection.connection, "prepare_threshold", None) is None:
            return connection.cursor()
        make_cursor: Any = backend.ServerBindingCursor  # Django's stubs know no psycopg 3
        cursor = make_cursor(connection.connection)
        if connection.queries_logged:
            return connection.make_debug_cursor(cursor)
        return connection.make_cursor(cursor)

    def _prepare_transaction(self, *, waits: bool) -> None:  # noqa: ARG002  # a claim alone needs it too
        with self._cursor() as cursor:
            cursor.execute(_SETTINGS, [f"{LOCK_TIMEOUT_SECONDS}s"])

    def _write_outcomes(self, finished: Sequence[FinishedJob]) -> set[ClaimKey]:
        parameters: dict[str, Any] = {
            "ids": _array(job.id for job, _ in finished),
            "fences": _array(job.fence for job, _ in finished),
            "states": _array(int(outcome.state) for _, outcome in finished),
            "delays": _array(int(outcome.delay * 1_000_000) for _, outcome in finished),
            "discounts": _array(0 if outcome.counts else 1 for _, outcome in finished),
            "losses": _array(1 if outcome.worker_lost else 0 for _, outcome in finished),
            "return_values": _array(outcome.return_value for _, outcome in finished),
        }
        with self._cursor() as cursor:
            cursor.execute(statement("postgresql", "finish"), parameters)
            return set(cursor.fetchall())

    def keep_progress(
        self, progress: ProgressUpdates, finished: Collection[ClaimKey] = ()
    ) -> set[ClaimKey]:
        parameters = {
            "ids": _array(key[0] for key, _ in progress),
            "fences": _array(key[1] for key, _ in progress),
            "finished": _array(key in finished for key, _ in progress),
            "progress": _array(text for _, text in progress),
        }
        with self._cursor() as cursor:
            cursor.execute(statement("postgresql", "progress"), parameters)
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
        for name in Watermark._fields if request.watermarks else ():
            parameters[f"watermark_{name}"] = _array(
                getattr(floor, name) for floor in request.watermarks
            )
        ready = statement("postgresql", "ready_above" if request.watermarks else "ready")
        with self._cursor() as cursor:
            cursor.execute(statement("postgresql", "claim").replace("{ready}", ready), parameters)
            claimed = [ClaimedJob(*row) for row in cursor.fetchall()]
        # RETURNING gives the rows in the order in which they were found.
        claimed.sort(key=ClaimedJob.urgency)
        return claimed

    def promote(self) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute(statement("postgresql", "promote"), {"limit": MAX_ROWS_PER_STATEMENT})
            return int(cursor.rowcount)


_is_direct: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""Which of the driver's connections lead to one session of the server, with nobody between."""


def _allow_prepared(connection: Any) -> None:
    """Let the driver prepare statements, unless a pooler may give our session to others.

    A pooler tells a client a process number of its own making.
    """
    if getattr(connection, "prepare_threshold", 0) is not None:
        return  # psycopg2 can't, or the project's OPTIONS say when
    if connection not in _is_direct:
        ((pid,),) = connection.execute("SELECT pg_backend_pid()").fetchall()
        _is_direct[connection] = pid == connection.info.backend_pid
    if _is_direct[connection]:
        connection.prepare_threshold = 0


def _array(values: Iterable[str | float | None]) -> str:
    """Return PostgreSQL's text of an array: the driver takes ten times as long for it."""
    return f"{{{','.join(map(_item, values))}}}"


def _item(value: str | float | None) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "NULL" if value is None else str(value)
