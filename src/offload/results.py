"""What `enqueue` and `get_result` return: Django's TaskResult, and what only we know."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

from asgiref.sync import sync_to_async
from django.tasks import TaskResult
from django.tasks.base import TaskError

from offload.imported import find_imported_class
from offload.lifecycle import JobState
from offload.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OffloadResult(TaskResult):  # type: ignore[type-arg,misc]  # other in the stubs
    """A job as it was when it was looked at; `refresh()` looks again.

    Attributes:
        state: where the job stands; finer than Django's `status`.
        progress: how far the attempt is that runs, or ran last, if its code said so.
    """

    state: JobState = JobState.READY
    progress: Progress | None = None

    def __hash__(self) -> int:
        """Hash by id: asyncio keeps what it waits for in dicts."""
        return hash(self.id)

    def wait(self, timeout: float | None = None) -> Self:
        """Wait until the job has ended, then return this result, refreshed.

        Args:
            timeout: seconds; None waits as long as it takes.

        Raises:
            TimeoutError: if the job has not ended by then.
            OffloadError: inside a transaction, where the job cannot be seen to end.
            TaskResultExpired: if the job was pruned meanwhile.
        """
        if not self.is_finished:
            self._backend().wait(self.id, timeout)
            self.refresh()
        return self

    async def wait_async(self, timeout: float | None = None) -> Self:  # noqa: ASYNC109
        """Do what `wait` does."""
        if not self.is_finished:
            await self._backend().wait_async(self.id, timeout)
            await self.arefresh()
        return self

    def cancel(self) -> None:
        """Cancel the job: at once if it waits, as soon as it can be stopped if it runs.

        Raises:
            InvalidJobState: if the job has ended.
        """
        self._backend().cancel(self.id)
        self.refresh()

    async def acancel(self) -> None:
        """Do what `cancel` does."""
        await sync_to_async(self.cancel)()

    def retry(self) -> None:
        """Run a job again that failed, was cancelled or expired, with all its attempts.

        Raises:
            InvalidJobState: if it did not fail, was not cancelled and has not expired.
        """
        self._backend().retry(self.id)
        self.refresh()

    async def aretry(self) -> None:
        """Do what `retry` does."""
        await sync_to_async(self.retry)()

    def refresh(self) -> None:
        """Look at the job again."""
        self._take(self._backend().get_result(self.id))

    async def arefresh(self) -> None:
        """Look at the job again."""
        self._take(await self._backend().aget_result(self.id))

    def _take(self, other: TaskResult[Any, Any]) -> None:
        for name in _REFRESHED:
            object.__setattr__(self, name, getattr(other, name))

    def _backend(self) -> Any:
        """Return the backend, whose room lies above this one."""
        return self.task.get_backend()


_FIELDS = [field.name for field in fields(OffloadResult)]
_SETTERS = {name: getattr(OffloadResult, name).__set__ for name in _FIELDS}
"""Past what makes the class frozen."""
_REFRESHED = [name for name in _FIELDS if name not in {"task", "id", "args", "kwargs", "backend"}]


def make_result(**values: Any) -> OffloadResult:
    """Return a result of values that are known to be exact JSON, at little cost.

    Args:
        values: every field; `progress` and `_return_value` may be left out.
    """
    result = object.__new__(OffloadResult)
    _SETTERS["progress"](result, None)
    _SETTERS["_return_value"](result, None)
    for name, value in values.items():
        _SETTERS[name](result, value)
    return result


def canonical_id(key: str) -> str:
    """Return an id as results show it: SQLite keeps ids as 32 digits, results have dashes."""
    if len(key) != 32:
        return key
    return f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}"


def task_errors(failures: Any) -> list[TaskError]:
    """Return Django's errors for pairs of exception class path and traceback."""
    return [
        SafeTaskError(exception_class_path=path, traceback=traceback)
        for path, traceback in failures
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeTaskError(TaskError):  # type: ignore[misc]  # frozen, but not in the stubs
    """An error whose class is looked up only in modules that are already imported.

    Django's own imports whatever module the row names, so that who can write a row could
    have any module imported.
    """

    @property
    def exception_class(self) -> type[BaseException]:
        exception_class = find_imported_class(self.exception_class_path)
        if exception_class is None or not issubclass(exception_class, BaseException):
            raise ValueError(
                f"{self.exception_class_path!r} is not an exception class of an imported module."
            )
        return exception_class
