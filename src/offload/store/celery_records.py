"""Rows of plain Celery tasks, whose states the result backend `offload://` writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from offload.lifecycle import JobState
from offload.store.records import NewJob

CELERY = "offload://"
"""The backend of these rows: no alias in TASKS, so that no worker of ours finds them."""


class CeleryWrite(NamedTuple):
    """One state of a task, as a Celery worker reports it.

    Attributes:
        id: the task's, as text.
        state: its state.
        attempt: number of the attempt, from 1; 0 if whoever reports does not know it.
        follows: the lowest and the highest state that it may follow within the attempt.
        worker: id of the Celery worker, as text.
        new_row: returns the row to insert if the task has none yet.
        run_after: when the next attempt may start, in microseconds; None to leave it as it is.
        started_at: when the attempt started, in microseconds; None if that is not known.
        progress: JSON text with the progress, and with what only Celery shows.
        return_value: JSON text.
        failure: class path, message and traceback of the exception of the attempt.
    """

    id: str
    state: JobState
    attempt: int
    follows: tuple[JobState, JobState]
    worker: str
    new_row: Callable[[], NewJob]
    run_after: int | None = None
    started_at: int | None = None
    progress: str | None = None
    return_value: str | None = None
    failure: tuple[str, str, str] | None = None

    @property
    def fence(self) -> int:
        """The number of attempts that the row then has at least."""
        has_started = self.state >= JobState.RUNNING and self.state != JobState.CANCELLED
        return self.attempt or int(has_started)


class StoredResult(NamedTuple):
    """The columns of a task that its result is made of, read by one statement."""

    id: UUID
    state: int
    task_path: str
    queue_name: str
    arguments: str
    attempt: int
    progress: str | None
    return_value: str | None


class CountedPart(NamedTuple):
    """What is known of a chord after one of its parts has ended.

    Attributes:
        is_last: whether the caller has to call the body.
        saved: the group as Celery has saved it, if its parts are groups themselves.
    """

    is_last: bool
    saved: str | None = None


class EndedPart(NamedTuple):
    """A part of a chord that has ended; the columns of `CeleryPart`."""

    chord: UUID
    task: UUID
    position: int
    outcome: str
