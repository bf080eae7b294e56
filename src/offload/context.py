"""What a running task can ask about itself, and say of itself, from any depth of its code."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from offload.exceptions import OffloadError
from offload.progress import PLAIN_TYPES, Number, ProgressReporter, validate_progress, validate_step


@dataclass(frozen=True, slots=True)
class CurrentJob:
    """The job that runs here.

    Attributes:
        id: the result's id.
        attempt: 1 for the first try.
        is_cancelled: tells whether somebody asked for the job to be cancelled.
    """

    id: str
    attempt: int
    is_cancelled: Callable[[], bool]


class JobContext(Protocol):
    """What an executor knows of the attempt that runs here; it is asked only when needed."""

    reporter: ProgressReporter | None
    is_cancelled: Callable[[], bool]

    def current_job(self) -> CurrentJob:
        """Return what the task may know."""

    def open_reporter(self) -> ProgressReporter:
        """Make the attempt's reporter, when the task first says how far it is."""


_current: ContextVar[JobContext | None] = ContextVar("offload_current_job", default=None)


def enter_job(running: JobContext) -> None:
    """Make `current_job()` answer in this context, which ends with the attempt."""
    _current.set(running)


def current_job() -> CurrentJob:
    """Return the job that runs in this thread or coroutine.

    Raises:
        OffloadError: outside a running task.
    """
    running = _current.get()
    if running is None:
        raise OffloadError("current_job() was called outside a running task.")
    return running.current_job()


def is_cancelled() -> bool:
    """Tell whether the running job should stop; False outside a task."""
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
    """Say how far the running job is; nothing happens outside a task.

    progress(340, 1000, "Reading rows", step=(2, 3, "Import"))

    It may be called for each row of millions: what people see changes some times a second, and
    the last word always counts. Each call says everything: what it leaves out is unknown.

    Args:
        done: how much is done.
        total: of how much; None if that is not known. `done` counts up to it at most.
        message: what the task does, for the person who waits; 200 characters of one line.
        step: which of several steps it is: number, of how many (or None), name (100 characters).

    Raises:
        TypeError: for what is no number, no text or no step. What cannot be, such as a negative
            or infinite number, is mended instead, and fails no job.
    """
    if (
        done.__class__ not in PLAIN_TYPES
        or total.__class__ not in PLAIN_TYPES
        or message.__class__ is not str
    ):
        done, total, message = validate_progress(done, total, message)
    where = None if step is None else validate_step(step)
    running = _current.get()
    if running is None:
        return
    reporter = running.reporter or running.open_reporter()
    reporter.latest = (done, total, message, where)
    if not reporter.is_changed:
        reporter.publish()


def track[Row](
    rows: Iterable[Row] | AsyncIterable[Row],
    message: str = "",
    *,
    total: Number | None = None,
    step: tuple[Any, ...] | None = None,
) -> Tracked[Row]:
    """Iterate over rows, and say after each how many are done.

    for order in track(orders, "Importing"):
        ...

    For `async for` too. Outside a task it just iterates.

    Args:
        rows: what to iterate over, each time anew.
        message: see `progress`.
        total: how many rows there are; their len() if None and they have one. A QuerySet knows
            it when its first row is there, without a query; `.iterator()` does not.
        step: see `progress`.
    """
    return Tracked(rows, message, total, step)


class Tracked[Row]:
    """Rows whose iteration shows how far it is: see `track`."""

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
        self._show(done, total)
        for row in self._rows:
            if not done:
                total = self._count()
                self._show(done, total)
            yield row
            done += 1
            self._show(done, total)

    async def __aiter__(self) -> AsyncIterator[Row]:
        done, total = 0, self._total
        self._show(done, total)
        async for row in self._rows:
            if not done:
                total = self._count()
                self._show(done, total)
            yield row
            done += 1
            self._show(done, total)

    def _show(self, done: int, total: Number | None) -> None:
        progress(done, total, self._message, step=self._step)

    def _count(self) -> Number | None:
        """Return how many rows there are, when the first is there: a QuerySet then has them all."""
        if self._total is None and hasattr(type(self._rows), "__len__"):
            return len(self._rows)
        return self._total
