"""OffloadResult: Django's TaskResult with state, progress, waiting, cancelling and retrying."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from asgiref.sync import sync_to_async
from django.tasks import TaskResult
from django.tasks.base import TaskError

from offload.durations import seconds
from offload.imported import find_imported_class
from offload.lifecycle import JobState
from offload.progress import Progress

if TYPE_CHECKING:

    class _TaskResult[R](TaskResult[..., R]):
        """Django's class, which is generic only for type checkers."""
else:

    class _TaskResult:
        def __class_getitem__(cls, _parameters: Any) -> type:
            return TaskResult


class _Backend(Protocol):
    """The methods of the backend that a result calls."""

    def get_result(self, result_id: str) -> TaskResult[..., Any]: ...

    async def aget_result(self, result_id: str) -> TaskResult[..., Any]: ...

    def wait(self, result_id: str, timeout: float | None) -> None: ...

    async def wait_async(self, result_id: str, timeout: float | None) -> None: ...  # noqa: ASYNC109

    def cancel(self, result_id: str) -> None: ...

    def retry(self, result_id: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OffloadResult[R](_TaskResult[R]):  # type: ignore[misc]  # not frozen in the stubs
    """A job as it was when it was read; `refresh()` reads it again.

    Attributes:
        state: the job's state; finer than Django's `status`.
        progress: the progress of the running or last attempt, if the task reported it.
    """

    state: JobState = JobState.READY
    progress: Progress | None = None

    if TYPE_CHECKING:  # typed also where Django's stubs are not installed

        @property
        def return_value(self) -> R:
            """The return value of the task; ValueError if the job was not successful."""

    def __hash__(self) -> int:
        """Hash by id: other fields are lists, and change."""
        return hash(self.id)

    def wait(self, timeout: float | timedelta | None = None) -> Self:
        """Wait until the job has finished, then return this result, refreshed.

        Args:
            timeout: seconds (or a timedelta); None waits indefinitely.

        Raises:
            TypeError, ValueError: if `timeout` is not a duration.
            TimeoutError: if the job has not finished by then.
            OffloadError: inside a transaction, where the job cannot be seen to finish.
            TaskResultExpired: if the job was pruned meanwhile.
        """
        if not self.is_finished:
            self._backend().wait(self.id, _limit(timeout))
            self.refresh()
        return self

    async def wait_async(self, timeout: float | timedelta | None = None) -> Self:  # noqa: ASYNC109
        """Do what `wait` does."""
        if not self.is_finished:
            await self._backend().wait_async(self.id, _limit(timeout))
            await self.arefresh()
        return self

    def cancel(self) -> None:
        """Cancel the job: at once if it waits, as soon as it can be stopped if it runs.

        Raises:
            InvalidJobState: if the job has finished.
        """
        self._backend().cancel(self.id)
        self.refresh()

    async def acancel(self) -> None:
        """Do what `cancel` does."""
        await sync_to_async(self.cancel)()

    def retry(self) -> None:
        """Run a failed, cancelled or expired job again, with all its attempts.

        Raises:
            InvalidJobState: if the job is in another state.
        """
        self._backend().retry(self.id)
        self.refresh()

    async def aretry(self) -> None:
        """Do what `retry` does."""
        await sync_to_async(self.retry)()

    def refresh(self) -> None:
        """Read the job again."""
        self._update_from(self._backend().get_result(self.id))

    async def arefresh(self) -> None:
        """Do what `refresh` does."""
        self._update_from(await self._backend().aget_result(self.id))

    def _update_from(self, other: TaskResult[..., Any]) -> None:
        for name in _REFRESHED:
            object.__setattr__(self, name, getattr(other, name))

    def _backend(self) -> _Backend:
        return cast("_Backend", self.task.get_backend())


_FIELDS = [field.name for field in fields(OffloadResult)]
_SETTERS = {name: getattr(OffloadResult, name).__set__ for name in _FIELDS}
"""The slots' own setters, which a frozen dataclass hides."""
_REFRESHED = [name for name in _FIELDS if name not in {"task", "id", "args", "kwargs", "backend"}]


def make_result(**values: Any) -> OffloadResult[Any]:
    """Return a result of values that are known to be exact JSON, without Django's checks.

    Args:
        values: every field; `progress` and `_return_value` may be left out.
    """
    result: OffloadResult[Any] = object.__new__(OffloadResult)
    _SETTERS["progress"](result, None)
    _SETTERS["_return_value"](result, None)
    for name, value in values.items():
        _SETTERS[name](result, value)
    return result


def canonical_id(key: str) -> str:
    """Return an id with dashes, as results have it: SQLite stores the 32 digits alone."""
    if len(key) != 32:
        return key
    return f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}"


def task_errors(failures: Iterable[tuple[str, str]]) -> list[TaskError]:
    """Return Django's errors for pairs of exception class path and traceback."""
    return [
        SafeTaskError(exception_class_path=path, traceback=traceback)
        for path, traceback in failures
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeTaskError(TaskError):  # type: ignore[misc]  # frozen, but not in the stubs
    """An error whose class is looked up only in modules that are already imported.

    Django's own class imports any module that the row names: anyone who can write a row could
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


def _limit(timeout: float | timedelta | None) -> float | None:
    """Return a timeout in seconds; what is left of a deadline may be negative."""
    if timeout is None:
        return None
    is_over = isinstance(timeout, int | float) and timeout < 0
    return float(timeout) if is_over else seconds(timeout)  # type: ignore[arg-type]
