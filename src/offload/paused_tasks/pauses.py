"""Pauses of tasks by their paths, for code that does not import the tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from offload.backends.base import get_backend
from offload.operators import PauseOptions
from offload.paused_tasks.status import TaskStatus, backend_of, get, path_of, require_task

if TYPE_CHECKING:
    from offload.paused_tasks.status import AnyTask


def pause(
    task: AnyTask, *, backend: str | None = None, **options: Unpack[PauseOptions]
) -> TaskStatus:
    """Let workers start no job of a task, until somebody resumes it or the pause ends.

        paused_tasks.pause("shop.tasks.send_report", reason="Bug 17", until=timedelta(hours=1))

    Jobs that run already finish; new ones can be enqueued. A pause outlasts restarts. A second
    pause of the task replaces the first.

    Args:
        task: the task, or its path.
        backend: alias in TASKS, for jobs of another backend than the task's own.
        **options: `reason`, `until`, `public` and `changed_by`, as for `OffloadTask.pause`.

    Raises:
        LookupError: if there is no such task.
        TypeError, ValueError: for a bad argument.
    """
    require_task(task)
    alias = backend or backend_of(task)
    get_backend(alias).pause_task(path_of(task), **options)
    return get(task, backend=alias)


def resume(task: AnyTask, *, backend: str | None = None) -> TaskStatus:
    """Let workers start the jobs of a task again; do nothing if it is not paused.

    Args:
        task: the task, or its path; also of one that the code no longer has.
        backend: alias in TASKS, for jobs of another backend than the task's own.
    """
    alias = backend or backend_of(task)
    get_backend(alias).resume_task(path_of(task))
    return get(task, backend=alias)
