"""Assertions about enqueued jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS, Task

from offload.lifecycle import JobState
from offload.results import OffloadResult
from offload.serialization import decode, normalize
from offload.testing.jobs import find_rows, get_inspectable_backend
from offload.timestamps import to_microseconds

if TYPE_CHECKING:
    from offload.models import Job

MAX_LISTED_JOBS = 20
"""Number of jobs that a failure message lists."""


class ExpectedCall(TypedDict, total=False):
    """Attributes that a job must have; those left out are not compared.

    `run_after` is a datetime, or a timedelta from the time of enqueueing.
    """

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    queue_name: str
    priority: int
    run_after: datetime | timedelta


def enqueued_jobs(
    task: Task[..., Any] | None = None, *, backend: str | None = None
) -> list[OffloadResult[Any]]:
    """Return the enqueued jobs in order, also those that have been run.

    Args:
        task: return only jobs of this task.
        backend: alias in TASKS; the task's if None.
    """
    expected = _ExpectedJob(task)
    return _results([row for row in _rows(expected, backend) if expected.matches(row)])


def assert_enqueued(
    task: Task[..., Any],
    *,
    count: int | None = None,
    backend: str | None = None,
    **attributes: Unpack[ExpectedCall],
) -> list[OffloadResult[Any]]:
    """Fail unless jobs of a task were enqueued; return them.

    Args:
        task: the task.
        count: the exact number of jobs; at least one if None.
        backend: alias in TASKS; the task's if None.
        attributes: args, kwargs, queue_name, priority, run_after.
    """
    expected = _ExpectedJob(task, **attributes)
    rows = _rows(expected, backend)
    matching = [row for row in rows if expected.matches(row)]
    _check(expected, matching, count, rows)
    return _results(matching)


def assert_not_enqueued(
    task: Task[..., Any] | None = None,
    *,
    backend: str | None = None,
    **attributes: Unpack[ExpectedCall],
) -> None:
    """Fail if jobs of a task were enqueued; without a task, if any jobs were."""
    expected = _ExpectedJob(task, **attributes)
    rows = _rows(expected, backend)
    matching = [row for row in rows if expected.matches(row)]
    _check(expected, matching, 0, rows)


@contextmanager
def assert_enqueues(
    task: Task[..., Any],
    *,
    count: int | None = None,
    backend: str | None = None,
    **attributes: Unpack[ExpectedCall],
) -> Iterator[list[OffloadResult[Any]]]:
    """Fail unless the block enqueues jobs of a task; after the block they are in the list.

    with assert_enqueues(send_report, args=[42]) as jobs:
        client.post("/orders/")
    """
    expected = _ExpectedJob(task, **attributes)
    earlier = {row.pk for row in _rows(expected, backend)}
    jobs: list[OffloadResult[Any]] = []
    yield jobs
    rows = [row for row in _rows(expected, backend) if row.pk not in earlier]
    matching = [row for row in rows if expected.matches(row)]
    _check(expected, matching, count, rows)
    jobs += _results(matching)


@dataclass(frozen=True, slots=True)
class _ExpectedJob:
    """The attributes that a job must have; None for any value."""

    task: Task[..., Any] | None
    args: Sequence[Any] | None = None
    kwargs: Mapping[str, Any] | None = None
    queue_name: str | None = None
    priority: int | None = None
    run_after: datetime | timedelta | None = None

    def matches(self, row: Job) -> bool:
        """Return whether a job has all attributes that are not None."""
        if self.task is not None and row.task_path != self.task.module_path:
            return False
        if self.queue_name not in {None, row.queue_name}:
            return False
        if self.priority not in {None, row.priority}:
            return False
        return self._matches_arguments(row) and self._matches_time(row)

    def _matches_arguments(self, row: Job) -> bool:
        args, kwargs = decode(row.arguments)
        if self.args is not None and _as_json(list(self.args)) != args:
            return False
        return self.kwargs is None or _as_json(dict(self.kwargs)) == kwargs

    def _matches_time(self, row: Any) -> bool:
        if self.run_after is None:
            return True
        # Compare numbers, since a datetime may be naive and in any time zone.
        run_after = to_microseconds(row.run_after)
        if isinstance(self.run_after, datetime):
            return run_after == to_microseconds(self.run_after)
        delay = timedelta(microseconds=run_after - to_microseconds(row.enqueued_at))
        return delay == self.run_after

    def __str__(self) -> str:
        text = "of any task" if self.task is None else f"of {self.task.module_path}"
        conditions = []
        for name in ("args", "kwargs", "queue_name", "priority", "run_after"):
            value = getattr(self, name)
            if value is not None:
                conditions.append(f"{name}={value!r}")
        return f"{text} with {', '.join(conditions)}" if conditions else text


def _rows(expected: _ExpectedJob, backend: str | None) -> list[Job]:
    """Return all jobs of the backend; if None, of the task's backend or the default one."""
    if backend is not None:
        alias = backend
    elif expected.task is not None:
        alias = expected.task.backend
    else:
        alias = DEFAULT_TASK_BACKEND_ALIAS
    return find_rows(get_inspectable_backend(alias))


def _results(rows: Sequence[Job]) -> list[OffloadResult[Any]]:
    return [get_inspectable_backend(row.backend).result_of(row) for row in rows]


def _as_json(value: Any) -> Any:
    """Return a value as a task would receive it; one that is not JSON (`mock.ANY`) is unchanged."""
    if isinstance(value, Mapping):
        return {_as_json_key(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    try:
        return normalize(value, "expected")
    except (TypeError, ValueError):
        return value


def _as_json_key(key: Any) -> str:
    [name] = normalize({key: None}, "expected")
    return str(name)


def _check(
    expected: _ExpectedJob, matching: Sequence[Job], count: int | None, rows: Sequence[Job]
) -> None:
    """Raise AssertionError if the number of matching jobs is wrong; it lists all jobs."""
    is_expected = len(matching) > 0 if count is None else len(matching) == count
    if not is_expected:
        raise AssertionError(
            f"Expected: {_format_count(count)} {expected}. Found: {len(matching)}.\n"
            f"{_format_rows(rows)}"
        )


def _format_count(count: int | None) -> str:
    match count:
        case None:
            return "at least one job"
        case 0:
            return "no job"
        case 1:
            return "1 job"
    return f"{count} jobs"


def _format_rows(rows: Sequence[Job]) -> str:
    if not rows:
        return "No jobs were enqueued."
    lines = [f"Enqueued jobs ({len(rows)}):"]
    lines += [f"  {_format_row(row)}" for row in rows[:MAX_LISTED_JOBS]]
    if len(rows) > MAX_LISTED_JOBS:
        lines.append(f"  ... and {len(rows) - MAX_LISTED_JOBS} more")
    return "\n".join(lines)


def _format_row(row: Any) -> str:
    args, kwargs = decode(row.arguments)
    arguments = [repr(value) for value in args]
    arguments += [f"{name}={value!r}" for name, value in kwargs.items()]
    attributes = [f"queue_name={row.queue_name!r}", f"priority={row.priority}"]
    delay = row.run_after - row.enqueued_at
    if delay:
        attributes.append(f"run_after={delay}")
    attributes.append(JobState(row.state).label)
    return f"{row.task_path}({', '.join(arguments)})  {', '.join(attributes)}"
