"""Backends for tests: they keep jobs in memory, and accept the same calls as in production."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.tasks import Task
from django.tasks.exceptions import TaskResultDoesNotExist
from django.utils.asyncio import async_unsafe

from offload.backends.base import OffloadBackend
from offload.backends.calls import encode_calls, parse_job_id, send_task_enqueued
from offload.backends.changes import explain_state, send_cancelled, send_retried
from offload.backends.rows import JobBatch
from offload.exceptions import InvalidJobState, OffloadError
from offload.lifecycle import JobState
from offload.ownership import take_reserved_id
from offload.results import OffloadResult
from offload.tasks import Call
from offload.uuid7 import new_id

if TYPE_CHECKING:
    from offload.models import Attempt, Job
    from offload.testing.recorded import RecordedJob


class RecordingBackend(OffloadBackend):
    """A backend that records jobs and does not run them; `run_jobs` can run them later.

    TASKS = {"default": {"BACKEND": "offload.testing.RecordingBackend"}}
    """

    def enqueue(  # type: ignore[override]  # a narrower result
        self, task: Task[..., Any], args: Any, kwargs: Mapping[str, Any]
    ) -> OffloadResult[Any]:
        """Record a job, after the checks that the DatabaseBackend makes."""
        return self.enqueue_many(task, [(args, kwargs)])[0]

    @async_unsafe("enqueue() blocks, as it does in production: in async code await aenqueue().")
    def enqueue_many(self, task: Task[..., Any], calls: Iterable[Call]) -> list[OffloadResult[Any]]:
        from offload.testing.recorded import RecordedJob, add_jobs  # noqa: PLC0415  # app registry

        self.validate_task(task)
        encoded = encode_calls(task, calls, max_bytes=self.settings.max_arguments_size)
        batch = JobBatch(task, self.alias, self.settings, str)
        jobs, results = [], []
        for arguments, args, kwargs in encoded:
            key = str(take_reserved_id() or new_id())
            jobs.append(RecordedJob(batch.row(key, arguments), self.settings.database))
            results.append(batch.result(key, args, kwargs))
        add_jobs(jobs)
        send_task_enqueued(type(self), results)
        return results

    def get_result(self, result_id: str) -> OffloadResult[Any]:
        return self._job(result_id).result()

    def find(self, ids: Collection[UUID]) -> list[Job]:
        """Return the rows of jobs, which are not in the database."""
        return [job.row for job in _recorded(ids)]

    def failures(self, ids: Collection[UUID]) -> dict[UUID, Attempt]:
        return {job.row.pk: job.attempts[-1] for job in _recorded(ids) if job.attempts}

    def result_of(self, job: Job) -> OffloadResult[Any]:
        return self.get_result(str(job.pk))

    def wait(self, result_id: str, timeout: float | None) -> None:  # noqa: ARG002
        if not self.get_result(result_id).is_finished:
            raise OffloadError(
                f"Waiting for job {result_id} would never return: {type(self).__name__} runs no "
                "jobs. Call offload.testing.run_jobs() first."
            )

    async def wait_async(self, result_id: str, timeout: float | None) -> None:  # noqa: ASYNC109
        self.wait(result_id, timeout)

    def cancel(self, result_id: str) -> None:
        job = self._job(result_id)
        if not job.cancel():
            raise _invalid_state(job, "cancel")
        if job.row.state == JobState.CANCELLED:
            send_cancelled(job.result())

    def retry(self, result_id: str) -> None:
        job = self._job(result_id)
        if not job.retry():
            raise _invalid_state(job, "retry")
        send_retried(job.result())

    def run(self, pk: UUID) -> BaseException | None:
        """Run all attempts of a recorded job; return why it failed."""
        return self._job(pk).run()

    def clear(self) -> None:
        """Delete the recorded jobs, as `clear()` of Django's DummyBackend does."""
        from offload.testing.recorded import clear_jobs  # noqa: PLC0415  # app registry

        clear_jobs(self.alias)

    def _job(self, result_id: object) -> RecordedJob:
        pk = parse_job_id(result_id)
        jobs = _recorded([pk])
        if not jobs:
            raise TaskResultDoesNotExist(f"There is no job {pk}: it was not enqueued in this test.")
        return jobs[0]


class ImmediateBackend(RecordingBackend):
    """A backend that runs each job when it is enqueued: all attempts, without delays.

    TASKS = {"default": {"BACKEND": "offload.testing.ImmediateBackend"}}

    With OPTIONS["raise_errors"], `enqueue` raises the exception of a job that fails.
    """

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self.options = dict(self.options)
        self.raise_errors = bool(self.options.pop("raise_errors", False))

    def enqueue_many(self, task: Task[..., Any], calls: Iterable[Call]) -> list[OffloadResult[Any]]:
        results = super().enqueue_many(task, calls)
        for result in results:
            error = self.run(UUID(result.id))
            result.refresh()
            if error is not None and self.raise_errors:
                raise error
        return results

    def retry(self, result_id: str) -> None:
        super().retry(result_id)
        self.run(UUID(result_id))


def _recorded(ids: Iterable[UUID]) -> list[RecordedJob]:
    from offload.testing.recorded import find_recorded_jobs  # noqa: PLC0415  # needs the app registry

    return find_recorded_jobs(ids)


def _invalid_state(job: RecordedJob, action: str) -> InvalidJobState:
    return InvalidJobState(explain_state(job.row.pk, JobState(job.row.state), action))
