"""Django's contract for a task backend, and what ours adds to it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.tasks import Task
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.exceptions import InvalidTask

from offload.conf import Options, did_you_mean
from offload.registry import with_options
from offload.results import OffloadResult
from offload.tasks import Call, OffloadTask

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_PATH = 255
LONGEST_QUEUE_NAME = 64


class OffloadBackend(BaseTaskBackend):
    """A backend that takes our tasks' options and returns our results."""

    task_class = OffloadTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    @cached_property
    def settings(self) -> Options:
        """The checked OPTIONS.

        Raises:
            ImproperlyConfigured: for an unknown option or a bad value.
        """
        try:
            return Options.parse(self.options)
        except ImproperlyConfigured as error:
            raise ImproperlyConfigured(f"TASKS[{self.alias!r}]: {error}") from None

    def validate_task(self, task: Task[..., Any]) -> None:
        """Raise InvalidTask for a task that cannot be enqueued or found again by a worker."""
        if isinstance(task.run_after, timedelta):
            if task.run_after < timedelta():
                raise InvalidTask(f"run_after must not lie in the past: {task.run_after}.")
            task = with_options(task, run_after=None)
        self._validate_queue(task)
        super().validate_task(task)
        if task.func.__name__ == "<lambda>":
            raise InvalidTask("A lambda cannot be a task: a worker finds tasks by name. Use def.")
        if len(task.module_path) > LONGEST_PATH:
            raise InvalidTask(
                f"The path {task.module_path!r} is longer than {LONGEST_PATH} characters."
            )

    def _validate_queue(self, task: Task[..., Any]) -> None:
        name = task.queue_name
        if self.queues and name not in self.queues:
            raise InvalidTask(
                f"Queue {name!r} is not valid for backend {self.alias!r}."
                f"{did_you_mean(name, sorted(self.queues))} "
                f"Queues are listed in TASKS[{self.alias!r}]['QUEUES']."
            )
        if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_QUEUE_NAME or "," in name:
            raise InvalidTask(
                f"The queue name {name!r} must be text of 1 to {LONGEST_QUEUE_NAME} characters "
                "without commas."
            )

    @abstractmethod
    def enqueue(
        self, task: Task[..., Any], args: Any, kwargs: Mapping[str, Any]
    ) -> OffloadResult: ...

    @abstractmethod
    def enqueue_many(self, task: Task[..., Any], calls: Iterable[Call]) -> list[OffloadResult]:
        """Enqueue one job per call; return their results in the same order."""

    async def aenqueue_many(
        self, task: Task[..., Any], calls: Iterable[Call]
    ) -> list[OffloadResult]:
        """Do what `enqueue_many` does."""
        return await sync_to_async(self.enqueue_many, thread_sensitive=True)(task, calls)

    @abstractmethod
    def wait(self, result_id: str, timeout: float | None) -> None:
        """Return when the job has ended; raise TimeoutError after `timeout` seconds."""

    @abstractmethod
    async def await_(self, result_id: str) -> None:
        """Return when the job has ended."""

    @abstractmethod
    def cancel(self, result_id: str) -> None:
        """Cancel a job; raise WrongState if it has ended."""

    @abstractmethod
    def retry(self, result_id: str) -> None:
        """Make an ended job ready again; raise WrongState if it cannot be."""

    def check(self, **kwargs: Any) -> Iterator[CheckMessage]:
        try:
            _ = self.settings
        except ImproperlyConfigured as error:
            yield Error(
                str(error),
                hint="The options are listed in docs/reference/settings.md.",
                id="offload.E001",
            )


