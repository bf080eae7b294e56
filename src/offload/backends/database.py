"""The backend that stores jobs in the project's database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.tasks import Task
from django.tasks.exceptions import TaskResultDoesNotExist
from django.utils.asyncio import async_unsafe

from offload.backends.base import OffloadBackend
from offload.backends.calls import (
    IN_ASYNC,
    EncodedCall,
    encode_calls,
    parse_job_id,
    send_task_enqueued,
)
from offload.backends.changes import cancel_job, explain_state, retry_job
from offload.backends.deadlocks import refuse_deadlock
from offload.backends.queue_guard import guard_of
from offload.backends.rows import CallKeys, JobBatch, result_from_row
from offload.backends.unique_calls import UniqueCalls
from offload.backends.workflows import announce_workflow, new_in_queues
from offload.exceptions import InvalidJobState, OffloadError, TaskResultExpired
from offload.lifecycle import JobState
from offload.reserved_ids import take_reserved_id
from offload.results import OffloadResult, WorkflowResult
from offload.store import get_store
from offload.store.celery_records import CELERY
from offload.store.errors import explained
from offload.store.workflow_records import JOINT_PATH
from offload.tasks import Call
from offload.uuid7 import created_at, new_id
from offload.watching.watcher import get_watcher

if TYPE_CHECKING:
    from offload.models import Attempt, Job
    from offload.store.base import Store
    from offload.store.queue_records import LimitsChange, Pause, QueueRule
    from offload.store.workflow_records import NewWorkflow


class DatabaseBackend(OffloadBackend):
    """A backend whose jobs are rows, so that enqueueing is part of the caller's transaction.

    TASKS = {"default": {"BACKEND": "offload.backends.database.DatabaseBackend"}}
    """

    supports_live: ClassVar[bool] = True

    def enqueue(  # type: ignore[override]  # a narrower result
        self, task: Task[..., Any], args: Any, kwargs: Mapping[str, Any]
    ) -> OffloadResult[Any]:
        """Add a job in the caller's transaction; a hint wakes a worker after the commit.

        Raises:
            InvalidTask: for a task or queue that this backend cannot serve.
            InvalidArguments, TypeError: for arguments that are not exact JSON, before any SQL.
            QueueFull: if too many jobs wait in the queue; not inside a job.
            QueueUnavailable: if the database does not respond, or was not migrated.
        """
        return self.enqueue_many(task, [(args, kwargs)])[0]

    @async_unsafe(IN_ASYNC.format("enqueue", "aenqueue"))
    def enqueue_many(self, task: Task[..., Any], calls: Iterable[Call]) -> list[OffloadResult[Any]]:
        self.validate_task(task)
        encoded = encode_calls(task, calls, max_bytes=self.settings.max_arguments_size)
        store = self._store
        with explained(store.using):  # store.key reads the type of the ids from MariaDB
            batch = JobBatch(task, self.alias, self.settings, store.key)
            if batch.unique is not None:
                return self._enqueue_unique(batch, encoded)
            keys = batch.limit_keys(encoded)
            if encoded and batch.needs_room:
                guard_of(self.alias, self.settings).admit(store, task.queue_name, len(encoded))
            jobs = [(store.key(take_reserved_id() or new_id()), *call) for call in encoded]
        if jobs:
            self._insert(batch, [(key, text) for key, text, _, _ in jobs], keys)
        results = [batch.result(key, args, kwargs) for key, _, args, kwargs in jobs]
        send_task_enqueued(type(self), results)
        return results

    def _enqueue_unique(
        self, batch: JobBatch, encoded: Sequence[EncodedCall]
    ) -> list[OffloadResult[Any]]:
        """Add jobs, or find those that hold the keys of the calls."""
        store = self._store
        calls = UniqueCalls(batch, encoded, store.key)
        if not calls.calls:
            return []
        first = batch.row(*calls.calls[0][:2])
        if batch.needs_room:
            guard_of(self.alias, self.settings).admit(store, first.queue_name, len(calls.calls))
        is_undone = batch.raises and len(calls.calls) > 1  # of one call nothing remains
        with transaction.atomic(store.using) if is_undone else nullcontext():
            rows = store.insert_unique(first, calls.calls, batch.unique_terms(), calls.limits)
            holders = {
                key: result_from_row(row, store.attempts_at(row)) for key, row in rows.items()
            }
            results = calls.finish(holders)
        send_task_enqueued(type(self), [result for result in results if result.is_new])
        return results

    def _insert(
        self, batch: JobBatch, jobs: Sequence[tuple[str, str]], keys: CallKeys | None
    ) -> None:
        store = self._store
        with explained(store.using):
            first = batch.row(*jobs[0])
            if keys is not None:
                rows = batch.limited_rows(jobs, keys.keys)
                store.insert_limited(first, rows, keys.details)
            elif len(jobs) == 1:
                store.insert(first)
            else:
                store.insert_many(first, jobs)

    @property
    def row_key(self) -> Callable[[UUID], str]:
        store = self._store
        with explained(store.using):  # it reads the type of the ids from MariaDB, once
            store.key(UUID(int=0))
        return store.key

    def enqueue_workflow(self, workflow: NewWorkflow) -> WorkflowResult[Any]:
        store = self._store
        with explained(store.using):
            for queue_name, count in new_in_queues(workflow).items():
                guard_of(self.alias, self.settings).admit(store, queue_name, count)
            store.insert_workflow(*workflow)
        return announce_workflow(type(self), workflow)

    @async_unsafe(IN_ASYNC.format("nodes() and node", "sync_to_async(result.nodes)"))
    def parts(self, result_id: str) -> list[OffloadResult[Any]]:
        with explained(self._store.using):
            rows = self._store.parts(parse_job_id(result_id))
            return [
                self._result(job, attempts) for job, attempts in rows if job.task_path != JOINT_PATH
            ]

    @async_unsafe(IN_ASYNC.format("parts", "sync_to_async"))
    def count_parts(self, result_id: str) -> dict[JobState, int]:
        with explained(self._store.using):
            return self._store.count_parts(parse_job_id(result_id))

    def results_before(self, result_id: str) -> Iterator[Any]:
        with explained(self._store.using):
            yield from self._store.results_before(parse_job_id(result_id))

    def unsuccessful_before(self, ids: Collection[UUID]) -> list[tuple[UUID, JobState]]:
        with explained(self._store.using):
            return self._store.unsuccessful_before(ids)

    def parts_after(self, result_id: str) -> list[Job]:
        with explained(self._store.using):
            return self._store.parts_after(parse_job_id(result_id))

    def released_at(self, result_id: str) -> datetime | None:
        with explained(self._store.using):
            return self._store.released_at(parse_job_id(result_id))

    @async_unsafe(IN_ASYNC.format("get_result() and refresh", "aget_result() or arefresh"))
    def get_result(self, result_id: str) -> OffloadResult[Any]:
        """Return the current result of a job.

        Raises:
            TaskResultExpired: if the id is so old that the job would have been pruned.
            TaskResultDoesNotExist: if there is no such job.
            QueueUnavailable: if the database does not respond, or was not migrated.
        """
        identifier = parse_job_id(result_id)
        with explained(self._store.using):
            job, attempts = self._store.read(identifier)
            if job is not None:
                return self._result(job, attempts)
        raise self._missing(identifier)

    def find(self, ids: Collection[UUID], *, with_arguments: bool = False) -> list[Job]:
        with explained(self._store.using):
            return self._store.find(ids, with_arguments=with_arguments)

    def failures(self, ids: Collection[UUID]) -> dict[UUID, Attempt]:
        with explained(self._store.using):
            return self._store.failures(ids)

    def result_of(self, job: Job) -> OffloadResult[Any]:
        with explained(self._store.using):
            return self._result(job, self._store.attempts_at(job))

    @async_unsafe(IN_ASYNC.format("wait", "wait_async"))
    def wait(self, result_id: str, timeout: float | None) -> None:
        identifier = parse_job_id(result_id)
        if self._needs_no_wait(identifier):
            return
        if not get_watcher(self._store.using).wait(identifier, timeout):
            self._require_finished(identifier, timeout)

    async def wait_async(self, result_id: str, timeout: float | None) -> None:  # noqa: ASYNC109
        identifier = parse_job_id(result_id)
        if await sync_to_async(self._needs_no_wait)(identifier):
            return
        try:
            async with asyncio.timeout(timeout):
                await get_watcher(self._store.using).wait_async(identifier)
                return
        except TimeoutError:
            pass
        await sync_to_async(self._require_finished)(identifier, timeout)

    def _needs_no_wait(self, identifier: UUID) -> bool:
        """Return whether the job has finished; raise if waiting for it might never end."""
        if self._has_finished(identifier):
            return True
        with explained(self._store.using):
            refuse_deadlock(self._store, identifier)
        return False

    def _has_finished(self, identifier: UUID) -> bool:
        """Return whether the job has finished; database errors are raised here, in this thread."""
        store = self._store
        if store.connection.in_atomic_block:
            raise OffloadError(
                "wait() inside a transaction would never return: neither can a worker see the job, "
                "nor can this transaction see it finish. Wait after it (transaction.on_commit); in "
                "a TestCase call offload.testing.run_jobs(), and then refresh()."
            )
        with explained(store.using):
            return bool(store.finished([identifier]))

    @async_unsafe(IN_ASYNC.format("cancel", "acancel"))
    def cancel(self, result_id: str) -> None:
        with explained(self._store.using):
            state = cancel_job(self._store, parse_job_id(result_id))
        if state is None:
            raise self._invalid_state("cancel", result_id)

    @async_unsafe(IN_ASYNC.format("retry", "aretry"))
    def retry(self, result_id: str) -> None:
        with explained(self._store.using):
            retried = retry_job(self._store, parse_job_id(result_id))
        if not retried:
            raise self._invalid_state("retry", result_id)

    def pause_queue(self, name: str, pause: Pause) -> None:
        with explained(self._store.using):
            self._store.pause_queue(self.alias, name, pause)

    def resume_queue(self, name: str) -> None:
        with explained(self._store.using):
            self._store.resume_queue(self.alias, name)

    def write_task_pause(self, path: str, pause: Pause | None) -> None:
        with explained(self._store.using):
            if pause is None:
                self._store.resume_task(self.alias, path)
            else:
                self._store.pause_task(self.alias, path, pause)

    def task_pauses(self) -> dict[str, tuple[Pause, int]]:
        store = self._store
        with explained(store.using):
            rows = store.rules(self.alias).tasks
            return {path: (row.pause, store.count_parked(row)) for path, row in rows.items()}

    def limit_queue(self, name: str, change: LimitsChange | None) -> None:
        store = self._store
        with explained(store.using):
            if change is None:
                store.reset_queue_limits(self.alias, name)
            else:
                store.limit_queue(self.alias, name, change)
        guard_of(self.alias, self.settings).forget_with(store.using)

    def queue_rules(self) -> dict[str, QueueRule]:
        with explained(self._store.using):
            return self._store.queue_rules(self.alias)

    def count_unfinished(self, queue_name: str | None = None) -> dict[JobState, dict[str, int]]:
        from offload.store.queries import count_unfinished  # noqa: PLC0415  # needs the app registry

        with explained(self._store.using):
            return count_unfinished(self._store.using, self.alias, queue_name)

    def check(self, **kwargs: Any) -> Iterator[CheckMessage]:  # type: ignore[override]
        problems = list(super().check(**kwargs))
        yield from problems
        if not problems:
            try:
                _ = self._store
            except ImproperlyConfigured as error:
                yield Error(
                    f"TASKS[{self.alias!r}]: {error}",
                    hint="Jobs are stored in the tables of the app 'offload', in one of DATABASES.",
                    id="offload.E002",
                )

    @property
    def _store(self) -> Store:
        return get_store(self.settings.database)

    def _result(self, job: Job, attempts: Sequence[Attempt]) -> OffloadResult[Any]:
        job.return_value = self._store.return_value_of(job)
        return result_from_row(job, attempts, self.alias if job.backend == CELERY else "")

    def _invalid_state(self, action: str, result_id: str) -> InvalidJobState:
        identifier = parse_job_id(result_id)
        job, _ = self._store.read(identifier)
        if job is None:
            raise self._missing(identifier)
        return InvalidJobState(explain_state(job, action))

    def _missing(self, identifier: UUID) -> TaskResultDoesNotExist:
        """Return the error for a job that does not exist, whose id contains its time."""
        periods = (self.settings.keep_successful, self.settings.keep_failed)
        shortest = min((period for period in periods if period is not None), default=None)
        try:
            # The ids of a large bulk are some milliseconds ahead of the clock.
            age = max(datetime.now(UTC) - created_at(identifier), timedelta(0))
        except ValueError:  # not an id that django-offload made
            age = None
        if age is not None and shortest is not None and age >= shortest:
            return TaskResultExpired(f"The job {identifier} was pruned: it is {age.days} days old.")
        return TaskResultDoesNotExist(
            f"There is no job {identifier}. Was the transaction that enqueued it rolled back?"
        )

    def _require_finished(self, identifier: UUID, timeout: float | None) -> None:
        """Raise TimeoutError unless the job has finished without being noticed."""
        if not self._has_finished(identifier):
            raise self._timed_out(identifier, timeout)

    def _timed_out(self, identifier: UUID, timeout: float | None) -> TimeoutError:
        from offload.store.queries import (  # noqa: PLC0415  # needs the app registry
            live_workers,
            runs_jobs,
        )

        hint = ""
        jobs = self.find([identifier])
        rules = self._store.rules(self.alias)
        if any(job.queue_name in rules.paused_queues for job in jobs):
            hint = f" Its queue is paused: python manage.py offload_jobs show {identifier}"
        elif any(job.task_path in rules.tasks for job in jobs):
            hint = f" Its task is paused: python manage.py offload_jobs show {identifier}"
        elif not any(map(runs_jobs, live_workers(self.settings.database, self.alias))):
            hint = " No worker is running; start one: python manage.py offload_worker"
        elif any(job.state == JobState.LIMITED for job in jobs):
            hint = f" It waits for its turn: python manage.py offload_jobs show {identifier}"
        return TimeoutError(f"The job {identifier} had not finished after {timeout:g} s.{hint}")
