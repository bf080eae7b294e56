"""What is known of a task at one moment: its row, and its last attempt that did not succeed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS
from django.tasks.exceptions import TaskResultDoesNotExist

from offload.backends.base import OffloadBackend, get_backend
from offload.celery import states
from offload.celery.encoding.arguments import decode_call
from offload.celery.encoding.errors import engine_failure, rebuild
from offload.celery.encoding.values import decode
from offload.celery.exceptions import ExpiredTaskId, UnknownTaskId, chord_error
from offload.celery.result.causes import find_cause, may_have_cause
from offload.celery.tasks.current import get_current_app
from offload.celery.tasks.ids import job_id
from offload.celery.tasks.options import task_option
from offload.celery.tasks.registry import tasks
from offload.exceptions import TaskResultExpired
from offload.lifecycle import JobState
from offload.progress import note_of

if TYPE_CHECKING:
    from offload.celery.tasks.base import BaseTask
    from offload.models import Attempt, Job

_FINISHED = {
    JobState.SUCCESSFUL: states.SUCCESS,
    JobState.SKIPPED: states.IGNORED,
    JobState.FAILED: states.FAILURE,
    JobState.CANCELLED: states.REVOKED,
    JobState.EXPIRED: states.REVOKED,
}
_LOST = "offload.exceptions.WorkerLost"
MAX_READ_TOGETHER = 1000
"""How many tasks one query reads at most."""


class Failure(NamedTuple):
    """The state and the exception of a task that never ran, as one before it failed."""

    state: str
    error: BaseException
    traceback: str | None


class Snapshot:
    """A task as its row was when it was read.

    Args:
        backend: of its job.
        job: its row.
        failure: the last attempt that did not succeed; None without one.
    """

    def __init__(self, backend: OffloadBackend, job: Job, failure: Attempt | None) -> None:
        self._backend = backend
        self.job = job
        self._failure = failure
        self._note = note_of(job.progress)
        self.successor: Snapshot | None = None
        """What has taken the place of a task that called `replace` with a canvas."""

    @cached_property
    def state(self) -> str:
        """Celery's state."""
        if self.successor is not None:
            return self.successor.state
        job_state = JobState(self.job.state)
        if self.cause is not None:
            return self.cause.state
        if self._note.get("ignored"):
            return str(self._note.get("state") or states.IGNORED)
        if job_state in _FINISHED:
            return _FINISHED[job_state]
        if job_state == JobState.RUNNING:
            tracks = get_current_app().conf.task_track_started
            return str(self._note.get("state") or (states.STARTED if tracks else states.PENDING))
        failure = self._failure
        has_failed = failure is not None and failure.exception_class_path != _LOST
        return states.RETRY if has_failed else states.PENDING

    @cached_property
    def cause(self) -> Failure | None:
        """Why it never ran, if a task before it failed."""
        found = find_cause(self._backend, self.job) if may_have_cause(self.job) else None
        if found is None:
            return None
        failed = read_all([found.job]).get(found.job)
        return None if failed is None else _failure_behind(failed, is_joined=found.is_joined)

    @property
    def is_finished(self) -> bool:
        """Whether the task has ended, in whatever way."""
        return JobState(self.last_job.state).is_finished

    @property
    def last_job(self) -> Job:
        """The row of its job, or that of the task which has taken its place."""
        return self.job if self.successor is None else self.successor.last_job

    @property
    def replaced_by(self) -> UUID | None:
        """The id of the job of the task which has taken its place; None without one."""
        task_id = self._note.get("replaced")
        is_over = self.job.state == JobState.SUCCESSFUL
        return job_id(task_id) if is_over and isinstance(task_id, str) else None

    @cached_property
    def result(self) -> Any:
        """The return value, an exception, or the meta of a state that the task has set."""
        if self.successor is not None:
            return self.successor.result
        match self.state:
            case states.SUCCESS:
                return decode(self._details.return_value) if self._has_value else None
            case states.FAILURE | states.REVOKED | states.RETRY:
                return self._exception
            case states.PENDING:
                return None
            case states.STARTED:
                return {"hostname": None if self.job.worker is None else str(self.job.worker)}
        return decode(self._note.get("meta"))

    @property
    def traceback(self) -> str | None:
        """The traceback of the exception, as text."""
        if self.state not in states.EXCEPTION_STATES:
            return None
        if self.successor is not None:
            return self.successor.traceback
        if self.cause is not None:
            return self.cause.traceback
        errors = self._details.errors
        return errors[-1].traceback if errors else None

    @cached_property
    def call(self) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
        """The arguments, and what else the call has."""
        return decode_call(self._details.args, self._details.kwargs)

    @property
    def name(self) -> str:
        """The name of the task, if this process has it; else the path of its function."""
        own = self.call[2].get("task") or getattr(self._task, "name", None)
        return str(own or self.job.task_path)

    @property
    def retries(self) -> int:
        """How often it was retried."""
        return max(0, self.job.attempt - 1)

    @property
    def queue(self) -> str:
        """The queue of its job."""
        return str(self.job.queue_name)

    @property
    def date_done(self) -> datetime | None:
        """When it ended."""
        return self.last_job.finished_at

    @property
    def children(self) -> list[str]:
        """Ids of the tasks that it has called, and of those that follow it."""
        called = list(self._note.get("children") or ())
        if self.job.workflow is None:
            return called
        for job in self._backend.parts_after(str(self.job.pk)):
            extra = Snapshot(self._backend, job, None).call[2]
            if not extra.get("joins"):  # the body of a chord is no child of its header
                called.append(extra.get("id") or str(job.pk))
        return called

    @property
    def is_ignored(self) -> bool:
        """Whether the task keeps no result: by its call, its options or the settings."""
        own = self.call[2].get("ignore_result")
        if own is not None:
            return bool(own)
        return self._task is not None and bool(task_option(self._task, "ignore_result"))

    @property
    def _has_value(self) -> bool:
        if self.job.state != JobState.SUCCESSFUL:
            return False
        # A part's result is stored also if it is ignored, as an argument of others.
        return self.job.workflow is None or not self.is_ignored

    @property
    def _task(self) -> BaseTask | None:
        """The task, if this process has it."""
        own = self.call[2].get("task")  # several tasks have one function
        if own is not None:
            return tasks.get(own)
        return getattr(self._details.task.func, "celery_task", None)

    @cached_property
    def _details(self) -> Any:
        """The job as a result of django-offload, with all that the row says."""
        return self._backend.result_of(self.job)

    @property
    def _exception(self) -> BaseException:
        if self.cause is not None:
            return self.cause.error
        failure = self._failure
        if failure is None:  # it was cancelled, or has expired, while it waited
            is_expired = self.job.state == JobState.EXPIRED
            path = f"offload.exceptions.{'JobExpired' if is_expired else 'JobCancelled'}"
            message = ""
        else:
            path, message = failure.exception_class_path, failure.message
        own = engine_failure(path, message, self.job.task_path)
        return own or rebuild(path, message, self._note.get("exception"))


def _failure_behind(failed: Snapshot, *, is_joined: bool) -> Failure:
    """Return the state and the exception of a task behind one that failed.

    Args:
        failed: the one that failed.
        is_joined: whether that is part of the header of a chord, and the task is not.
    """
    error = failed.result
    if not is_joined:
        return Failure(failed.state, error, failed.traceback)
    task_id = failed.call[2].get("id") or failed.job.pk
    return Failure(states.FAILURE, chord_error(task_id, error), failed.traceback)


def read(identifier: UUID, task_id: str) -> Snapshot:
    """Return what is known of a task now.

    Args:
        identifier: of its job.
        task_id: the same as the caller knows it.

    Raises:
        UnknownTaskId, ExpiredTaskId: if there is no such task.
    """
    found = read_all([identifier]).get(identifier)
    if found is not None:
        return found
    try:
        result = results_backend().get_result(str(identifier))
    except TaskResultDoesNotExist as error:
        kind = ExpiredTaskId if isinstance(error, TaskResultExpired) else UnknownTaskId
        raise kind(str(error).replace(str(identifier), task_id)) from error
    return read(UUID(result.id), task_id)  # it was enqueued in between


def read_all(identifiers: Iterable[UUID]) -> dict[UUID, Snapshot]:
    """Return what is known of several tasks, without those that do not exist."""
    backend = results_backend()
    found: dict[UUID, Snapshot] = {}
    for ids in batched(identifiers, MAX_READ_TOGETHER):
        rows = backend.find(ids, with_arguments=len(ids) > 1)
        failed = [job.pk for job in rows if _may_have_failed(job)]
        failures = backend.failures(failed) if failed else {}
        found |= {job.pk: Snapshot(backend, job, failures.get(job.pk)) for job in rows}
    _read_successors(found)
    return found


def _read_successors(found: Mapping[UUID, Snapshot]) -> None:
    """Read what has taken the place of tasks that called `replace`."""
    ids = {pk: snapshot.replaced_by for pk, snapshot in found.items()}
    successors = {pk: task_id for pk, task_id in ids.items() if task_id is not None}
    if not successors:
        return
    known = read_all(set(successors.values()))
    for pk, task_id in successors.items():
        found[pk].successor = known.get(task_id)


def results_backend() -> OffloadBackend:
    """Return the backend with the results of tasks."""
    return get_backend(DEFAULT_TASK_BACKEND_ALIAS)


def _may_have_failed(job: Job) -> bool:
    if job.fence == 0:
        return False
    return job.state not in {JobState.SUCCESSFUL, JobState.RUNNING, JobState.SKIPPED}
