"""Changes that users make to jobs, with the signals about them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection
from contextlib import nullcontext
from itertools import batched
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction
from django.tasks.signals import task_enqueued, task_finished

from offload.backends.base import find_backend
from offload.backends.rows import result_from_row
from offload.exceptions import TaskNotFound
from offload.lifecycle import RETRYABLE, JobState
from offload.serialization import decode
from offload.signal_receivers import has_no_receivers
from offload.store.celery_records import CELERY
from offload.task_log import foreseen
from offload.task_lookup import find_task
from offload.task_unique import unique_of

if TYPE_CHECKING:
    from offload.models import Job
    from offload.results import OffloadResult
    from offload.store.base import Store

PARTICIPLES = {"retry": "retried", "cancel": "cancelled"}
JOBS_PER_QUERY = 1000
"""Jobs whose workflows one query reads."""


def cancel_job(store: Store, job: UUID) -> JobState | None:
    """Cancel a waiting job, or request that a running one stops, in the caller's transaction.

    After the commit, `task_finished` is sent here for a job that was waiting. The worker sends it
    for a running one.

    Celery's workers are asked to cancel a plain Celery task.

    Returns:
        CANCELLED, RUNNING (requested), or None if the job has finished or does not exist.
    """
    state = store.cancel(job)
    if state is None and store.request_celery_cancel(job):
        _revoke(store, job)
        return JobState.RUNNING
    if state == JobState.CANCELLED and not has_no_receivers(task_finished, logging.INFO):
        result = _read(store, job)
        transaction.on_commit(lambda: send_finished(result), using=store.using, robust=True)
    return state


def retry_job(store: Store, job: UUID) -> bool:
    """Make a finished job ready again, in the caller's transaction; return whether it was changed.

    After the commit, `task_enqueued` is sent here.

    Raises:
        InvalidJobState: if the job was unique, and another job holds its key now.
        InvalidTask: if its key cannot be made.
    """
    row, _ = store.read(job)
    key = None
    if row is not None and row.unique_until is not None and row.state in RETRYABLE:
        key, until = key_of_job(row)
    is_changed = store.retry(job) if key is None else store.retry_unique(job, key, until)
    if is_changed:
        _announce_retry(store, job)
    return is_changed


class Retries:
    """Retries several jobs, of which parts of one workflow must be retried together.

    Args:
        store: where the jobs are stored.
        jobs: all of them.
    """

    def __init__(self, store: Store, jobs: Collection[UUID]) -> None:
        self._store = store
        self._siblings: defaultdict[UUID, list[UUID]] = defaultdict(list)
        self._workflows: dict[UUID, UUID] = {}
        self._retried: set[UUID] = set()
        for batch in batched(sorted(jobs), JOBS_PER_QUERY):
            for part, workflow in store.failed_parts(batch).items():
                if workflow not in jobs:  # which retries all its parts
                    self._workflows[part] = workflow
                    self._siblings[workflow].append(part)

    def retry(self, job: UUID) -> bool:
        """Do what `retry_job` does."""
        if job in self._retried:
            return True
        siblings = self._siblings.get(self._workflows.get(job, job), [])
        if len(siblings) < 2:
            return retry_job(self._store, job)
        is_changed = self._store.retry_parts(job, siblings)
        if is_changed:
            self._retried.update(siblings)
            for part in siblings:
                _announce_retry(self._store, part)
        return is_changed


def key_of_job(job: Job) -> tuple[str | None, int]:
    """Return the key that a job would have if it were enqueued now, and until which state.

    Raises:
        InvalidTask: if the key cannot be made of its arguments.
    """
    try:
        unique = unique_of(find_task(job.task_path))
        args, kwargs = decode(job.arguments)
    except (TaskNotFound, ValueError):  # the job will fail
        unique = None
    if unique is None:
        return None, JobState.SUCCESSFUL
    return unique.key(args, kwargs, tenant=job.tenant, owner=job.owner), unique.until


def send_finished(result: OffloadResult[Any]) -> None:
    """Send `task_finished` for a job that has finished without a worker."""
    with foreseen() if result.state == JobState.CANCELLED else nullcontext():
        task_finished.send_robust(_sender(result), task_result=result)


def send_retried(result: OffloadResult[Any]) -> None:
    """Send `task_enqueued` for a job that was retried by hand."""
    task_enqueued.send_robust(_sender(result), task_result=result)


def explain_state(job: Job, action: str) -> str:
    """Return why a job in its state cannot be cancelled, or retried.

    Args:
        job: the job.
        action: "cancel" or "retry".
    """
    state = JobState(job.state)
    if action == "retry" and job.backend == CELERY:
        return (
            f"The job {job.pk} is a plain Celery task, which cannot be retried here: its message, "
            "with all that follows it, is gone. Call the task again."
        )
    if action == "cancel" and state == JobState.CANCELLED:
        return f"The job {job.pk} has already been cancelled."
    if action == "retry" and state in RETRYABLE and job.awaited is not None:
        return (
            f"The job {job.pk} is {state.label}; it cannot be retried before its workflow has "
            "ended, or while the workflow is pruned."
        )
    return f"The job {job.pk} is {state.label}; it cannot be {PARTICIPLES[action]}."


def _announce_retry(store: Store, job: UUID) -> None:
    """Send `task_enqueued` after the commit."""
    if not has_no_receivers(task_enqueued, logging.DEBUG):
        result = _read(store, job)
        transaction.on_commit(lambda: send_retried(result), using=store.using, robust=True)


def _revoke(store: Store, job: UUID) -> None:
    from offload.celery_results.revoking import revoke  # noqa: PLC0415  # needs Celery

    row, _ = store.read(job)
    if row is not None:
        revoke(row)


def _read(store: Store, job: UUID) -> OffloadResult[Any]:
    row, attempts = store.read(job)
    assert row is not None  # noqa: S101  # it was just changed in this transaction
    return result_from_row(row, attempts)


def _sender(result: OffloadResult[Any]) -> type | None:
    backend = find_backend(result.backend)
    return None if backend is None else type(backend)
