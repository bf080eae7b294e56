"""The store on PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from django.db import transaction
from django.db.backends.postgresql import base as backend

from offload.store.base import Store
from offload.store.limit_keys import opening
from offload.store.limit_records import (
    ClosedKey,
    KeysToOpen,
    LimitedRequest,
    LimitNumbers,
    OpenKey,
    Place,
)
from offload.store.new_workflows import PART_COLUMNS
from offload.store.records import (
    CallRow,
    ClaimedJob,
    ClaimKey,
    ClaimRequest,
    ExtraColumns,
    FinishedJob,
    LimitedCallRow,
    NewJob,
    ProgressUpdates,
    UniqueCall,
    UniqueTerms,
    Watermark,
)
from offload.store.session import LOCK_TIMEOUT_SECONDS, MAX_ROWS_PER_STATEMENT
from offload.store.statements import CLOCKS, finish_statement, statement
from offload.store.unique_jobs import slot
from offload.store.workflow_records import NewDependency
from offload.timestamps import now_microseconds

# JIT would compile the claim as soon as the planner expects many ready jobs. Joins must be loops
# over the primary key, even if the table was empty when its statistics were taken. A bitmap has no
# order: the first of many keys would be found by sorting all. The settings last for the transaction
# only, because a pooler may give this session to other clients.
_SETTINGS = """SELECT
    set_config('lock_timeout', %s, TRUE), set_config('jit', 'off', TRUE),
    set_config('enable_hashjoin', 'off', TRUE), set_config('enable_mergejoin', 'off', TRUE),
    set_config('enable_seqscan', 'off', TRUE), set_config('enable_bitmapscan', 'off', TRUE),
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

    def _insert_limited_rows(self, job: NewJob, calls: Sequence[LimitedCallRow]) -> None:
        names = ("ids", "arguments", "limit_keys", "limit_slots")
        parameters = job._asdict() | _array_parameters(names, calls)
        with self.connection.cursor() as cursor:
            cursor.execute(statement("postgresql", "insert_limited"), parameters)

    def insert_unique_rows(
        self, job: NewJob, calls: Sequence[UniqueCall], terms: UniqueTerms
    ) -> set[str]:
        names = ("ids", "arguments", "limit_keys", "unique_keys", "limit_slots")
        rows = [(*call, slot(call, job.state)) for call in calls]
        parameters = job._asdict() | terms._asdict() | _array_parameters(names, rows)
        with self.connection.cursor() as cursor:
            cursor.execute(statement("postgresql", "insert_unique"), parameters)
            return {str(pk) for (pk,) in cursor.fetchall()}

    def _lock(self, exclusively: bool) -> str:  # noqa: FBT001
        return "FOR NO KEY UPDATE" if exclusively else "FOR SHARE"

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

    def settle_rollback(self) -> None:
        """Let the driver forget its prepared statements, which it does after any rollback.

        In a pipeline, the driver forgets them when one answer arrives, and the server with the next
        statement: one that the driver prepared in between would be lost in the server only.
        """
        with self.connection.cursor() as cursor:  # Django's own, which prepares nothing
            for _ in range(2):
                cursor.execute("SELECT 1")
                cursor.fetchone()

    def _prepare_transaction(self, *, waits: bool) -> None:  # noqa: ARG002  # claims need it too
        with self._cursor() as cursor:
            cursor.execute(_SETTINGS, [f"{LOCK_TIMEOUT_SECONDS}s"])

    def _write_outcomes(
        self, finished: Sequence[FinishedJob], extra: ExtraColumns
    ) -> dict[ClaimKey, int]:
        parameters = {
            "ids": _bare_array([job.id for job, _ in finished]),
            "fences": _bare_array([job.fence for job, _ in finished]),
            "states": _bare_array([int(outcome.state) for _, outcome in finished]),
            "delays": _bare_array([int(outcome.delay * 1_000_000) for _, outcome in finished]),
            "discounts": _bare_array([int(not outcome.counts) for _, outcome in finished]),
            "losses": _bare_array([int(outcome.worker_lost) for _, outcome in finished]),
            "return_values": _array([outcome.return_value for _, outcome in finished]),
        }
        with self._cursor() as cursor:
            cursor.execute(finish_statement("postgresql", extra), parameters)
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
        if request.caps is not None:
            counts = [request.caps.counts.get(name, (None, None)) for name in request.queues]
            parameters |= _array_parameters(("sync_caps", "async_caps"), counts)
            parameters["now"] = request.caps.now or now_microseconds()
        sql = claim_statement(ready, has_caps=request.caps is not None)
        with self._cursor() as cursor:
            cursor.execute(sql, parameters)
            claimed = [ClaimedJob(*row) for row in cursor.fetchall()]
        # RETURNING returns the rows in the order in which they were updated.
        claimed.sort(key=ClaimedJob.urgency)
        return claimed

    def _claim_ids(self, worker: str, request: ClaimRequest) -> list[ClaimedJob]:
        ids = _array(request.ids or ())
        parameters = {"worker": worker, "backend": request.backend, "ids": ids}
        with self._cursor() as cursor:
            cursor.execute(statement("postgresql", "claim_ids"), parameters)
            return sorted((ClaimedJob(*row) for row in cursor.fetchall()), key=ClaimedJob.urgency)

    def promote(self) -> int:
        with transaction.atomic(self.using), self.connection.cursor() as cursor:
            cursor.execute(statement("postgresql", "promote"), {"limit": MAX_ROWS_PER_STATEMENT})
            keys = [key for (key,) in cursor.fetchall()]
            self.add_notices(dict.fromkeys(key for key in keys if key is not None))
        return len(keys)

    # --- workflows --------------------------------------------------------------------------

    def _insert_part_rows(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._execute_arrays("insert_parts", PART_COLUMNS, rows)

    def _insert_dependencies(self, dependencies: Sequence[NewDependency]) -> None:
        self._execute_arrays("insert_dependencies", NewDependency._fields, dependencies)

    # --- limits -----------------------------------------------------------------------------

    def _insert_notice_rows(self, rows: Sequence[tuple[str, str]]) -> None:
        self._execute_arrays("add_notices", ("limit_keys", "details"), rows)

    def _write_definitions(self, code: Sequence[tuple[str, str, int, int]]) -> None:
        columns = ("names", "definitions", "loaded_at", "seen_at")
        self._execute_arrays("keep_definitions", columns, code)

    def _make_missing(self, rows: Sequence[dict[str, Any]]) -> Collection[str]:
        """Add rows by a statement that is planned each time, for the size that the table has now.

        A plan that was made while it was empty would scan it.
        """
        columns = (
            *("limit_key", "name", "parent", "backend", "queue_name", "is_async"),
            *("max_running", "weight"),
        )
        parameters = _array_parameters(columns, _values(columns, rows))
        parameters["open_at"] = rows[0]["open_at"]
        with self.connection.cursor() as cursor:
            cursor.execute(statement("postgresql", "add_keys"), parameters)
            return {key for (key,) in cursor.fetchall()}

    def _open_unlocked(
        self, keys: KeysToOpen, limits: Mapping[str, LimitNumbers], entered: Mapping[str, int]
    ) -> set[str]:
        rows = [
            opening(key, details, limits) | {"entered": entered.get(key)}
            for key, details in keys.items()
        ]
        columns = (
            *("limit_key", "parent", "is_known", "backend", "queue_name", "is_async"),
            *("max_running", "weight", "entered"),
        )
        parameters = _array_parameters(columns, _values(columns, rows))
        with self._cursor() as cursor:
            cursor.execute(statement("postgresql", "open_keys"), parameters)
            return {key for (key,) in cursor.fetchall()}

    def count_held(self, keys: Sequence[OpenKey]) -> dict[str, tuple[int, Place | None]]:
        columns = ("limit_keys", "held_from", "held_from_id")
        rows = [(key.limit_key, key.held_from, key.held_from_id) for key in keys]
        with self._cursor() as cursor:
            cursor.execute(statement("postgresql", "count_held"), _array_parameters(columns, rows))
            return {key: (count, tuple(first)) for key, count, *first in cursor.fetchall() if count}

    def claim_of_keys(
        self,
        worker: str,
        request: LimitedRequest,
        kinds: Sequence[bool],
        counts: Mapping[OpenKey, int],
        now: int,
    ) -> list[ClaimedJob]:
        parameters = self._from_where(request, kinds) | {"worker": worker, "now": now}
        columns = ("limit_keys", "counts", "line_from", "line_from_id")
        rows = [
            (key.limit_key, count, key.line_from, key.line_from_id) for key, count in counts.items()
        ]
        parameters |= _array_parameters(columns, rows)
        with self._cursor() as cursor:
            cursor.execute(statement("postgresql", "claim_limited"), parameters)
            return [ClaimedJob(*row) for row in cursor.fetchall()]

    def close_keys(self, closed: Sequence[ClosedKey]) -> None:
        if closed:
            self._execute_arrays("close_keys", ClosedKey._fields, closed)

    def _list(self, values: Sequence[Any]) -> Any:
        return _array(values)

    def _execute_arrays(
        self, name: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Execute a statement whose parameters are one array for each column of the rows."""
        with self._cursor() as cursor:
            cursor.execute(statement("postgresql", name), _array_parameters(columns, rows))


@cache
def claim_statement(ready: str, *, has_caps: bool) -> str:
    """Return the claim: how it finds ready jobs, and whether it knows limits of queues."""
    queues, per_queue = "unnest(%(queues)s::text[]) AS queue (name)", "kind.per_queue"
    start = f"(SELECT {CLOCKS['postgresql']})"  # computed once, not for each row
    if has_caps:
        queues = (
            "unnest(%(queues)s::text[], %(sync_caps)s::int[], %(async_caps)s::int[])"
            " AS queue (name, sync_cap, async_cap)"
        )
        per_queue = (
            "least(kind.per_queue,"
            " CASE WHEN kind.is_async THEN queue.async_cap ELSE queue.sync_cap END)"
        )
        start = "%(now)s"  # the time that the rates of queues go by
    sql = statement("postgresql", "claim").replace("{ready}", statement("postgresql", ready))
    parts = {"queues": queues, "per_queue": per_queue, "start": start}
    for name, text in parts.items():
        sql = sql.replace(f"{{{name}}}", text)
    return sql


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


def _values(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Sequence[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in rows]


def _array(values: Iterable[str | float | None]) -> str:
    """Return an array in PostgreSQL's text format, ten times as fast as the driver does."""
    return f"{{{','.join(map(_array_item, values))}}}"


def _bare_array(values: Iterable[str | int]) -> str:
    """Return an array of numbers or ids, which need no quotes."""
    return f"{{{','.join(map(str, values))}}}"


def _array_item(value: str | float | None) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if value is None:
        return "NULL"
    return str(value)
