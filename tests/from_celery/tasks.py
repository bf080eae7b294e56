"""Tasks of a project that has moved."""

from __future__ import annotations

from offload import task
from offload.celery import shared_task


@shared_task
def add(x, y):
    return x + y


@shared_task(schedulable=True)
def digest(kind="daily"):
    return kind


@shared_task
def same(value):
    return value


@shared_task(bind=True)
def own_id(self):
    return self.request.id


@shared_task
def note(*values): ...


@task(schedulable=True)
def plain(count: int) -> int:
    return count


OLD = "tests.from_celery.old_app.later"
"""A task that is still Celery's."""
