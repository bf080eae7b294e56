"""The `task` decorator, its options, and `OffloadTask`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Literal,
    Protocol,
    Self,
    TypedDict,
    Unpack,
    overload,
    runtime_checkable,
)

from django.tasks import (
    DEFAULT_TASK_BACKEND_ALIAS,
    DEFAULT_TASK_QUEUE_NAME,
    Task,
    task_backends,
)
from django.tasks.base import DEFAULT_TASK_PRIORITY

from offload.partials import Partial
from offload.pausing_backends import pausing_backend
from offload.task_limits import limit_of
from offload.task_unique import unique_of
from offload.task_validation import unknown_option, unusable_option, validate_options

if TYPE_CHECKING:
    from django.forms import Form
    from django.http import HttpRequest
    from django.tasks import TaskContext
    from django.utils.functional import Promise

    from offload.operators import PauseOptions
    from offload.policies import Backoff, Concurrency, Fair, Rate
    from offload.results import OffloadResult
    from offload.task_unique import Policy

    class _Task[**P, R](Task[P, R]):
        """Django's class, which is generic only for type checkers."""
else:

    class _Task:
        def __class_getitem__(cls, _parameters: Any) -> type:
            return Task


type Call = tuple[Iterable[Any], Mapping[str, Any]]
"""The arguments of one call: positional and by keyword."""

type Duration = float | timedelta
"""Seconds or a timedelta."""

type Visibility = (
    Literal["authenticated", "owner", "public", "staff"]
    | Callable[[HttpRequest, OffloadResult[Any]], bool]
)
"""Who may see a job, or a callable that decides it for a request and a result."""

type Schedulable = bool | type[Form]
"""Whether schedules of a task may be made at run time, or a form for the task's arguments."""

type ExposeResult = bool | Callable[[OffloadResult[Any]], Any]
"""Whether the return value is shown, or a callable that returns the value to show instead."""


class UsingOptions(TypedDict, total=False):
    """The options of `OffloadTask.using`, which are stored with a job. None keeps a value."""

    priority: int | None
    queue_name: str | None
    run_after: datetime | timedelta | None
    backend: str | None
    max_attempts: int | None
    timeout: Duration | None
    expires: Duration | None


class TaskOptions(TypedDict, total=False):
    """The options of the `task` decorator, besides `takes_context`; see `OffloadTask`."""

    priority: int
    queue_name: str
    backend: str
    max_attempts: int | None
    backoff: Backoff | None
    retry_on: tuple[type[BaseException], ...]
    no_retry_on: tuple[type[BaseException], ...]
    timeout: Duration | None
    expires: Duration | None
    atomic: bool
    at_most_once: bool
    concurrency: Concurrency | None
    rate: Rate | str | None
    fair: Fair | str | None
    schedulable: Schedulable
    unique: Policy | None
    title: str | Promise
    visibility: Visibility
    expose_result: ExposeResult


@dataclass(frozen=True, slots=True, kw_only=True)
class OffloadTask[**P, R](_Task[P, R]):
    """A Django task with retry, timeout and visibility options.

    Attributes:
        max_attempts: attempts before the job fails; OPTIONS["max_attempts"] if None.
        backoff: from the exception and the result to the seconds until the next attempt.
        retry_on: exceptions after which the job is tried again.
        no_retry_on: exceptions among those after which it is not.
        timeout: seconds one attempt may run; OPTIONS["timeout"] if None.
        expires: time after enqueueing (or after run_after) by which the job must have started.
        atomic: run the task and store its result in one transaction.
        at_most_once: never run a job again that may have started.
        concurrency: how many jobs run at once, in all workers together.
        rate: how many jobs start in a time, in all workers together, such as "100/m".
        fair: a key, such as "{tenant}", whose values take turns.
        unique: which calls make a job: `Unique`, `Debounce` or `Throttle`.
        schedulable: whether schedules of the task may be made in the admin and by
            `schedules.create`, or a form that validates its arguments.
        title: shown to users instead of the function's name.
        visibility: who may see a job in the browser: "owner", "staff", "authenticated",
            "public", or a callable `(request, result) -> bool`.
        expose_result: whether they may see its return value, or a callable `(result)` that
            returns the value to show instead.
    """

    priority: int = DEFAULT_TASK_PRIORITY
    backend: str = DEFAULT_TASK_BACKEND_ALIAS
    queue_name: str = DEFAULT_TASK_QUEUE_NAME
    run_after: datetime | timedelta | None = None  # type: ignore[assignment]  # no timedelta there
    max_attempts: int | None = None
    backoff: Backoff | None = None
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    no_retry_on: tuple[type[BaseException], ...] = ()
    timeout: Duration | None = None
    expires: Duration | None = None
    atomic: bool = False
    at_most_once: bool = False
    concurrency: Concurrency | None = None
    rate: Rate | str | None = None
    fair: Fair | str | None = None
    unique: Policy | None = None
    schedulable: Schedulable = False
    title: str | Promise = ""
    visibility: Visibility = "owner"
    expose_result: ExposeResult = False

    def __post_init__(self) -> None:
        validate_options(self)
        # The zero-argument super() does not work in a slotted dataclass before Python 3.14.
        Task.__post_init__(self)
        limit_of(self)  # both raise InvalidTask for options that contradict each other
        unique_of(self)
        if self.schedulable:
            remember_schedulable(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # frozen; Django's way would import the task by its path

    if TYPE_CHECKING:  # Django's methods, which return OffloadResult

        def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> OffloadResult[R]:  # type: ignore[override]
            """Add a job in the caller's transaction."""

        async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> OffloadResult[R]:  # type: ignore[override]
            """Do what `enqueue` does."""

        def get_result(self, result_id: str) -> OffloadResult[R]:  # type: ignore[override]
            """Return the current result of one of this task's jobs."""

        async def aget_result(self, result_id: str) -> OffloadResult[R]:  # type: ignore[override]
            """Do what `get_result` does."""

        def call(self, *args: P.args, **kwargs: P.kwargs) -> R:
            """Call the function here, without a job."""

        async def acall(self, *args: P.args, **kwargs: P.kwargs) -> R:
            """Do what `call` does."""

    else:

        def __getattr__(self, name: str) -> Any:  # only for names that do not exist
            hint = ". Use enqueue()" if name in METHODS_ELSEWHERE else ""
            kind = type(self).__name__
            raise AttributeError(f"{kind!r} object has no attribute {name!r}{hint}")

    def using(self, **options: Unpack[UsingOptions]) -> OffloadTask[P, R]:
        """Return a copy with other options for the jobs enqueued through it.

        Args:
            options: priority, queue_name, run_after (a datetime, or a timedelta from the time of
                enqueueing), backend, max_attempts, timeout, expires. None keeps a value.

        Raises:
            TypeError: for an unknown option, or one that only the decorator takes.
            InvalidTask: for a value that the backend refuses.
        """
        for name in options:
            if name not in JOB_OPTIONS:
                raise unusable_option(name, AUTHOR_OPTIONS, JOB_OPTIONS)
        changes: dict[str, Any] = {
            name: value for name, value in options.items() if value is not None
        }
        return replace(self, **changes)

    def pause(self, **options: Unpack[PauseOptions]) -> None:
        """Let workers start no job of the task, until somebody resumes it or the pause ends.

            send_report.pause(reason="Bug 17", until=timedelta(hours=1))

        Jobs that run already finish; new ones can be enqueued. A pause outlasts restarts. A second
        pause of the task replaces the first.

        Args:
            options: reason, until (a datetime, or a timedelta from now), public (whether pages
                show the reason, too), changed_by.

        Raises:
            TypeError, ValueError: for a bad argument.
        """
        pausing_backend(self).pause_task(self.module_path, **options)

    def resume(self) -> None:
        """Let workers start the jobs of the task again; do nothing if it is not paused."""
        pausing_backend(self).resume_task(self.module_path)

    def partial(self, *args: Any, **kwargs: Any) -> Partial:
        """Return the task with some of its arguments, for `offload.chain` and `offload.group`.

        Args:
            args, kwargs: the arguments; in a chain, the result of the step before precedes `args`.
        """
        return Partial(self, args, kwargs)

    def enqueue_many(self, calls: Iterable[Call]) -> list[OffloadResult[R]]:
        """Enqueue one job per call in one statement; return their results in the same order.

        Args:
            calls: pairs of positional and keyword arguments, `[((1,), {}), ((2,), {})]`.
        """
        backend: _Backend = self.get_backend()
        if isinstance(backend, _BulkBackend):
            return backend.enqueue_many(self, calls)
        return [backend.enqueue(self, args, kwargs) for args, kwargs in calls]

    async def aenqueue_many(self, calls: Iterable[Call]) -> list[OffloadResult[R]]:
        """Do what `enqueue_many` does."""
        backend: _Backend = self.get_backend()
        if isinstance(backend, _BulkBackend):
            return await backend.aenqueue_many(self, calls)
        return [await backend.aenqueue(self, args, kwargs) for args, kwargs in calls]


class _Backend(Protocol):
    """Any backend, with the types that Django's code has."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any: ...

    async def aenqueue(self, task: Any, args: Any, kwargs: Any) -> Any: ...


@runtime_checkable
class _BulkBackend(Protocol):
    """A backend that enqueues many jobs at once, unlike Django's own."""

    def enqueue_many(self, task: Task[..., Any], calls: Iterable[Call]) -> list[Any]: ...

    async def aenqueue_many(self, task: Task[..., Any], calls: Iterable[Call]) -> list[Any]: ...


schedulable_tasks: dict[str, OffloadTask[..., Any]] = {}
"""The tasks that may be scheduled at run time, by path, as far as they are loaded."""


def remember_schedulable(task: OffloadTask[..., Any]) -> None:
    """Remember a task, and not its copies with other options."""
    known = schedulable_tasks.get(task.module_path)
    if known is None or known.func is not task.func:
        schedulable_tasks[task.module_path] = task


METHODS_ELSEWHERE = {"apply_async", "delay", "delay_on_commit", "send", "send_with_options"}
"""Names that Celery, RQ and Dramatiq have for `enqueue`."""
AUTHOR_OPTIONS = [f.name for f in fields(OffloadTask) if f.name not in {"func", "run_after"}]
"""Options of the decorator."""
JOB_OPTIONS = list(UsingOptions.__annotations__)
"""Options that a job's row stores; a worker reads the others from the code."""


class _Decorator(Protocol):
    """Makes a function a task."""

    @overload
    def __call__[**P, R](
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> OffloadTask[P, R]: ...
    @overload
    def __call__[**P, R](self, function: Callable[P, R], /) -> OffloadTask[P, R]: ...


class _ContextDecorator(Protocol):
    """Makes a function a task, whose first argument Django passes: the context."""

    @overload
    def __call__[**P, R](
        self,
        function: Callable[Concatenate[TaskContext[..., Any], P], Coroutine[Any, Any, R]],
        /,
    ) -> OffloadTask[P, R]: ...
    @overload
    def __call__[**P, R](
        self, function: Callable[Concatenate[TaskContext[..., Any], P], R], /
    ) -> OffloadTask[P, R]: ...


@overload
def task[**P, R](
    function: Callable[Concatenate[TaskContext[..., Any], P], Coroutine[Any, Any, R]],
    /,
    *,
    takes_context: Literal[True],
    **options: Unpack[TaskOptions],
) -> OffloadTask[P, R]: ...
@overload
def task[**P, R](
    function: Callable[Concatenate[TaskContext[..., Any], P], R],
    /,
    *,
    takes_context: Literal[True],
    **options: Unpack[TaskOptions],
) -> OffloadTask[P, R]: ...
@overload
def task[**P, R](
    function: Callable[P, Coroutine[Any, Any, R]],
    /,
    *,
    takes_context: Literal[False] = False,
    **options: Unpack[TaskOptions],
) -> OffloadTask[P, R]: ...
@overload
def task[**P, R](
    function: Callable[P, R],
    /,
    *,
    takes_context: Literal[False] = False,
    **options: Unpack[TaskOptions],
) -> OffloadTask[P, R]: ...
@overload
def task(*, takes_context: Literal[True], **options: Unpack[TaskOptions]) -> _ContextDecorator: ...
@overload
def task(
    *, takes_context: Literal[False] = False, **options: Unpack[TaskOptions]
) -> _Decorator: ...
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
            raise unknown_option(name, AUTHOR_OPTIONS)
    if function is not None and not callable(function):
        raise TypeError(
            f"task() got {function!r} where a function belongs; options are given by name, for "
            'example @task(queue_name="mail").'
        )

    def decorate(func: Callable[..., Any]) -> OffloadTask[..., Any]:
        alias = options.get("backend", DEFAULT_TASK_BACKEND_ALIAS)
        task_class = task_backends[alias].task_class
        if not issubclass(task_class, OffloadTask):
            task_class = OffloadTask
        return task_class(func=func, **options)

    return decorate if function is None else decorate(function)
