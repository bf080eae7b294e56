"""Reads what is known of a task, or of several by few queries."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from offload.celery.exceptions import UnknownTaskId
from offload.celery.result.eager_snapshots import EagerSnapshot, find_kept
from offload.celery.result.snapshots import Snapshot, read, read_all
from offload.celery.tasks.current import get_current_app
from offload.celery.tasks.ids import job_id

type Known = Snapshot | EagerSnapshot
"""What is known of a task."""


class TaskReader:
    """What is known of a task, read at each use until the task has ended.

    Args:
        id: the id of the task.
        strict: whether an id that no task has raises; the setting `result_strict` if None.

    Attributes:
        last_read: what was known last; None before the first use, and of an unknown task.
    """

    def __init__(self, id: str, strict: bool | None) -> None:  # Celery's name
        self.id = id
        self.strict = strict
        self.last_read: Known | None = None

    @property
    def job_id(self) -> UUID:
        """The id of its job, by which `accepted` and templates find it."""
        return job_id(self.id)

    @property
    def has_ended(self) -> bool:
        """Whether it is known without a query that the task has ended."""
        return self.last_read is not None and self.last_read.is_finished

    def read(self) -> Known | None:
        """Return what is known; None for an unknown task if that is no error.

        Raises:
            UnknownTaskId: if no task has the id.
        """
        if self.has_ended:
            return self.last_read
        self.last_read = find_kept(self.id)
        if self.last_read is None:
            try:
                self.last_read = read(self.job_id, self.id)
            except UnknownTaskId:
                strict = self.strict
                if get_current_app().conf.result_strict if strict is None else strict:
                    raise
        return self.last_read


def read_together(readers: Sequence[TaskReader]) -> list[Known | None]:
    """Return what is known of several tasks now, with one query for up to 1,000.

    Args:
        readers: of the tasks.

    Raises:
        UnknownTaskId: if no task has the id of one of them, as `TaskReader.read` says.
    """
    unread = {
        reader.job_id for reader in readers if not reader.has_ended and find_kept(reader.id) is None
    }
    found = read_all(unread)
    for reader in readers:
        reader.last_read = found.get(reader.job_id, reader.last_read)
    return [reader.last_read if reader.job_id in found else reader.read() for reader in readers]
