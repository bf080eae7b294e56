"""Ids that callers choose: what becomes of the task that has had one before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import IntegrityError, transaction

from offload.backends.database import DatabaseBackend
from offload.celery.result.async_result import AsyncResult
from offload.celery.result.removal import delete_finished
from offload.celery.result.snapshots import read_all
from offload.celery.tasks.ids import job_id


@contextmanager
def chosen_ids(backend: Any, task_ids: Sequence[str]) -> Iterator[None]:
    """Let the jobs that are added in a `with` block have these ids, in a transaction of its own.

    Tasks that have had one of the ids, and have ended, are deleted.

    Args:
        backend: of the jobs.
        task_ids: the ids; without any, nothing happens.

    Raises:
        ValueError: if an id is that of a task that has not ended, or of a part of a workflow.
    """
    if not (task_ids and isinstance(backend, DatabaseBackend)):
        yield
        return
    try:
        with transaction.atomic(backend.settings.database):
            for task_id in task_ids:
                delete_finished(backend, job_id(task_id))
            yield
    except IntegrityError as error:
        raise ValueError(_explain(task_ids)) from error


def require_new(task_ids: Sequence[str]) -> None:
    """Refuse ids that a task has, even if it has ended: nothing may be deleted now.

    Args:
        task_ids: chosen for tasks that are inserted later, with the success of the running one.

    Raises:
        ValueError: if there is a task with one of them.
    """
    if not task_ids:
        return
    found = read_all([job_id(task_id) for task_id in task_ids])
    for task_id in task_ids:
        if job_id(task_id) in found:
            raise ValueError(
                f"There is a task {task_id!r} already, and a canvas that replaces a task takes new "
                "ids only, also if the other task has ended. Choose another id, or none."
            )


def _explain(task_ids: Iterable[str]) -> str:
    """Return why a task cannot have one of these ids, and what its caller can do."""
    for task_id in task_ids:
        result = AsyncResult(task_id)
        if result.exists():
            reason = f"There is a task {task_id!r} already, whose state is {result.state}."
            if result.ready():
                return f"{reason} It is part of a workflow, and is pruned with it: choose a new id."
            return (
                f"{reason} Its id is free when it has ended. To enqueue a task once only while it "
                "waits or runs, use the option unique= of the task."
            )
    return f"One of these ids is taken already: {', '.join(task_ids)}. Choose new ones."
