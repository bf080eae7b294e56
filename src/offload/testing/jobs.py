"""Access to the jobs of a backend, in the database or in memory."""

from __future__ import annotations

from traceback import walk_stack
from typing import TYPE_CHECKING, Any

from django.db.models.signals import post_migrate
from django.dispatch import receiver
from django.tasks import task_backends

from offload.backends.database import DatabaseBackend
from offload.conf import did_you_mean
from offload.testing.backends import RecordingBackend

if TYPE_CHECKING:
    from offload.models import Job

type InspectableBackend = DatabaseBackend | RecordingBackend
"""A backend whose jobs a test can list and run."""


def get_inspectable_backend(alias: str) -> InspectableBackend:
    """Return the backend with an alias.

    Raises:
        TypeError: if its jobs cannot be listed.
        InvalidTaskBackend: if TASKS does not have it.
    """
    backend = task_backends[alias]
    if not isinstance(backend, DatabaseBackend | RecordingBackend):
        path = f"{type(backend).__module__}.{type(backend).__qualname__}"
        raise TypeError(
            f"TASKS[{alias!r}] is {path}, whose jobs cannot be listed. In tests use the "
            "DatabaseBackend, or replace the backend with offload.testing.recording() or "
            "offload.testing.immediate()."
        )
    return backend


def require_queue(backend: InspectableBackend, name: str | None) -> None:
    """Raise ValueError if the settings list the backend's queues without this one."""
    if name is not None and backend.queues and name not in backend.queues:
        hint = did_you_mean(name, sorted(backend.queues))
        raise ValueError(f"TASKS[{backend.alias!r}] has no queue {name!r}.{hint}")


def find_rows(backend: InspectableBackend, **columns: Any) -> list[Job]:
    """Return the rows with these column values, in the order in which they were enqueued."""
    from offload.models import Job  # noqa: PLC0415  # needs the app registry
    from offload.testing.recorded import jobs_of  # noqa: PLC0415  # needs the app registry

    if isinstance(backend, RecordingBackend):
        rows = [job.row for job in jobs_of(backend.alias)]
        for name, value in columns.items():
            rows = [row for row in rows if getattr(row, name) == value]
        return rows
    jobs = Job.objects.using(backend.settings.database)
    return list(jobs.filter(backend=backend.alias, **columns).order_by("pk"))


@receiver(post_migrate)
def _delete_jobs_of_migrations(*, sender: Any, using: str, **_: Any) -> None:
    """Delete what data migrations have enqueued, so that each test starts with an empty queue.

    Only while the test database is made: a test may run a migration to see what it enqueues.
    """
    functions = (frame.f_code.co_name for frame, _ in walk_stack(None))
    if sender.name == "offload" and "create_test_db" in functions:
        from offload.models import Attempt, Job  # noqa: PLC0415  # needs the app registry

        Attempt.objects.using(using).all().delete()
        Job.objects.using(using).all().delete()
