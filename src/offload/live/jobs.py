"""Jobs by id, in all backends of the project."""

from __future__ import annotations

import sys
from collections.abc import Collection, Hashable, Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.tasks.exceptions import TaskResultDoesNotExist

from offload.backends.base import OffloadBackend, find_backend, offload_backends
from offload.conf import BackendOptions
from offload.exceptions import TaskResultExpired
from offload.lifecycle import JobState
from offload.serialization import encode_result
from offload.store.celery_records import CELERY
from offload.store.workflow_records import REFERENCE

if TYPE_CHECKING:
    from offload.models import Attempt, Job
    from offload.results import OffloadResult


def find_jobs(ids: Collection[UUID]) -> dict[UUID, Job]:
    """Return the jobs that exist, by id; one query for each database of jobs."""
    if not ids:
        return {}
    return {job.pk: job for backend in _distinct_backends() for job in backend.find(ids)}


def job_id(result: object) -> UUID | None:
    """Return the id of a result, or the id that is given as text; None for anything else.

    A result of another class than Django's, such as `AsyncResult`, has a `job_id`.
    """
    own = getattr(result, "job_id", None)
    try:
        return UUID(str(getattr(result, "id", result) if own is None else own))
    except ValueError:
        return None


def find_failures(jobs: Iterable[Job]) -> dict[UUID, Attempt]:
    """Return the attempt that made each failed job fail; no query if no job failed."""
    fences = {job.pk: job.fence for job in jobs if job.state == JobState.FAILED}
    if not fences:
        return {}
    attempts: dict[UUID, Attempt] = {}
    for backend in _distinct_backends():
        attempts.update(backend.failures(fences))
    # A job that was lost with its worker has no attempt with its last fence. An earlier attempt
    # is not the one that made it fail.
    return {pk: attempt for pk, attempt in attempts.items() if attempt.fence == fences[pk]}


def job_result(job: Job) -> OffloadResult[Any]:
    """Return the result of a job, without reading its row again."""
    return job_backend(job).result_of(job)


def return_value(job: Job) -> str | None:
    """Return what a job has returned, as JSON text; of one that added others, made of theirs."""
    text: str | None = job.return_value
    if job.workflow is None or text is None or REFERENCE not in text:
        return text
    return encode_result(job_result(job).return_value, max_bytes=sys.maxsize)


def job_backend(job: Job) -> OffloadBackend:
    """Return the backend of a job; if TASKS no longer has it, one with the same database.

    Raises:
        TaskResultDoesNotExist: if no backend has the job any more.
    """
    if backend := find_backend(job.backend):
        return backend
    for backend in _distinct_backends():
        if backend.find([job.pk]):
            return backend
    raise TaskResultDoesNotExist(f"There is no job {job.pk}.")


def job_database(job: Job) -> str | None:
    """Return the alias in DATABASES where a job is stored; None if it is not in a database."""
    alias: str | None = getattr(getattr(job, "_state", None), "db", None)
    return alias


def backend_options(alias: str) -> BackendOptions:
    """Return the options of a backend; the defaults if it is not django-offload's.

    For plain Celery tasks they are those of the first backend of django-offload.
    """
    backend = find_backend(alias)
    if alias == CELERY:
        backend = next(iter(offload_backends()), None)
    return BackendOptions() if backend is None else backend.settings


def has_expired(identifier: UUID) -> bool:
    """Return whether a job that does not exist is so old that it would have been pruned."""
    for backend in _distinct_backends():
        try:
            backend.get_result(str(identifier))
        except TaskResultExpired:
            return True
        except TaskResultDoesNotExist:
            continue
    return False


def _distinct_backends() -> list[OffloadBackend]:
    """Return one backend for each database of jobs, and all that keep jobs elsewhere."""
    backends: dict[Hashable, OffloadBackend] = {}
    for backend in offload_backends():
        storage = ("database", backend.settings.database)
        if not backend.supports_live:
            storage = ("alias", backend.alias)
        backends.setdefault(storage, backend)
    return list(backends.values())
