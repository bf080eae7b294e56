"""Backends for tests: they keep jobs in memory, and accept the same calls as in production."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

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
from offload.backends.changes import explain_state, send_finished, send_retried
from offload.backends.queue_guard import RETRY_AFTER
from offload.backends.rows import JobBatch
from offload.backends.unique_calls import UniqueCalls
from offload.backends.workflows import announce_workflow, new_in_queues
from offload.exceptions import InvalidJobState, OffloadError, QueueFull
from offload.lifecycle import WAITING, JobState
from offload.reserved_ids import take_reserved_id
from offload.results import OffloadResult, WorkflowResult
from offload.store.queue_records import LimitsChange, QueueRule
from offload.store.workflow_records import JOINT_PATH
from offload.tasks import Call
from offload.testing.recorded_rules import rules_of, task_pauses_of
from offload.uuid7 import new_id

if TYPE_CHECKING:
    from datetime import datetime

    from offload.models import Attempt, Job
    from offload.store.queue_records import Pause
    from offload.store.workflow_records import NewWorkflow
    from offload.testing.recorded import RecordedJob


RUNNABLE = frozenset(WAITING) - {JobState.BLOCKED}
"""States of a job that waits for no other one."""


class RecordingBackend(OffloadBackend):
    """A backend that records jobs and does not run them; `run_jobs` can run them later.

    TASKS = {"default": {"BACKEND": "offload.testing.RecordingBackend"}}
    """

    def enqueue(  # type: ignore[override]  # a narrower result
        self, task: Task[..., Any], args: Any, kwargs: Mapping[str, Any]
    ) -> OffloadResult[Any]:
        """Record a job, after the checks that the DatabaseBackend makes."""
        return self.enqueue_many(task, [(args, kwargs)])[0]

    @async_unsafe(IN_ASYNC.format("enqueue", "aenqueue"))
    def enqueue_many(self, task: Task[..., Any], calls: Iterable[Call]) -> list[OffloadResult[Any]]:
        from offload.testing.recorded import RecordedJob, add_jobs  # noqa: PLC0415  # app registry

        self.validate_task(task)
        encoded = encode_calls(task, calls, max_bytes=self.settings.max_arguments_size)
        batch = JobBatch(task, self.alias, self.settings, str)
        if batch.unique is not None:
            return self._enqueue_unique(batch, encoded)
        limited = batch.limit_keys(encoded)
        if batch.needs_room:
            self._require_room(task.queue_name, len(encoded))
        limit_keys = [None] * len(encoded) if limited is None else limited.keys
        jobs, results = [], []
        for (arguments, args, kwargs), limit_key in zip(encoded, limit_keys, strict=True):
            key = str(take_reserved_id() or new_id())
            jobs.append(RecordedJob(batch.row(key, arguments), limit_key, self.settings.database))
            results.append(batch.result(key, args, kwargs))
        add_jobs(jobs)
        send_task_enqueued(type(self), results)
        return results

    @property
    def row_key(self) -> Callable[[UUID], str]:
        return str

    def enqueue_workflow(self, workflow: NewWorkflow) -> WorkflowResult[Any]:
        from offload.testing.recorded import add_workflow  # noqa: PLC0415  # app registry

        for queue_name, count in new_in_queues(workflow).items():
            self._require_room(queue_name, count)
        add_workflow(workflow, self.settings.database)
        result = announce_workflow(type(self), workflow)
        result.refresh()  # without parts it has ended
        return result

    def parts(self, result_id: str) -> list[OffloadResult[Any]]:
        parts = self._parts(result_id)
        return [part.result() for part in parts if part.row.task_path != JOINT_PATH]

    def count_parts(self, result_id: str) -> dict[JobState, int]:
        return dict(Counter(JobState(part.row.state) for part in self._parts(result_id)))

    def results_before(self, result_id: str) -> Iterator[Any]:
        workflow = self._job(result_id).workflow
        return iter([] if workflow is None else workflow.results_before(result_id))

    def unsuccessful_before(self, ids: Collection[UUID]) -> list[tuple[UUID, JobState]]:
        found: dict[UUID, JobState] = {}
        for part in ids:
            workflow = self._job(str(part)).workflow
            if workflow is not None:
                found |= workflow.unsuccessful_before(str(part))
        return list(found.items())

    def parts_after(self, result_id: str) -> list[Job]:
        workflow = self._job(result_id).workflow
        return [] if workflow is None else workflow.parts_after(result_id)

    def released_at(self, result_id: str) -> datetime | None:
        workflow = self._job(result_id).workflow
        return None if workflow is None else workflow.released_at(result_id)

    def _enqueue_unique(
        self, batch: JobBatch, encoded: Sequence[EncodedCall]
    ) -> list[OffloadResult[Any]]:
        from offload.testing.recorded import add_unique_jobs, find_holder  # noqa: PLC0415

        calls = UniqueCalls(batch, encoded, str)
        if batch.needs_room:
            self._require_room(batch.task.queue_name, len(calls.calls))
        if batch.raises:
            found = {call.unique_key: find_holder(call.unique_key) for call in calls.calls}
            calls.finish({key: job.result() for key, job in found.items() if job is not None})
        holders = add_unique_jobs(batch, calls.calls, self.settings.database)
        results = calls.finish({key: job.result() for key, job in holders.items()})
        send_task_enqueued(type(self), [result for result in results if result.is_new])
        return results

    def get_result(self, result_id: str) -> OffloadResult[Any]:
        return self._job(result_id).result()

    def find(
        self,
        ids: Collection[UUID],
        *,
        with_arguments: bool = False,  # noqa: ARG002  # they are in memory
    ) -> list[Job]:
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
        if job.row.state == JobState.CANCELLED and not job.row.is_workflow:
            send_finished(job.result())

    def retry(self, result_id: str) -> None:
        job = self._job(result_id)
        if not job.retry():
            raise _invalid_state(job, "retry")
        send_retried(job.result())

    def pause_queue(self, name: str, pause: Pause) -> None:
        self._write_rule(name, pause=pause)

    def resume_queue(self, name: str) -> None:
        self._write_rule(name, pause=None)

    def write_task_pause(self, path: str, pause: Pause | None) -> None:
        pauses = task_pauses_of(self.alias)
        pauses.pop(path, None)
        if pause is not None:
            pauses[path] = pause

    def task_pauses(self) -> dict[str, tuple[Pause, int]]:
        from offload.testing.recorded import jobs_of  # noqa: PLC0415  # needs the app registry

        pauses = task_pauses_of(self.alias)
        rows = [job.row for job in jobs_of(self.alias) if job.row.state in RUNNABLE]
        counts = Counter(row.task_path for row in rows)
        return {path: (pause, counts[path]) for path, pause in pauses.items()}

    def is_paused(self, task_path: str, queue_name: str) -> bool:
        """Return whether the task or the queue of a job is paused."""
        rule = self.queue_rules().get(queue_name, QueueRule())
        return rule.pause is not None or task_path in self.task_pauses()

    def limit_queue(self, name: str, change: LimitsChange | None) -> None:
        if change is not None:
            rule = self.queue_rules().get(name, QueueRule())
            limits = json.loads(rule.change.limits or "{}") | json.loads(change.limits)
            change = change._replace(limits=json.dumps(limits))
        self._write_rule(name, change=change or LimitsChange())

    def queue_rules(self) -> dict[str, QueueRule]:
        return dict(rules_of(self.alias))

    def count_unfinished(self, queue_name: str | None = None) -> dict[JobState, dict[str, int]]:
        from offload.testing.recorded import jobs_of  # noqa: PLC0415  # needs the app registry

        rows = [job.row for job in jobs_of(self.alias) if job.row.state in WAITING]
        counts: dict[JobState, dict[str, int]] = {}
        for row in rows:
            if queue_name in {None, row.queue_name}:
                queues = counts.setdefault(JobState(row.state), {})
                queues[row.queue_name] = queues.get(row.queue_name, 0) + 1
        return counts

    def _write_rule(self, name: str, **changes: Any) -> None:
        rules = rules_of(self.alias)
        rules[name] = rules.get(name, QueueRule())._replace(**changes)

    def _require_room(self, queue: str, count: int) -> None:
        limits = self.settings.limits_of_queue(queue)
        rule = self.queue_rules().get(queue, QueueRule())
        maximum = limits.replaced(rule.change.limits).max_queued
        if maximum is None:
            return
        waiting = self.count_unfinished(queue)
        for state in (JobState.SCHEDULED, JobState.BLOCKED):
            waiting.pop(state, None)
        if sum(sum(queues.values()) for queues in waiting.values()) + count > maximum:
            raise QueueFull(queue, maximum, retry_after=RETRY_AFTER)

    def run(self, pk: UUID) -> BaseException | None:
        """Run all attempts of a recorded job; return why it failed."""
        return self._job(pk).run()

    def clear(self) -> None:
        """Delete the recorded jobs, as `clear()` of Django's DummyBackend does."""
        from offload.testing.recorded import clear_jobs  # noqa: PLC0415  # app registry

        clear_jobs(self.alias)

    def _parts(self, result_id: str) -> list[RecordedJob]:
        workflow = self._job(result_id).workflow
        return [] if workflow is None else cast("list[RecordedJob]", list(workflow.parts.values()))

    def _job(self, result_id: object) -> RecordedJob:
        pk = parse_job_id(result_id)
        jobs = _recorded([pk])
        if not jobs:
            raise TaskResultDoesNotExist(f"There is no job {pk}: it was not enqueued in this test.")
        return jobs[0]


class ImmediateBackend(RecordingBackend):
    """A backend that runs each job when it is enqueued: all attempts, without delays.

    Jobs of a paused queue or task are only recorded.

    TASKS = {"default": {"BACKEND": "offload.testing.ImmediateBackend"}}

    With OPTIONS["raise_errors"], `enqueue` raises the exception of a job that fails.
    """

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self.options = dict(self.options)
        self.raise_errors = bool(self.options.pop("raise_errors", False))

    def enqueue_many(self, task: Task[..., Any], calls: Iterable[Call]) -> list[OffloadResult[Any]]:
        results = super().enqueue_many(task, calls)
        if self.is_paused(task.module_path, task.queue_name):
            return results  # `run_jobs` runs them once somebody has resumed it
        for result in results:
            if not result.is_new:
                continue
            error = self.run(UUID(result.id))
            result.refresh()
            if error is not None and self.raise_errors:
                raise error
        return results

    def enqueue_workflow(self, workflow: NewWorkflow) -> WorkflowResult[Any]:
        result = super().enqueue_workflow(workflow)
        error = self._run_parts(result.id)
        result.refresh()
        if error is not None and self.raise_errors:
            raise error
        return result

    def retry(self, result_id: str) -> None:
        super().retry(result_id)
        job = self._job(result_id)
        if job.workflow is not None:
            self._run_parts(result_id)
        elif not self.is_paused(job.row.task_path, job.row.queue_name):
            self.run(job.row.pk)

    def _run_parts(self, result_id: str) -> BaseException | None:
        """Run the parts of a workflow in the order of a worker; return why the first one failed."""
        errors: list[BaseException | None] = []
        while ready := self._runnable_parts(result_id):
            row = min(ready, key=lambda row: (-row.priority, row.run_after, row.pk))
            errors.append(self.run(row.pk))
        return next(filter(None, errors), None)

    def _runnable_parts(self, result_id: str) -> list[Job]:
        rows = [job.row for job in self._parts(result_id) if job.row.state in RUNNABLE]
        return [row for row in rows if not self.is_paused(row.task_path, row.queue_name)]


def _recorded(ids: Iterable[UUID]) -> list[RecordedJob]:
    from offload.testing.recorded import find_recorded_jobs  # noqa: PLC0415  # needs the app registry

    return find_recorded_jobs(ids)


def _invalid_state(job: RecordedJob, action: str) -> InvalidJobState:
    return InvalidJobState(explain_state(job.row, action))
