"""The tasks of a backend that are paused, and why."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS, Task

from offload.backends.base import get_backend
from offload.backends.pauses import PauseStatus, pause_values
from offload.exceptions import TaskNotFound
from offload.task_lookup import explain_missing, find_task

if TYPE_CHECKING:
    from offload.store.queue_records import Pause

type AnyTask = Task[..., Any] | str
"""A task, or its path."""


@dataclass(frozen=True, slots=True)
class TaskStatus(PauseStatus):
    """A task, and its pause.

    Attributes:
        path: of the task.
        put_aside: how many of its jobs workers have parked. Those further back in their queue are
            not counted.
    """

    path: str
    put_aside: int


def list(*, backend: str = DEFAULT_TASK_BACKEND_ALIAS) -> builtins.list[TaskStatus]:  # noqa: A001
    """Return the paused tasks of a backend, by path.

    Args:
        backend: alias in TASKS.
    """
    pauses = get_backend(backend).task_pauses()
    return [_status(path, *pauses[path]) for path in sorted(pauses)]


def get(task: AnyTask, *, backend: str | None = None) -> TaskStatus:
    """Return one task.

    Args:
        task: the task, or its path.
        backend: alias in TASKS, for jobs of another backend than the task's own.
    """
    pauses = get_backend(backend or backend_of(task)).task_pauses()
    return _status(path_of(task), *pauses.get(path_of(task), (None, 0)))


def path_of(task: AnyTask) -> str:
    """Return the path of a task."""
    return task if isinstance(task, str) else task.module_path


def backend_of(task: AnyTask) -> str:
    """Return the backend of a task; the default one if the code does not have the task."""
    if not isinstance(task, str):
        return task.backend
    try:
        return find_task(task).backend
    except BaseException:  # noqa: BLE001  # modules raise anything while they are imported
        return DEFAULT_TASK_BACKEND_ALIAS


def require_task(task: AnyTask) -> None:
    """Raise an error unless there is a task.

    Raises:
        LookupError: if the code has no task with a path.
    """
    if isinstance(task, str):
        try:
            find_task(task)
        except TaskNotFound as error:
            raise LookupError(f"There is no task {task!r}.{explain_missing(task)}") from error
        except Exception:  # noqa: BLE001  # a module that fails may be why somebody pauses its task
            return


def _status(path: str, pause: Pause | None, put_aside: int) -> TaskStatus:
    return TaskStatus(**pause_values(pause), path=path, put_aside=put_aside)
