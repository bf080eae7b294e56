"""Finds a task by the path in a row; only tasks are ever run."""

from __future__ import annotations

import sys
from dataclasses import fields
from functools import cache, lru_cache
from types import ModuleType
from typing import Any, TypeGuard

from django.tasks import Task

from offload.conf import did_you_mean
from offload.declared_tasks import declared_task
from offload.exceptions import TaskNotFound
from offload.task_modules import task_module
from offload.tasks import OffloadTask


@cache
def find_task(path: str) -> Task[..., Any]:
    """Return the task at a dotted path.

    A row holds the name of the task's function. The task may have another: `later = task(send)`.

    Raises:
        TaskNotFound: if no task has that name, or its module is not one of the project.
        Exception: any that the module raises when it is imported.
    """
    module_path, _, name = path.rpartition(".")
    hint = ""
    if module_path and all(part.isidentifier() for part in path.split(".")):
        module = task_module(module_path)
        if module is None:
            hint = _OUTSIDE_HINT.format(module_path)
        elif task := _find_in(module, name, path) or declared_task(path):
            return task
    raise TaskNotFound(
        f"There is no task {path!r} in this code. Was it renamed or removed while jobs waited? "
        "Then keep the old name as a task until they have finished. Or does this worker run older "
        f"code? Then restart it.{hint}"
    )


_OUTSIDE_HINT = (
    " The module {!r} was not imported, as it belongs neither to an installed app nor to the "
    "project's package. If it has the task, move the task to a module of an app, such as "
    "tasks.py, or import the module in the app's AppConfig.ready()."
)


def _find_in(module: ModuleType, name: str, path: str) -> Task[..., Any] | None:
    task = getattr(module, name, None)
    if _is_task(task):
        return task
    for value in vars(module).values():
        if _is_task(value) and value.module_path == path:
            return value
    return None


def explain_missing(path: str) -> str:
    """Return what to write instead of a path at which there is no task, as a sentence.

    Raises:
        BaseException: any that the module raises when it is imported.
    """
    module_path, _, name = path.rpartition(".")
    if not module_path:
        return " Pass its whole path, such as shop.tasks.send_digest."
    module = task_module(module_path)
    if module is None:
        return f" The module {module_path!r} belongs to no installed app."
    tasks = [name for name, value in vars(module).items() if _is_task(value)]
    if not tasks:
        return f" The module {module_path!r} does not exist, or has no tasks."
    return did_you_mean(name, tasks)


@lru_cache(maxsize=1000)
def find_task_for_job(path: str, backend: str, queue_name: str, priority: int) -> Task[..., Any]:
    """Return the task at `path` with the options of a job's row, without validating them.

    Raises:
        Exception: those of `find_task`.
    """
    return with_options(
        find_task(path), backend=backend, queue_name=queue_name, priority=priority, run_after=None
    )


def find_task_or_stub(
    path: str, *, backend: str, queue_name: str, priority: int, run_after: Any = None
) -> Task[..., Any]:
    """Return the task at `path` with the options of its row, or a stub if it does not exist.

    The options are not validated: a result must be readable although the settings no longer have
    its queue, or the code its task.
    """
    try:
        task = find_task_for_job(path, backend, queue_name, priority)
    except BaseException:  # noqa: BLE001  # modules raise anything while they are imported
        task = with_options(
            _make_stub(path), backend=backend, queue_name=queue_name, priority=priority
        )
    return with_options(task, run_after=run_after)


def with_options(declared: Task[..., Any], **options: Any) -> Task[..., Any]:
    """Return a copy of a task with other options, without validating them."""
    if all(getattr(declared, name) == value for name, value in options.items()):
        return declared
    copy = object.__new__(type(declared))
    for field in fields(declared):
        value = options.get(field.name, getattr(declared, field.name))
        object.__setattr__(copy, field.name, value)
    return copy


def _is_task(value: Any) -> TypeGuard[Task[..., Any]]:
    """Return whether a value is a task, of Django or of the `django_tasks` backport."""
    if isinstance(value, Task):
        return True
    backport = sys.modules.get("django_tasks.base")
    return backport is not None and isinstance(value, backport.Task)


@lru_cache(maxsize=1000)
def _make_stub(path: str) -> Task[..., Any]:
    def missing(*_args: Any, **_kwargs: Any) -> None:
        find_task(path)

    missing.__module__, _, missing.__name__ = path.rpartition(".")
    missing.__qualname__ = missing.__name__
    stub: OffloadTask[..., Any] = object.__new__(OffloadTask)
    for field in fields(OffloadTask):
        value = missing if field.name == "func" else field.default
        object.__setattr__(stub, field.name, value)
    return stub
