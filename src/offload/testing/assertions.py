"""What was enqueued, and whether it is what a test expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS, Task

from offload.backends.rows import result_of
from offload.lifecycle import JobState
from offload.results import OffloadResult
from offload.serialization import decode, normalize
from offload.testing.jobs import find_rows, get_backend, store_of
from offload.timestamps import to_microseconds

SHOWN = 20
"""Jobs that a failure lists."""


class ExpectedCall(TypedDict, total=False):
    """What a job may be asked for; what is left out is not looked at.

    `run_after` is a moment, or a time from the enqueueing.
    """

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    queue_name: str
    priority: int
    run_after: datetime | timedelta


def enqueued_jobs(
    task: Task[..., Any] | None = None, *, backend: str | None = None
) -> list[OffloadResult[Any]]:
    """Return the jobs that were enqueued, in that order, whatever became of them since.

    Args:
        task: only its jobs.
        backend: alias in TASKS; the task's if None.
    """
    return _results(_matching(_ExpectedJob(task), backend))


def assert_enqueued(
    task: Task[..., Any],
    *,
    count: int | None = None,
    backend: str | None = None,
    **wanted: Unpack[ExpectedCall],
) -> list[OffloadResult[Any]]:
    """Fail unless jobs of a task were enqueued; return them.

    Args:
        task: the task.
        count: how many; at least one if None.
        backend: alias in TASKS; the task's if None.
        wanted: args, kwargs, queue_name, priority, run_after.
    """
    expected = _ExpectedJob(task, **wanted)
    found = _matching(expected, backend)
    _check(expected, found, count, _rows(expected, backend))
    return _results(found)


def assert_not_enqueued(
    task: Task[..., Any] | None = None,
    *,
    backend: str | None = None,
    **wanted: Unpack[ExpectedCall],
) -> None:
    """Fail if a job of a task was enqueued, or without a task, if any was."""
    expected = _ExpectedJob(task, **wanted)
    _check(expected, _matching(expected, backend), 0, _rows(expected, backend))


@contextmanager
def assert_enqueues(
    task: Task[..., Any],
    *,
    count: int | None = None,
    backend: str | None = None,
    **wanted: Unpack[ExpectedCall],
) -> Iterator[list[OffloadResult[Any]]]:
    """Fail unless the block enqueues jobs of a task; afterwards the list has them.

    with assert_enqueues(send_report, args=[42]) as jobs:
        client.post("/orders/")
    """
    expected = _ExpectedJob(task, **wanted)
    before = {row.pk for row in _rows(expected, backend)}
    jobs: list[OffloadResult[Any]] = []
    yield jobs
    rows = [row for row in _rows(expected, backend) if row.pk not in before]
    found = [row for row in rows if expected.matches(row)]
    _check(expected, found, count, rows)
    jobs += _results(found)


@dataclass(frozen=True, slots=True)
class _ExpectedJob:
    task: Task[..., Any] | None
    args: Sequence[Any] | None = None
    kwargs: Mapping[str, Any] | None = None
    queue_name: str | None = None
    priority: int | None = None
    run_after: datetime | timedelta | None = None

    def matches(self, row: Any) -> bool:
        if self.task is not None and row.task_path != self.task.module_path:
            return False
        if self.queue_name not in {None, row.queue_name}:
            return False
        if self.priority not in {None, row.priority}:
            return False
        return self._matches_arguments(row) and self._matches_time(row)

    def _matches_arguments(self, row: Any) -> bool:
        args, kwargs = decode(row.arguments)
        same_args = self.args is None or _as_json(list(self.args)) == args
        return same_args and (self.kwargs is None or _as_json(dict(self.kwargs)) == kwargs)

    def _matches_time(self, row: Any) -> bool:
        if self.run_after is None:
            return True
        # Plain numbers, since a datetime may be naive and in any time zone.
        run_after = to_microseconds(row.run_after)
        if isinstance(self.run_after, datetime):
            return run_after == to_microseconds(self.run_after)
        waits = timedelta(microseconds=run_after - to_microseconds(row.enqueued_at))
        return waits == self.run_after

    def __str__(self) -> str:
        names = ("args", "kwargs", "queue_name", "priority", "run_after")
        wanted = {name: getattr(self, name) for name in names}
        conditions = [f"{name}={value!r}" for name, value in wanted.items() if value is not None]
        task = "any task" if self.task is None else self.task.module_path
        return f"of {task}{' with ' if conditions else ''}{', '.join(conditions)}"


def _rows(expected: _ExpectedJob, backend: str | None) -> list[Any]:
    alias = backend or (expected.task.backend if expected.task else DEFAULT_TASK_BACKEND_ALIAS)
    return find_rows(get_backend(alias))


def _matching(expected: _ExpectedJob, backend: str | None) -> list[Any]:
    return [row for row in _rows(expected, backend) if expected.matches(row)]


def _results(rows: Sequence[Any]) -> list[OffloadResult[Any]]:
    results = []
    for row in rows:
        attempts = store_of(get_backend(row.backend)).read(row.pk)[1] if row.fence else []
        results.append(result_of(row, attempts))
    return results


def _as_json(value: Any) -> Any:
    """Return a value as the job got it; what JSON does not have, such as `mock.ANY`, as it is."""
    if isinstance(value, Mapping):
        return {_as_json_key(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    try:
        return normalize(value, "expected")
    except (TypeError, ValueError):
        return value


def _as_json_key(key: Any) -> str:
    return str(next(iter(normalize({key: None}, "expected"))))


def _check(
    expected: _ExpectedJob, found: Sequence[Any], count: int | None, rows: Sequence[Any]
) -> None:
    if count is None and found:
        return
    if count is not None and len(found) == count:
        return
    raise AssertionError(
        f"Expected: {_counted(count)} {expected}. Found: {len(found)}.\n{_listed(rows)}"
    )


def _counted(count: int | None) -> str:
    match count:
        case None:
            return "at least one job"
        case 0:
            return "no job"
        case 1:
            return "1 job"
    return f"{count} jobs"


def _listed(rows: Sequence[Any]) -> str:
    if not rows:
        return "Nothing was enqueued."
    lines = [f"Enqueued were ({len(rows)}):", *(f"  {_shown(row)}" for row in rows[:SHOWN])]
    if len(rows) > SHOWN:
        lines.append(f"  ... and {len(rows) - SHOWN} more")
    return "\n".join(lines)


def _shown(row: Any) -> str:
    args, kwargs = decode(row.arguments)
    call = ", ".join([*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())])
    waits = row.run_after - row.enqueued_at
    later = f", run_after={waits}" if waits else ""
    return (
        f"{row.task_path}({call})  queue_name={row.queue_name!r}, priority={row.priority}{later}, "
        f"{JobState(row.state).label}"
    )
