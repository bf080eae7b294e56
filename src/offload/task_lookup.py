"""From the text in a row to the task in the code, without ever running what is not a task."""

from __future__ import annotations

import sys
from dataclasses import fields
from functools import cache, lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any, TypeGuard

from django.tasks import Task

from offload.exceptions import TaskNotFound
from offload.tasks import OffloadTask


@cache
def find_task(path: str) -> Task[..., Any]:
    """Return the task at a dotted path.

    Jobs know the name of the task's function. The task may have another one: `later = task(send)`.

    Raises:
        TaskNotFound: if there is no module or no task of that name.
        Exception: what the module raises when it is imported.
    """
    module_path, _, name = path.rpartition(".")
    if module_path and all(part.isidentifier() for part in path.split(".")):
        module = _import(module_path)
        found = getattr(module, name, None)
        if _is_task(found):
            return found
        for found in vars(module).values():
            if _is_task(found) and found.module_path == path:
                return found
    raise TaskNotFound(
        f"There is no task {path!r} in this code. Was it renamed or removed while jobs waited? "
        "Keep the old name as a task until they are done."
    )


@lru_cache(maxsize=1000)
def find_task_for_job(path: str, backend: str, queue_name: str, priority: int) -> Task[..., Any]:
    """Return the task at `path` with the options that a job's row holds, not validated.

    Raises:
        Exception: as `find_task`.
    """
    return with_options(
        find_task(path), backend=backend, queue_name=queue_name, priority=priority, run_after=None
    )


def find_task_or_stub(
    path: str, *, backend: str, queue_name: str, priority: int, run_after: Any = None
) -> Task[..., Any]:
    """Return the task at `path` with the options that its row holds, without validating them.

    The row may name a queue that the settings no longer have, or a task that is gone: the
    result must still be readable. A task that is gone is stood in for.
    """
    try:
        task = find_task_for_job(path, backend, queue_name, priority)
    except BaseException:  # noqa: BLE001  # modules raise what they like
        task = with_options(
            _stand_in(path), backend=backend, queue_name=queue_name, priority=priority
        )
    return with_options(task, run_after=run_after)


def with_options(declared: Task[..., Any], **options: Any) -> Task[..., Any]:
    """Return the task with other options, without validating them."""
    if all(getattr(declared, name) == value for name, value in options.items()):
        return declared
    copy = object.__new__(type(declared))
    for field in fields(declared):
        value = options.get(field.name, getattr(declared, field.name))
        object.__setattr__(copy, field.name, value)
    return copy


def _import(path: str) -> ModuleType:
    try:
        return import_module(path)
    except ModuleNotFoundError as error:
        if error.name and (path == error.name or path.startswith(f"{error.name}.")):
            return ModuleType(path)
        raise


def _is_task(found: Any) -> TypeGuard[Task[..., Any]]:
    """Also a task of the `django_tasks` backport, which has a class of its own."""
    if isinstance(found, Task):
        return True
    backport = sys.modules.get("django_tasks.base")
    return backport is not None and isinstance(found, backport.Task)


@lru_cache(maxsize=1000)
def _stand_in(path: str) -> Task[..., Any]:
    def gone(*_args: Any, **_kwargs: Any) -> None:
        find_task(path)

    gone.__module__, _, gone.__name__ = path.rpartition(".")
    gone.__qualname__ = gone.__name__
    copy = object.__new__(OffloadTask)
    for field in fields(OffloadTask):
        value = gone if field.name == "func" else field.default
        object.__setattr__(copy, field.name, value)
    return copy
