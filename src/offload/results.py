"""OffloadResult: Django's TaskResult with state, progress, waiting, cancelling and retrying.

WorkflowResult is that of a workflow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from asgiref.sync import sync_to_async
from django.tasks import TaskResult
from django.tasks.base import TaskError

from offload.conf import did_you_mean
from offload.durations import seconds
from offload.imported import find_imported_class
from offload.lifecycle import JobState
from offload.progress import Progress

FAILURES = (JobState.FAILED, JobState.EXPIRED)
"""States of a part of a workflow that lets it fail, unless it is tolerant."""

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

    def parts(self, result_id: str) -> list[OffloadResult[Any]]: ...

    def count_parts(self, result_id: str) -> dict[JobState, int]: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OffloadResult[R](_TaskResult[R]):  # type: ignore[misc]  # not frozen in the stubs
    """A job as it was when it was read; `refresh()` reads it again.

    Attributes:
        state: the job's state; finer than Django's `status`.
        progress: the progress of the running or last attempt, if the task reported it.
        is_new: whether the call of `enqueue` that returned it has made the job. False for the job
            that already held the call's key, and for a result that was read.
    """

    state: JobState = JobState.READY
    progress: Progress | None = None
    is_new: bool = False

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


class WorkflowResult[R](OffloadResult[R]):
    """The job of a workflow: BLOCKED while its parts wait and run, finished when they are.

    It succeeds if all parts succeeded or were skipped. `progress` counts the finished parts.
    `cancel()` cancels all others; `retry()` of a finished workflow runs those again that did not
    succeed.
    """

    __slots__ = ()

    @property
    def parts(self) -> dict[JobState, int]:
        """How many parts are in each state, without the states in which there are none."""
        return self._backend().count_parts(self.id)

    def nodes(self) -> list[OffloadResult[Any]]:
        """Return the parts, in the order in which their nodes were added."""
        return self._backend().parts(self.id)

    def node(self, name: str) -> OffloadResult[Any]:
        """Return the part to whose node `named` has given a name, or the only part of a task.

        Args:
            name: the name, or that of the task's function.

        Raises:
            KeyError: if no part has the name, or several parts belong to the task.
        """
        names: dict[str, str] = self.kwargs.get("names", {})
        parts = self.nodes()
        if name in names:
            return next(part for part in parts if part.id == names[name])
        found = [part for part in parts if part.task.name == name]
        if len(found) == 1:
            return found[0]
        hint = did_you_mean(name, sorted({*names, *(part.task.name for part in parts)}))
        problem = f"has {len(found)} parts of the task" if found else "has no part"
        raise KeyError(
            f"The workflow {self.args[0]!r} {problem} {name!r}.{hint} Name nodes by named()."
        )

    def failures(self) -> list[OffloadResult[Any]]:
        """Return the parts that failed or expired, in the order in which their nodes were added.

        Those that were cancelled because of these are left out.
        """
        return [part for part in self.nodes() if part.state in FAILURES]


_FIELDS = [field.name for field in fields(OffloadResult)]
_SETTERS = {name: getattr(OffloadResult, name).__set__ for name in _FIELDS}
"""The slots' own setters, which a frozen dataclass hides."""
_KEPT = {"task", "id", "backend", "is_new"}
_REFRESHED = [name for name in _FIELDS if name not in _KEPT]


def make_result(
    kind: type[OffloadResult[Any]] = OffloadResult, **values: Any
) -> OffloadResult[Any]:
    """Return a result of values that are known to be exact JSON, without Django's checks.

    Args:
        kind: its class.
        values: every field; `progress`, `is_new` and `_return_value` may be left out.
    """
    result: OffloadResult[Any] = object.__new__(kind)
    _SETTERS["progress"](result, None)
    _SETTERS["is_new"](result, False)  # noqa: FBT003  # a slot's setter
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
