"""Assertions about enqueued jobs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ContextDecorator
from typing import TYPE_CHECKING, Any, Unpack

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS, Task

from offload.lifecycle import JobState
from offload.results import OffloadResult
from offload.serialization import decode
from offload.testing.expected_job import ExpectedCall, ExpectedJob, expect
from offload.testing.jobs import find_rows, get_inspectable_backend, require_queue
from offload.testing.unused import MustBeEntered

if TYPE_CHECKING:
    from offload.models import Job

MAX_LISTED_JOBS = 20
"""Number of jobs that a failure message lists."""


def enqueued_jobs(
    task: Task[..., Any] | None = None, *, backend: str | None = None
) -> list[OffloadResult[Any]]:
    """Return the enqueued jobs in order, also those that have been run.

    Args:
        task: return only jobs of this task.
        backend: alias in TASKS; the task's if None.
    """
    expected = expect("enqueued_jobs", task)
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

    Raises:
        AssertionError: if other jobs, or none, were enqueued.
        TypeError: for something else than a task, an unknown attribute, or one of a wrong type.
        ValueError: for a queue that the backend does not have.
    """
    expected = expect("assert_enqueued", task, attributes)
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
    expected = expect("assert_not_enqueued", task, attributes)
    rows = _rows(expected, backend)
    matching = [row for row in rows if expected.matches(row)]
    _check(expected, matching, 0, rows)


def assert_enqueues(
    task: Task[..., Any],
    *,
    count: int | None = None,
    backend: str | None = None,
    **attributes: Unpack[ExpectedCall],
) -> AbstractContextManager[list[OffloadResult[Any]]]:
    """Fail unless the block enqueues jobs of a task; after the block they are in the list.

    with assert_enqueues(send_report, args=[42]) as jobs:
        client.post("/orders/")

    Warns:
        RuntimeWarning: without `with`, which the pytest plugin turns into a failure.
    """
    return _Enqueues(expect("assert_enqueues", task, attributes), count, backend)


class _Enqueues(MustBeEntered, ContextDecorator):
    """The context manager of `assert_enqueues`.

    Args:
        expected: what the jobs must be.
        count: their exact number; at least one if None.
        backend: alias in TASKS; the task's if None.
    """

    def __init__(self, expected: ExpectedJob, count: int | None, backend: str | None) -> None:
        self.call = "assert_enqueues(...)"
        self._expected = expected
        self._count = count
        self._backend = backend

    def __call__(self, func: Any) -> Any:
        self.is_used = True
        return super().__call__(func)

    def __enter__(self) -> list[OffloadResult[Any]]:
        self.is_used = True
        self._earlier = {row.pk for row in _rows(self._expected, self._backend)}
        self._jobs: list[OffloadResult[Any]] = []
        return self._jobs

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        rows = _rows(self._expected, self._backend)
        rows = [row for row in rows if row.pk not in self._earlier]
        matching = [row for row in rows if self._expected.matches(row)]
        _check(self._expected, matching, self._count, rows)
        self._jobs += _results(matching)


def _rows(expected: ExpectedJob, backend: str | None) -> list[Job]:
    """Return all jobs of the backend; if None, of the task's backend or the default one."""
    if backend is not None:
        alias = backend
    elif expected.task is not None:
        alias = expected.task.backend
    else:
        alias = DEFAULT_TASK_BACKEND_ALIAS
    inspectable = get_inspectable_backend(alias)
    require_queue(inspectable, expected.queue_name)
    return find_rows(inspectable)


def _results(rows: Sequence[Job]) -> list[OffloadResult[Any]]:
    return [get_inspectable_backend(row.backend).result_of(row) for row in rows]


def _check(
    expected: ExpectedJob, matching: Sequence[Job], count: int | None, rows: Sequence[Job]
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
    state = JobState(row.state)
    attributes.append("waits for its limit" if state == JobState.LIMITED else state.label)
    return f"{row.task_path}({', '.join(arguments)})  {', '.join(attributes)}"
