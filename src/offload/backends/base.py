"""The contract of a backend: Django's, and the additions of django-offload."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from inspect import isasyncgenfunction, isgeneratorfunction
from typing import TYPE_CHECKING, Any, ClassVar, Unpack
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.tasks import Task, task_backends
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import TASK_MAX_PRIORITY, TASK_MIN_PRIORITY
from django.tasks.exceptions import InvalidTask, InvalidTaskBackend
from django.utils.module_loading import import_string

from offload.backends.pauses import new_pause
from offload.conf import GETTERS, BackendOptions, did_you_mean
from offload.durations import MAX_SECONDS
from offload.results import OffloadResult, WorkflowResult
from offload.task_lookup import with_options
from offload.tasks import Call, OffloadTask

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from offload.backends.messages import Messenger
    from offload.lifecycle import JobState
    from offload.models import Attempt, Job
    from offload.operators import PauseOptions
    from offload.store.queue_records import LimitsChange, Pause, QueueRule
    from offload.store.workflow_records import NewWorkflow

TASKS_KEYS = ["BACKEND", "OPTIONS", "QUEUES"]
"""Keys of an entry in TASKS."""
MAX_PATH_CHARS = 255
"""Characters of a task's path that a row can hold."""
MAX_QUEUE_NAME_CHARS = 64
"""Characters of a queue's name that a row can hold."""
NOT_AT_MODULE_LEVEL = "Task function must be defined at a module level."
"""Django's sentence; ours follow it."""
MAX_YEAR = 9000
"""The last year of run_after: a delay or time zone added to it still gives a valid date."""


class OffloadBackend(BaseTaskBackend):
    """The contract of every backend of django-offload.

    It declares what pages, the admin and the commands call.
    """

    task_class = OffloadTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True
    supports_live: ClassVar[bool] = False
    """Whether jobs are rows of `settings.database`, in which pages and waiters see each change."""

    messenger: Messenger | None = None
    """Tells workers of ready jobs by a broker; None if they find the rows themselves."""

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        _require_names(alias, params.get("QUEUES", []))
        super().__init__(alias, params)
        self._unknown_keys = [name for name in params if name not in TASKS_KEYS]

    @cached_property
    def settings(self) -> BackendOptions:
        """The validated OPTIONS.

        Raises:
            ImproperlyConfigured: for an unknown option or a bad value.
        """
        try:
            return BackendOptions.parse(self.options)
        except ImproperlyConfigured as error:
            raise ImproperlyConfigured(f"TASKS[{self.alias!r}]: {error}") from None

    def validate_task(self, task: Task[..., Any]) -> None:
        """Raise InvalidTask for a task that cannot be enqueued, or not be found by a worker."""
        _validate_function(task.func)
        _validate_priority(task.priority)
        _validate_run_after(task.run_after)
        self.validate_queue(task.queue_name)
        run_after: Any = task.run_after
        if isinstance(run_after, timedelta):
            task = with_options(task, run_after=None)
        super().validate_task(task)

    def validate_queue(self, name: Any) -> None:
        """Raise InvalidTask for the name of a queue that this backend cannot have."""
        is_text = isinstance(name, str) and "," not in name
        if not is_text or not 1 <= len(name) <= MAX_QUEUE_NAME_CHARS:
            raise InvalidTask(
                f"The queue name {name!r} must be text of 1 to {MAX_QUEUE_NAME_CHARS} characters "
                "without commas."
            )
        if self.queues and name not in self.queues:
            raise InvalidTask(
                f"Queue '{name}' is not valid for backend."
                f"{did_you_mean(name, sorted(self.queues))} "
                f"Queues are listed in TASKS[{self.alias!r}]['QUEUES']."
            )

    @abstractmethod
    def enqueue(  # type: ignore[override]  # a narrower result
        self, task: Task[..., Any], args: Any, kwargs: Mapping[str, Any]
    ) -> OffloadResult[Any]: ...

    @abstractmethod
    def enqueue_many(self, task: Task[..., Any], calls: Iterable[Call]) -> list[OffloadResult[Any]]:
        """Enqueue one job per call; return their results in the same order."""

    @property
    @abstractmethod
    def row_key(self) -> Callable[[UUID], str]:
        """What converts an id to the value that the backend's rows have."""

    @abstractmethod
    def enqueue_workflow(self, workflow: NewWorkflow) -> WorkflowResult[Any]:
        """Add the jobs of a workflow, in the caller's transaction; return that of its own job."""

    @abstractmethod
    def parts(self, result_id: str) -> list[OffloadResult[Any]]:
        """Return the parts of a workflow, in the order in which they were added."""

    @abstractmethod
    def count_parts(self, result_id: str) -> dict[JobState, int]:
        """Return how many parts of a workflow are in each state; nothing for the other states."""

    @abstractmethod
    def results_before(self, result_id: str) -> Iterator[Any]:
        """Yield the results of the jobs that a part of a workflow waited for, in their order."""

    @abstractmethod
    def unsuccessful_before(self, ids: Collection[UUID]) -> list[tuple[UUID, JobState]]:
        """Return the jobs that parts of workflows waited for and that did not succeed.

        Args:
            ids: of the parts.

        Returns:
            Their ids and states, in the order in which they ended; those only for which the parts
            waited directly.
        """

    @abstractmethod
    def parts_after(self, result_id: str) -> list[Job]:
        """Return the rows of the parts of a workflow that run after a part, if it has succeeded."""

    @abstractmethod
    def released_at(self, result_id: str) -> datetime | None:
        """Return when the last job ended for which a part of a workflow waited.

        None for a job that waited for no other one.
        """

    async def aenqueue_many(
        self, task: Task[..., Any], calls: Iterable[Call]
    ) -> list[OffloadResult[Any]]:
        """Do what `enqueue_many` does."""
        return await sync_to_async(self.enqueue_many, thread_sensitive=True)(task, calls)

    @abstractmethod
    def get_result(self, result_id: str) -> OffloadResult[Any]:
        """Return the current result of a job.

        Raises:
            TaskResultExpired: if the id is so old that the job would have been pruned.
            TaskResultDoesNotExist: if there is no such job.
        """

    async def aget_result(self, result_id: str) -> OffloadResult[Any]:
        """Do what `get_result` does."""
        return await sync_to_async(self.get_result, thread_sensitive=True)(result_id)

    @abstractmethod
    def find(self, ids: Collection[UUID], *, with_arguments: bool = False) -> list[Job]:
        """Return the rows of those jobs that exist, of any backend with the same database.

        Args:
            ids: of the jobs.
            with_arguments: read the arguments too, which else are read on first access.
        """

    @abstractmethod
    def failures(self, ids: Collection[UUID]) -> dict[UUID, Attempt]:
        """Return the last unsuccessful attempt of each job that has one."""

    @abstractmethod
    def result_of(self, job: Job) -> OffloadResult[Any]:
        """Return the result of a job whose row was read before."""

    @abstractmethod
    def wait(self, result_id: str, timeout: float | None) -> None:
        """Return when the job has finished; raise TimeoutError after `timeout` seconds."""

    @abstractmethod
    async def wait_async(self, result_id: str, timeout: float | None) -> None:  # noqa: ASYNC109
        """Do what `wait` does."""

    @abstractmethod
    def cancel(self, result_id: str) -> None:
        """Cancel a job; raise InvalidJobState if it has finished."""

    @abstractmethod
    def retry(self, result_id: str) -> None:
        """Make a finished job ready again; raise InvalidJobState if it succeeded or is active."""

    @abstractmethod
    def pause_queue(self, name: str, pause: Pause) -> None:
        """Start no job of a queue any more; replace the pause that it may have."""

    @abstractmethod
    def resume_queue(self, name: str) -> None:
        """End the pause of a queue, if it has one."""

    @abstractmethod
    def limit_queue(self, name: str, change: LimitsChange | None) -> None:
        """Set limits of a queue; None lets those of the settings count again."""

    @abstractmethod
    def queue_rules(self) -> dict[str, QueueRule]:
        """Return what operators have decided about queues, by name."""

    def pause_task(self, path: str, **options: Unpack[PauseOptions]) -> None:
        """Pause a task; replace its pause if it has one.

        Args:
            path: of the task.
            **options: as for `queues.pause`.

        Raises:
            TypeError, ValueError: for a bad argument.
        """
        self.write_task_pause(path, new_pause(**options))

    def resume_task(self, path: str) -> None:
        """End the pause of a task, if it has one."""
        self.write_task_pause(path, None)

    @abstractmethod
    def write_task_pause(self, path: str, pause: Pause | None) -> None:
        """Give a task a pause, or none."""

    @abstractmethod
    def task_pauses(self) -> dict[str, tuple[Pause, int]]:
        """Return the pauses of tasks, by path, each with the number of jobs that it parks."""

    @abstractmethod
    def count_unfinished(self, queue_name: str | None = None) -> dict[JobState, dict[str, int]]:
        """Return the jobs of each queue, or of one, by each state of a job that has not ended."""

    def check(self, **_kwargs: Any) -> Iterator[CheckMessage]:  # type: ignore[override]
        for name in self._unknown_keys:
            yield Error(
                f"TASKS[{self.alias!r}]: Unknown key {name!r}.{did_you_mean(name, TASKS_KEYS)}",
                hint="The options of django-offload belong in OPTIONS.",
                id="offload.E001",
            )
        try:
            options = self.settings
        except ImproperlyConfigured as error:
            hint = "Correct OPTIONS: docs/reference/settings.md lists the options and their values."
            yield Error(str(error), hint=hint, id="offload.E001")
            return
        for name in sorted(options.queue_limits.keys() - self.queues if self.queues else ()):
            yield Error(
                f"TASKS[{self.alias!r}]: OPTIONS['queue_limits'] names the queue {name!r}, which "
                f"is not in QUEUES.{did_you_mean(name, sorted(self.queues))}",
                hint="Correct the name, or add the queue to QUEUES.",
                id="offload.E001",
            )
        for name in GETTERS:
            try:
                _require_callable(self.alias, name, getattr(options, name))
            except ImproperlyConfigured as error:
                hint = f'Set it to the path of a function, such as "mysite.offload.{name}".'
                yield Error(str(error), hint=hint, id="offload.E001")


def offload_backends() -> list[OffloadBackend]:
    """Return the backends in TASKS that are django-offload's."""
    return [backend for backend in task_backends.all() if isinstance(backend, OffloadBackend)]


def find_backend(alias: str) -> OffloadBackend | None:
    """Return a backend; None if TASKS does not have it, or it is not django-offload's."""
    try:
        backend = task_backends[alias]
    except InvalidTaskBackend:
        return None
    return backend if isinstance(backend, OffloadBackend) else None


def get_backend(alias: str) -> OffloadBackend:
    """Return a backend.

    Raises:
        InvalidTaskBackend: if TASKS does not have it.
        ImproperlyConfigured: if it is not django-offload's.
    """
    backend = task_backends[alias]
    if not isinstance(backend, OffloadBackend):
        path = f"{type(backend).__module__}.{type(backend).__qualname__}"
        raise ImproperlyConfigured(
            f"TASKS[{alias!r}] is {path}, which is not a backend of django-offload. Set its "
            "BACKEND to 'offload.backends.database.DatabaseBackend'."
        )
    return backend


def _require_names(alias: str, queues: Any) -> None:
    """Refuse a text, whose letters would become queues, and names that are not text."""
    is_list = isinstance(queues, list | tuple | set | frozenset)
    if not is_list or not all(isinstance(name, str) for name in queues):
        raise ImproperlyConfigured(
            f"TASKS[{alias!r}]['QUEUES'] must be a list of names, not {queues!r}."
        )
    for name in queues:
        if "," in name:  # `offload_worker --queues` separates the names by commas
            raise ImproperlyConfigured(
                f"TASKS[{alias!r}]['QUEUES']: the name of a queue cannot have a comma: {name!r}."
            )


def _require_callable(alias: str, name: str, path: str) -> None:
    if not path:
        return
    setting = f"TASKS[{alias!r}]: OPTIONS[{name!r}] is {path!r}"
    try:
        is_callable = callable(import_string(path))
    except ImportError as error:
        raise ImproperlyConfigured(f"{setting}, which cannot be imported: {error}") from error
    if not is_callable:
        raise ImproperlyConfigured(f"{setting}, which is not a callable.")


def _validate_function(func: Any) -> None:
    """Raise InvalidTask for a function that a worker could not find by module and name."""
    name = getattr(func, "__qualname__", None)
    if not callable(func) or name is None:
        raise InvalidTask(f"{NOT_AT_MODULE_LEVEL} {func!r} is not a function made with def.")
    if name.endswith("<lambda>"):
        raise InvalidTask(f"{NOT_AT_MODULE_LEVEL} A lambda has no name by which workers find it.")
    if "." in name:
        raise InvalidTask(
            f"{NOT_AT_MODULE_LEVEL} {name} is defined in a class or function, where workers do "
            "not find it."
        )
    if _contains_yield(func):
        raise InvalidTask(
            f"{name} cannot be a task: it contains yield, so a call would not run its code."
        )
    if len(f"{func.__module__}.{name}") > MAX_PATH_CHARS:
        raise InvalidTask(
            f"The path of {name} is longer than {MAX_PATH_CHARS} characters. Shorten its name, or "
            "that of its module."
        )


@lru_cache(maxsize=1000)
def _contains_yield(func: Any) -> bool:
    return isgeneratorfunction(func) or isasyncgenfunction(func)


def _validate_priority(priority: Any) -> None:
    if not isinstance(priority, int) or not TASK_MIN_PRIORITY <= priority <= TASK_MAX_PRIORITY:
        raise InvalidTask(
            f"priority must be a whole number between {TASK_MIN_PRIORITY} and "
            f"{TASK_MAX_PRIORITY}. It is {priority!r}."
        )


def _validate_run_after(run_after: Any) -> None:
    match run_after:
        case None:
            return
        case timedelta():
            is_valid = 0 <= run_after.total_seconds() <= MAX_SECONDS
            expected = "0 seconds to 100 years from now"
        case datetime():
            is_valid = run_after.year <= MAX_YEAR
            expected = f"before the year {MAX_YEAR + 1}"
        case _:
            raise InvalidTask(f"run_after must be a datetime or a timedelta, not {run_after!r}.")
    if not is_valid:
        raise InvalidTask(f"run_after must be {expected}, not {run_after}.")
