"""What the author of a task may set: the `task` decorator and `OffloadTask`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, overload

from django.tasks import (
    DEFAULT_TASK_BACKEND_ALIAS,
    DEFAULT_TASK_QUEUE_NAME,
    Task,
    task_backends,
)
from django.tasks.base import DEFAULT_TASK_PRIORITY
from django.tasks.exceptions import InvalidTask

from offload.conf import MAX_INTEGER, did_you_mean
from offload.durations import seconds

if TYPE_CHECKING:
    from datetime import datetime

    from offload.policies import Backoff

VISIBILITIES = ["authenticated", "owner", "public", "staff"]
named_paths: set[tuple[str, str, str]] = set()
"""Of each task that names a callable by its path: the task's path, the option, and that path."""

type Call = tuple[Iterable[Any], Mapping[str, Any]]
"""The arguments of one call: positional and by keyword."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OffloadTask(Task):  # type: ignore[type-arg]  # generic only in the stubs
    """A Django task with what its author asks of the engine.

    Attributes:
        max_attempts: how often a job is tried; OPTIONS["max_attempts"] if None.
        backoff: from the exception and the result to the seconds until the next attempt.
        retry_on: exceptions after which the job is tried again.
        no_retry_on: exceptions among those after which it is not.
        timeout: seconds one attempt may run; OPTIONS["timeout"] if None.
        expires: time after enqueueing (or after run_after) by which the job must have begun.
        atomic: run the task and write its result in one transaction.
        at_most_once: never run a job again that may have begun.
        title: what people see instead of the function's name.
        visibility: who may see a job's state in the browser: "owner", "staff", "authenticated",
            "public", or a callable (request, result) -> bool, or the dotted path of one.
        expose_result: whether they may see what it returned, or a callable (or the dotted path
            of one) from the result to what they are shown instead.
    """

    priority: int = DEFAULT_TASK_PRIORITY
    backend: str = DEFAULT_TASK_BACKEND_ALIAS
    queue_name: str = DEFAULT_TASK_QUEUE_NAME
    run_after: datetime | timedelta | None = None  # type: ignore[assignment]
    max_attempts: int | None = None
    backoff: Backoff | None = None
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    no_retry_on: tuple[type[BaseException], ...] = ()
    timeout: float | timedelta | None = None
    expires: float | timedelta | None = None
    atomic: bool = False
    at_most_once: bool = False
    title: str = ""
    visibility: str | Callable[..., bool] = "owner"
    expose_result: bool | str | Callable[..., Any] = False

    def __post_init__(self) -> None:
        _check_choices(self)
        # The zero-argument super() does not work in a slotted dataclass before Python 3.14.
        Task.__post_init__(self)
        for option in ("visibility", "expose_result"):
            path = getattr(self, option)
            if isinstance(path, str) and path not in VISIBILITIES:
                named_paths.add((self.module_path, option, path))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # frozen; Django's way would import the task by its path

    def using(self, **options: Any) -> OffloadTask:
        """Return a copy with other options for the jobs enqueued through it.

        Args:
            options: priority, queue_name, run_after (a datetime, or a timedelta from the time of
                enqueueing), backend, max_attempts, timeout, expires. None leaves a value.

        Raises:
            TypeError: for an unknown option, or one that only the decorator takes.
            InvalidTask: for a value that the backend refuses.
        """
        for name in options:
            if name in AUTHOR_OPTIONS and name not in JOB_OPTIONS:
                raise TypeError(
                    f"using() cannot change {name!r}: it is not stored with a job, so no worker "
                    "would know. Give it to the decorator."
                )
            if name not in JOB_OPTIONS:
                raise TypeError(
                    f"using() got an unknown option {name!r}.{did_you_mean(name, JOB_OPTIONS)}"
                )
        return replace(self, **{k: v for k, v in options.items() if v is not None})

    def enqueue_many(self, calls: Iterable[Call]) -> list[Any]:
        """Enqueue one job per call in one statement; return their results in the same order.

        Args:
            calls: pairs of positional and keyword arguments, `[((1,), {}), ((2,), {})]`.
        """
        backend: Any = self.get_backend()
        if hasattr(backend, "enqueue_many"):
            return backend.enqueue_many(self, calls)  # type: ignore[no-any-return]
        return [backend.enqueue(self, args, kwargs) for args, kwargs in calls]

    async def aenqueue_many(self, calls: Iterable[Call]) -> list[Any]:
        """Do what `enqueue_many` does."""
        backend: Any = self.get_backend()
        if hasattr(backend, "aenqueue_many"):
            return await backend.aenqueue_many(self, calls)  # type: ignore[no-any-return]
        return [await backend.aenqueue(self, args, kwargs) for args, kwargs in calls]


AUTHOR_OPTIONS = [f.name for f in fields(OffloadTask) if f.name not in {"func", "run_after"}]
JOB_OPTIONS = [
    "priority",
    "queue_name",
    "run_after",
    "backend",
    "max_attempts",
    "timeout",
    "expires",
]
"""Options that a job's row keeps; a worker reads the others from the code."""


@overload
def task[F: Callable[..., Any]](function: F, /) -> OffloadTask: ...
@overload
def task(**options: Any) -> Callable[[Callable[..., Any]], OffloadTask]: ...
def task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a task.

    It takes the keywords of Django's decorator (`priority`, `queue_name`, `backend`,
    `takes_context`) and those of `OffloadTask`, on every Django version and also when TASKS
    names another backend, such as Django's immediate one in tests.

        @task(queue_name="mail", max_attempts=5)
        def send_report(user_id): ...

    Raises:
        TypeError: for an unknown option.
        InvalidTask: if the function cannot be a task.
    """
    for name in options:
        if name not in AUTHOR_OPTIONS:
            hint = (
                " Give it where the job is enqueued: my_task.using(run_after=...)."
                if name == "run_after"
                else did_you_mean(name, AUTHOR_OPTIONS)
            )
            raise TypeError(f"task() got an unknown option {name!r}.{hint}")
    if function is not None and not callable(function):
        raise TypeError(
            f"task() got {function!r} where a function belongs; options are given by name, for "
            'example @task(queue_name="mail").'
        )

    def decorate(func: Callable[..., Any]) -> OffloadTask:
        alias = options.get("backend", DEFAULT_TASK_BACKEND_ALIAS)
        task_class = task_backends[alias].task_class
        if not issubclass(task_class, OffloadTask):
            task_class = OffloadTask
        return task_class(func=func, **options)

    return decorate if function is None else decorate(function)


def _check_choices(task: OffloadTask) -> None:
    """Raise InvalidTask for a choice that makes no sense, naming it."""
    if task.max_attempts is not None and not (
        type(task.max_attempts) is int and 1 <= task.max_attempts <= MAX_INTEGER
    ):
        raise InvalidTask(f"max_attempts must be a whole number >= 1, not {task.max_attempts!r}.")
    for name in ("timeout", "expires"):
        _check_duration(name, getattr(task, name))
    for name in ("retry_on", "no_retry_on"):
        _check_exceptions(name, getattr(task, name))
    if task.backoff is not None and not callable(task.backoff):
        raise InvalidTask(
            f"backoff must be a callable (exception, result) -> seconds, not {task.backoff!r}."
        )
    _check_shown(task)
    if task.at_most_once and (task.max_attempts or 1) > 1:
        raise InvalidTask("at_most_once and max_attempts > 1 contradict each other.")
    if task.atomic and inspect.iscoroutinefunction(task.func):
        raise InvalidTask(
            "atomic needs a task written with def: Django's transactions are not async."
        )
    if task.at_most_once and task.atomic:
        raise InvalidTask("at_most_once and atomic contradict each other: choose one.")


def _check_shown(task: OffloadTask) -> None:
    visibility, expose_result = task.visibility, task.expose_result
    if visibility not in VISIBILITIES and not _is_callable_or_path(visibility):
        hint = did_you_mean(visibility, VISIBILITIES) if isinstance(visibility, str) else ""
        raise InvalidTask(
            f"visibility must be one of {', '.join(map(repr, VISIBILITIES))}, or a callable "
            "(request, result) -> bool written with def, or the dotted path of one, not "
            f"{visibility!r}.{hint}"
        )
    if not isinstance(expose_result, bool) and not _is_callable_or_path(expose_result):
        raise InvalidTask(
            "expose_result must be True, False, or a callable from the result to what is shown, "
            f"written with def, or the dotted path of one, not {expose_result!r}."
        )


def _is_callable_or_path(value: Any) -> bool:
    if isinstance(value, str):
        names = value.split(".")
        return len(names) > 1 and all(name.isidentifier() for name in names)
    return callable(value) and not inspect.iscoroutinefunction(value)


def _check_duration(name: str, value: float | timedelta | None) -> None:
    try:
        valid = value is None or seconds(value) > 0
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise InvalidTask(f"{name} must be seconds > 0 or a timedelta, not {value!r}.")


def _check_exceptions(name: str, value: Any) -> None:
    if not isinstance(value, tuple) or not all(
        isinstance(kind, type) and issubclass(kind, BaseException) for kind in value
    ):
        raise InvalidTask(f"{name} must be a tuple of exception classes, not {value!r}.")
