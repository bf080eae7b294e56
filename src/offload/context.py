"""Functions for running tasks: the current job, cancellation and progress."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from asgiref.sync import sync_to_async

from offload.owners import user_of_owner
from offload.progress import PLAIN_TYPES, Number, ProgressReporter, validate_progress, validate_step


@dataclass(frozen=True, slots=True)
class CurrentJob:
    """The job that is running in this context.

    Attributes:
        id: the result's id.
        task_path: the dotted path of its task.
        queue_name: the queue it was enqueued to.
        attempt: 1 for the first try.
        max_attempts: how often the task may run.
        enqueued_at: when it was enqueued.
        started_at: when its first attempt started; None in a signal about a job that did not.
        owner: `user:<pk>`, `session:<name>`, or "" for no owner.
        tenant: the tenant; "" without one.
        request_id: the id of the request that led to it; "" without one.
        is_cancelled: returns whether the job was cancelled.
        scheduled_for: the tick of the schedule that enqueued the job; None for any other job.
    """

    id: str
    task_path: str
    queue_name: str
    attempt: int
    max_attempts: int
    enqueued_at: datetime
    started_at: datetime | None
    owner: str
    tenant: str
    request_id: str
    is_cancelled: Callable[[], bool]
    scheduled_for: datetime | None

    def get_user(self) -> Any:
        """Return the user who owns the job; None for a visitor, no owner or a deleted user.

        Each call is one query.
        """
        return user_of_owner(self.owner)

    async def aget_user(self) -> Any:
        """Return the user who owns the job, as `get_user` does."""
        return await sync_to_async(self.get_user)()


class JobContext(Protocol):
    """The running attempt, as its executor provides it."""

    reporter: ProgressReporter | None
    is_cancelled: Callable[[], bool]
    job: Any
    """The claimed job, a `ClaimedJob`."""
    will_be_called_again: Callable[[Exception], bool]
    """Whether the task is called again in the same attempt if it raises an exception."""
    is_skipped: bool
    """Whether the attempt, once its task has returned, ends a part as one that was skipped."""
    additions: Any
    """What the success of the task inserts, such as the nodes that it adds to its workflow."""

    @property
    def id(self) -> str:
        """The job's id as results show it."""

    @property
    def backend(self) -> str:
        """The alias of the job's backend."""

    @property
    def workflow(self) -> str | None:
        """The id of the workflow of which the job is a part; None without one."""

    def current_job(self) -> CurrentJob:
        """Return the job as shown to the task."""

    def open_reporter(self) -> ProgressReporter:
        """Create the attempt's reporter, when the task first reports progress."""


_current: ContextVar[JobContext | None] = ContextVar("offload_current_job", default=None)


def enter_job(running: JobContext) -> None:
    """Make an attempt the current one for the rest of this context, which ends with it."""
    _current.set(running)


def running_job() -> JobContext | None:
    """Return the running attempt, as its executor provided it; None outside a task."""
    return _current.get()


def current_job() -> CurrentJob:
    """Return the job that is running in this thread or coroutine.

    Raises:
        OffloadError: outside a running task.
    """
    running = _current.get()
    if running is None:
        # Its module imports `django.tasks`, whose logger must not exist before LOGGING is applied.
        from offload.exceptions import OffloadError  # noqa: PLC0415

        raise OffloadError("current_job() was called outside a running task.")
    return running.current_job()


def is_cancelled() -> bool:
    """Return whether the running job was cancelled; False outside a task."""
    running = _current.get()
    return running is not None and running.is_cancelled()


# --- progress -----------------------------------------------------------------------------------


def progress(
    done: Number | None = None,
    total: Number | None = None,
    message: str = "",
    *,
    step: tuple[Any, ...] | None = None,
) -> None:
    """Report the progress of the running job; outside a task, do nothing.

    progress(340, 1000, "Reading rows", step=(2, 3, "Import"))

    It is cheap enough to call for each of millions of rows: progress is stored a few times a
    second, and the last report always. Each call replaces all values; omitted ones are unknown.

    Args:
        done: how much is done.
        total: of how much; None if unknown. `done` is limited to it.
        message: the current activity, for the user; 200 characters in one line.
        step: the current one of several steps: number, total or None, name (100 characters).

    Raises:
        TypeError: for a number, message or step of another type. An impossible value, such as a
            negative or infinite number, is corrected instead, so that it fails no job.
    """
    if (
        done.__class__ not in PLAIN_TYPES
        or total.__class__ not in PLAIN_TYPES
        or message.__class__ is not str
    ):
        done, total, message = validate_progress(done, total, message)
    current_step = None if step is None else validate_step(step)
    running = _current.get()
    if running is None:
        return
    reporter = running.reporter or running.open_reporter()
    reporter.latest = (done, total, message, current_step)
    if not reporter.is_changed:
        reporter.publish()


def track[Row](
    rows: Iterable[Row] | AsyncIterable[Row],
    message: str = "",
    *,
    total: Number | None = None,
    step: tuple[Any, ...] | None = None,
) -> Tracked[Row]:
    """Iterate over rows, and report progress after each.

    for order in track(orders, "Importing"):
        ...

    It works with `async for` too. Outside a task it only iterates.

    Args:
        rows: an iterable or asynchronous iterable.
        message: see `progress`.
        total: the number of rows; None takes their len() if they have one. A QuerySet has it
            after its first row, without a query; `.iterator()` does not.
        step: see `progress`.
    """
    return Tracked(rows, message, total, step)


class Tracked[Row]:
    """Rows whose iteration reports progress; see `track`."""

    def __init__(
        self,
        rows: Iterable[Row] | AsyncIterable[Row],
        message: str,
        total: Number | None,
        step: tuple[Any, ...] | None,
    ) -> None:
        self._rows: Any = rows
        self._message = message
        self._total = total
        self._step = step

    def __iter__(self) -> Iterator[Row]:
        done, total = 0, self._total
        self._report(done, total)
        for row in self._rows:
            if not done:
                total = self._count()
                self._report(done, total)
            yield row
            done += 1
            self._report(done, total)

    async def __aiter__(self) -> AsyncIterator[Row]:
        done, total = 0, self._total
        self._report(done, total)
        async for row in self._rows:
            if not done:
                total = self._count()
                self._report(done, total)
            yield row
            done += 1
            self._report(done, total)

    def _report(self, done: int, total: Number | None) -> None:
        progress(done, total, self._message, step=self._step)

    def _count(self) -> Number | None:
        """Return the number of rows, after the first: a QuerySet has then fetched all."""
        if self._total is None and hasattr(type(self._rows), "__len__"):
            return len(self._rows)
        return self._total
