"""Celery's result backend `offload://`: the states of plain Celery tasks, in rows of the project.

CELERY_RESULT_BACKEND = "offload://"        # DATABASES["default"]
CELERY_RESULT_BACKEND = "offload://queue"   # DATABASES["queue"]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections

from offload.celery_results import exceptions, running
from offload.celery_results.channel import (
    Channel,
    callers_channel,
    end_part,
    is_worker,
    workers_channel,
)
from offload.celery_results.chords import Chords
from offload.celery_results.ids import is_own_text, job_id, worker_id
from offload.celery_results.library import json, result_from_tuple, states
from offload.celery_results.meta import WRAPPER, pack, plain_json, progress_text, read_meta, unpack
from offload.celery_results.publishing import expect_message, take_retry_time
from offload.celery_results.rows import HEADER, attempts_before, caller_header, reported_row
from offload.celery_results.waiting import Waiting
from offload.lifecycle import JobState
from offload.store.celery_records import CELERY, CeleryWrite, CountedPart, StoredResult
from offload.timestamps import now_microseconds

JSON = "json"
"""The serializer whose results pages can show."""
EXPIRED = "expired"
"""Celery's reason of REVOKED for a task that was not started in time."""
_STATES = {
    states.PENDING: JobState.READY,
    states.RECEIVED: JobState.READY,
    states.RETRY: JobState.READY,
    states.SUCCESS: JobState.SUCCESSFUL,
    states.FAILURE: JobState.FAILED,
    states.REVOKED: JobState.CANCELLED,
}
"""All others are states of running tasks."""


class OffloadResults(Chords, Waiting):
    """Keeps the states and results of tasks in the rows that pages, streams and the admin show."""

    persistent = True
    supports_autoexpire = False

    def __init__(self, app: Any, url: str | None = None, **kwargs: Any) -> None:
        super().__init__(app, url=url, **kwargs)
        alias = (url or "").partition("://")[2].strip("/")
        self.using = alias or DEFAULT_DB_ALIAS
        if self.using not in connections:
            raise ImproperlyConfigured(
                f"Celery's result backend is {url!r}, but {alias!r} is not in DATABASES "
                f"({', '.join(sorted(connections))}). Set CELERY_RESULT_BACKEND to 'offload://' "
                "or to 'offload://' and one of these."
            )

    def as_uri(self, include_password: bool = False) -> str:
        return f"{CELERY}{'' if self.using == DEFAULT_DB_ALIAS else self.using}"

    def __reduce__(self, args: Any = (), kwargs: Any = None) -> Any:
        return super().__reduce__(args, {**(kwargs or {}), "url": self.as_uri()})

    def channel(self, request: Any = None) -> Channel:
        is_eager = request is not None and request.is_eager
        by_worker = is_worker(self.app) and not is_eager
        return workers_channel(self.using) if by_worker else callers_channel(self.using)

    def on_task_call(self, producer: Any, task_id: str) -> dict[str, Any]:
        expect_message(self.channel(), task_id)
        return {}

    # --- writing ------------------------------------------------------------------------------

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Any = None,
        store_result: bool = True,
        state: str = states.SUCCESS,
    ) -> None:
        """Store the result of a task; that of a part of a chord together with its count."""
        is_part = request is not None and request.chord and request.group and request.id == task_id
        if not is_part or not store_result or request.ignore_result:
            super().mark_as_done(task_id, result, request, store_result, state)
            return
        part = self.ended_part(request, state, result)
        counted: list[CountedPart] = []

        def put(write: CeleryWrite) -> None:
            counted.append(self.channel(request).call(partial(end_part, write, part)))

        self.store_result(task_id, result, state, request=request, put=put)
        self.follow_part(request, counted[-1])

    def encode_result(self, result: Any, state: str) -> Any:
        if state not in self.EXCEPTION_STATES:
            return self.prepare_value(result)
        if isinstance(result, Mapping) and "exc_type" in result:
            return result  # encoded before
        if not isinstance(result, BaseException):
            result = Exception(result)  # update_state() with a value, which no reader could raise
        return self.prepare_exception(exceptions.original(result))

    def prepare_exception(self, exc: BaseException, serializer: str | None = None) -> Any:
        prepared = super().prepare_exception(exc, serializer)
        is_text = isinstance(prepared, Mapping)
        return exceptions.describe(exc, self.encode) if is_text else prepared

    def exception_to_python(self, exc: Any) -> Any:
        if isinstance(exc, Mapping):
            return exceptions.rebuild(exc)
        return super().exception_to_python(exc)

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Any = None,
        put: Callable[[CeleryWrite], None] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Write a state, by `put` if it is given."""
        if task_id is None:
            raise ValueError("A state cannot be stored without the id of a task.")
        own = request if getattr(request, "id", None) == task_id else None
        write = self._write(task_id, result, state, traceback, own)
        waits = write.state.is_finished or state == states.RETRY
        if put is None:
            self.channel(request).write(write, waits=waits)
        else:
            put(write)
        self._cache.pop(task_id, None)
        return result

    def _write(
        self, task_id: str, result: Any, state: str, traceback: str | None, request: Any
    ) -> CeleryWrite:
        job_state = _STATES.get(state, JobState.RUNNING)
        run_after = None
        if state == states.RETRY:
            run_after = take_retry_time(task_id)
            is_later = run_after is not None and run_after > now_microseconds()
            job_state = JobState.SCHEDULED if is_later else JobState.READY
        if state == states.REVOKED and _text_of(result) == EXPIRED:
            job_state = JobState.EXPIRED
        note, return_value = self._stored(task_id, result, state, traceback, request)
        failure = None
        if state in (states.FAILURE, states.RETRY):
            failure = (_class_path(result), _text_of(result), traceback or "")
        header = getattr(request, HEADER, None)
        caller = header if isinstance(header, Mapping) else caller_header()
        attempt = 0
        if request is not None:
            attempt = attempts_before(request) + int(request.retries or 0) + 1
        return CeleryWrite(
            id=str(job_id(task_id)),
            state=job_state,
            attempt=attempt,
            follows=_followed(job_state, attempt),
            worker=worker_id(getattr(request, "hostname", None)),
            new_row=lambda: reported_row(task_id, request, caller),
            run_after=run_after,
            started_at=running.started_at(request),
            progress=progress_text(note, None if state in _STATES else result),
            return_value=return_value,
            failure=failure,
        )

    def _stored(
        self, task_id: str, result: Any, state: str, traceback: str | None, request: Any
    ) -> tuple[str, str | None]:
        """Return what is kept for Celery, and the return value for everybody, as JSON texts."""
        meta = self._get_result_meta(result, state, traceback, request)
        if is_own_text(task_id):
            meta["task_id"] = task_id
        if self.serializer != JSON:
            return json.dumps({"packed": pack(self.encode(meta))}), None
        if state != states.SUCCESS:
            return self.encode(meta), None
        text = self.encode(result)
        if WRAPPER not in text:  # stored once
            del meta["result"]
        return self.encode(meta), plain_json(text)

    # --- reading ------------------------------------------------------------------------------

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        return self.get_metas([task_id])[task_id]

    def get_metas(self, task_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        ids = {job_id(task_id): task_id for task_id in task_ids}
        found = {ids[row.id]: self._meta(row) for row in self._read(list(ids))}
        missing = {"status": states.PENDING, "result": None}
        return {task_id: found.get(task_id) or {**missing} for task_id in ids.values()}

    def task_result_exists(self, task_id: str) -> bool:
        """Return whether there is a task with this id, queued ones included."""
        return bool(self._read([job_id(task_id)]))

    def _read(self, ids: Sequence[Any]) -> list[StoredResult]:
        return callers_channel(self.using).call(lambda store: store.celery_results(ids))

    def _meta(self, row: StoredResult) -> dict[str, Any]:
        """Return what Celery shows of a row."""
        meta = read_meta(row.progress)
        if "packed" in meta:
            meta = self.decode(unpack(meta["packed"]))
        meta.setdefault("status", states.PENDING)
        if "result" not in meta:
            text = row.return_value
            meta["result"] = None if text is None else self.decode(text)
        args, kwargs = _arguments(row.arguments)
        known = {
            "task_id": None,
            "traceback": None,
            "children": [],
            "date_done": None,
            "name": row.task_path,
            "args": args,
            "kwargs": kwargs,
            "retries": max(row.attempt - 1, 0),
            "queue": row.queue_name,
        }
        meta = known | {name: value for name, value in meta.items() if value is not None}
        meta.setdefault("result", None)
        meta["task_id"] = meta["task_id"] or str(row.id)
        return self.meta_from_decoded(meta)  # type: ignore[no-any-return]

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        return isinstance(exc, OperationalError | InterfaceError)

    # --- groups and old results ---------------------------------------------------------------

    def _save_group(self, group_id: str, result: Any) -> Any:
        text = pack(self.encode(result.as_tuple()))
        group = job_id(group_id)
        self.channel().call(lambda store: store.save_celery_group(group, text))
        return result

    def _restore_group(self, group_id: str) -> dict[str, Any] | None:
        group = job_id(group_id)
        text = callers_channel(self.using).call(lambda store: store.celery_group(group))
        if text is None:
            return None
        return {"result": result_from_tuple(self.decode(unpack(text)), self.app)}

    def _delete_group(self, group_id: str) -> None:
        group = job_id(group_id)
        self.channel().call(lambda store: store.delete_celery_group(group))

    def _forget(self, task_id: str) -> None:
        job = job_id(task_id)
        self.channel().call(lambda store: store.forget(job))

    def cleanup(self) -> None:
        """Delete the results of tasks that ended longer ago than `result_expires`."""
        if not self.expires:
            return
        before = datetime.now(UTC) - timedelta(seconds=self.expires)
        self.channel().call(lambda store: store.prune_celery(before=before))


def _followed(state: JobState, attempt: int) -> tuple[JobState, JobState]:
    """Return which states of the same attempt a report may follow: the lowest and the highest.

    Args:
        state: that is reported.
        attempt: its number; 0 if it is not known.
    """
    if state == JobState.CANCELLED and not attempt:  # if it runs, it goes on
        return JobState.LIMITED, JobState.READY
    if state.is_finished or not attempt:
        return JobState.LIMITED, JobState.RUNNING
    return JobState.RUNNING, JobState.RUNNING


def _arguments(text: str) -> tuple[Any, Any]:
    try:
        args, kwargs = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None, None
    return args, kwargs


def _class_path(error: Any) -> str:
    """Return the path of the class of an exception, as it was prepared."""
    if isinstance(error, Mapping):
        return f"{error['exc_module']}.{error['exc_type']}"
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _text_of(error: Any) -> str:
    return str(error.get("exc_text", "")) if isinstance(error, Mapping) else str(error)
