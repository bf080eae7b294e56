"""Jobs by their ids, wherever the project's backends keep them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.tasks.exceptions import TaskResultDoesNotExist

from offload.backends.base import OffloadBackend, find_backend, offload_backends
from offload.conf import BackendOptions
from offload.exceptions import TaskResultExpired
from offload.lifecycle import JobState

if TYPE_CHECKING:
    from offload.models import Attempt, Job
    from offload.results import OffloadResult


def find_jobs(ids: Collection[UUID]) -> dict[UUID, Job]:
    """Return those of the jobs that are there; one query for each database that keeps jobs."""
    return {job.pk: job for backend in _keepers() for job in backend.find(ids)} if ids else {}


def find_failures(jobs: Iterable[Job]) -> dict[UUID, Attempt]:
    """Return why jobs failed; no query if none did."""
    runs = {job.pk: job.fence for job in jobs if job.state == JobState.FAILED}
    if not runs:
        return {}
    found = {pk: why for backend in _keepers() for pk, why in backend.failures(runs).items()}
    return {pk: why for pk, why in found.items() if why.fence == runs[pk]}


def job_result(job: Job) -> OffloadResult[Any]:
    """Return the result of a job that was read before."""
    return job_backend(job).result_of(job)


def job_backend(job: Job) -> OffloadBackend:
    """Return a job's backend; if that is gone, or not ours any more, one that keeps the job.

    Raises:
        TaskResultDoesNotExist: if no backend keeps it any more.
    """
    if backend := find_backend(job.backend):
        return backend
    for backend in _keepers():
        if backend.find([job.pk]):
            return backend
    raise TaskResultDoesNotExist(f"There is no job {job.pk}.")


def job_database(job: Job) -> str | None:
    """Return the alias in DATABASES where a job is stored; None if it is kept in memory."""
    alias: str | None = getattr(getattr(job, "_state", None), "db", None)
    return alias


def backend_options(alias: str) -> BackendOptions:
    """Return the options of a backend; the defaults if it is not ours, or gone from TASKS."""
    backend = find_backend(alias)
    return BackendOptions() if backend is None else backend.settings


def has_expired(identifier: UUID) -> bool:
    """Tell whether a job that is not there is so old that it was pruned, or would have been."""
    for backend in _keepers():
        try:
            backend.get_result(str(identifier))
        except TaskResultExpired:
            return True
        except TaskResultDoesNotExist:
            continue
    return False


def _keepers() -> list[OffloadBackend]:
    """Return one backend for each place where jobs are kept."""
    places: dict[tuple[bool, str], OffloadBackend] = {}
    for backend in offload_backends():
        places.setdefault((backend.supports_live, backend.settings.database), backend)
    return list(places.values())
