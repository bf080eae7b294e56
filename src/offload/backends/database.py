"""The backend that stores jobs in the project's database."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.tasks import Task
from django.tasks.exceptions import TaskResultDoesNotExist

from offload.backends.base import OffloadBackend
from offload.backends.calls import encode_calls, parse_job_id, send_task_enqueued
from offload.backends.changes import cancel_job, explain_state, retry_job
from offload.backends.rows import JobBatch, result_from_row
from offload.exceptions import InvalidJobState, OffloadError, TaskResultExpired
from offload.ownership import take_reserved_id
from offload.results import OffloadResult
from offload.store import get_store
from offload.store.errors import explained
from offload.tasks import Call
from offload.uuid7 import created_at, new_id
from offload.watching.watcher import get_watcher

if TYPE_CHECKING:
    from offload.models import Attempt, Job
    from offload.store.base import Store


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
            QueueUnavailable: if the database does not respond, or was not migrated.
        """
        return self.enqueue_many(task, [(args, kwargs)])[0]

    def enqueue_many(self, task: Task[..., Any], calls: Iterable[Call]) -> list[OffloadResult[Any]]:
        self.validate_task(task)
        encoded = encode_calls(task, calls, max_bytes=self.settings.max_arguments_size)
        store = self._store
        with explained(store.using):  # store.key reads the type of the ids from MariaDB
            batch = JobBatch(task, self.alias, self.settings, store.key)
            jobs = [(store.key(take_reserved_id() or new_id()), *call) for call in encoded]
        if jobs:
            self._insert(batch, [(key, text) for key, text, _, _ in jobs])
        results = [batch.result(key, args, kwargs) for key, _, args, kwargs in jobs]
        send_task_enqueued(type(self), results)
        return results

    def _insert(self, batch: JobBatch, jobs: Sequence[tuple[str, str]]) -> None:
        store = self._store
        with explained(store.using):
            first = batch.row(*jobs[0])
            if len(jobs) == 1:
                store.insert(first)
            else:
                store.insert_many(first, jobs)

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
        if job is None:
            raise self._missing(identifier)
        return result_from_row(job, attempts)

    def find(self, ids: Collection[UUID]) -> list[Job]:
        with explained(self._store.using):
            return self._store.find(ids)

    def failures(self, ids: Collection[UUID]) -> dict[UUID, Attempt]:
        with explained(self._store.using):
            return self._store.failures(ids)

    def result_of(self, job: Job) -> OffloadResult[Any]:
        with explained(self._store.using):
            return result_from_row(job, self._store.attempts_at(job))

    def wait(self, result_id: str, timeout: float | None) -> None:
        identifier = parse_job_id(result_id)
        if self._has_finished(identifier):
            return
        if not get_watcher(self._store.using).wait(identifier, timeout):
            self._require_finished(identifier, timeout)

    async def wait_async(self, result_id: str, timeout: float | None) -> None:  # noqa: ASYNC109
        identifier = parse_job_id(result_id)
        if await sync_to_async(self._has_finished)(identifier):
            return
        try:
            async with asyncio.timeout(timeout):
                await get_watcher(self._store.using).wait_async(identifier)
                return
        except TimeoutError:
            pass
        await sync_to_async(self._require_finished)(identifier, timeout)

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

    def cancel(self, result_id: str) -> None:
        with explained(self._store.using):
            state = cancel_job(self._store, parse_job_id(result_id))
        if state is None:
            raise self._invalid_state("cancel", result_id)

    def retry(self, result_id: str) -> None:
        with explained(self._store.using):
            retried = retry_job(self._store, parse_job_id(result_id))
        if not retried:
            raise self._invalid_state("retry", result_id)

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

    def _invalid_state(self, action: str, result_id: str) -> InvalidJobState:
        return InvalidJobState(explain_state(result_id, self.get_result(result_id).state, action))

    def _missing(self, identifier: UUID) -> TaskResultDoesNotExist:
        """Return the error for a job that does not exist, whose id contains its time."""
        periods = (self.settings.keep_successful, self.settings.keep_failed)
        shortest = min((period for period in periods if period is not None), default=None)
        try:
            age = datetime.now(UTC) - created_at(identifier)
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
        from offload.store.queries import live_workers  # noqa: PLC0415  # needs the app registry

        hint = ""
        if not live_workers(self.settings.database, self.alias):
            hint = " No worker is running; start one: python manage.py offload_worker"
        return TimeoutError(f"The job {identifier} had not finished after {timeout:g} s.{hint}")
