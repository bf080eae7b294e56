"""`shared_task`: makes a task of a function, and lets workers find it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from offload.celery import ready_made
from offload.celery.app.task import Task
from offload.celery.tasks.current import existing_app
from offload.celery.tasks.registry import tasks
from offload.declared_tasks import declare_task


def register(task: Task) -> Task:
    """Let workers find a task, by its name and by its path."""
    path = ".".join(task.path_parts)
    for other in tasks.values():
        if other.path_parts == task.path_parts and other.name != task.name:
            task.shares_its_function = True
    if not task.shares_its_function:
        declare_task(path, lambda: task.definition)
    tasks.register(task)
    return task


def task_of_class(kind: type[Task] | Task, app: Any) -> Task:
    """Return a task of a class with a `run` method.

    Args:
        kind: the class, or an instance of it.
        app: its app, which names it if it has no name.
    """
    task = kind() if isinstance(kind, type) else kind
    of = type(task)
    task.app = app
    task.name = task.name or app.gen_task_name(of.__name__, of.__module__)
    task.path_parts = (of.__module__, of.__qualname__)
    task.__bound__ = True
    return register(task)


def make_task(
    function: Callable[..., Any],
    *,
    base: type[Task] | None = None,
    bind: bool = False,
    name: str | None = None,
    app: Any = None,
    **options: Any,
) -> Task:
    """Return a task of a function.

    Args:
        function: the function.
        base: the class of the task; that of the current app if None.
        bind: pass the task as the first argument.
        name: its name.
        app: its app; None for the current one.
        options: the attributes of `Task`.
    """
    named_by = app or existing_app()
    if name is None and named_by is not None:
        name = named_by.gen_task_name(function.__name__, function.__module__)
    attributes = {
        "run": function if bind else staticmethod(function),
        "name": name or f"{function.__module__}.{function.__name__}",
        "path_parts": (function.__module__, function.__qualname__),
        "__doc__": function.__doc__,
        "__module__": function.__module__,
        "__wrapped__": staticmethod(function),
        "__bound__": bind,
        "_app": app,
        **options,
    }
    if base is None:
        current = existing_app()
        base = Task if current is None else current.Task
    kind = type(function.__name__, (base,), attributes)
    return register(kind())


def shared_task(*args: Any, **options: Any) -> Any:
    """Make a function a task of the current app.

        @shared_task(bind=True, autoretry_for=(OSError,), retry_backoff=True)
        def send_report(self, user_id): ...

    Args:
        args: the function, if there are no options.
        options: `bind`, `base`, `name` and the attributes of `Task`; also those options of
            `offload.task` that Celery has not, such as `title` and `visibility`.

    Raises:
        TypeError: for something else than a function.
    """
    if len(args) == 1 and callable(args[0]):
        if isinstance(args[0], Task):
            raise TypeError(f"{args[0]!r} is a task already.")
        return make_task(args[0], **options)
    if args:
        raise TypeError("shared_task() takes a function, and options by name.")
    return lambda function: shared_task(function, **options)


shared_task(ready_made.map_items, name="celery.map", title="Map")
shared_task(ready_made.map_arguments, name="celery.starmap", title="Map")
shared_task(ready_made.accumulate, name=ready_made.ACCUMULATE, title="Group")
shared_task(ready_made.keep_group, name=ready_made.KEEP_GROUP, title="Saved group")
