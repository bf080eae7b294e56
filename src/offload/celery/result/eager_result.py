"""`EagerResult`: a task that ran in the caller's process."""

from __future__ import annotations

from typing import Any

from offload.celery.result.async_result import AsyncResult
from offload.celery.result.eager_snapshots import EagerSnapshot


class EagerResult(AsyncResult):
    """A task that ran in the caller's process.

    Args:
        id: its id.
        ret_value: its result, or its exception.
        state: its state.
        traceback: of the exception.
        name: of the task.
    """

    def __init__(
        self,
        id: Any,  # Celery's name
        ret_value: Any,
        state: str,
        traceback: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(id, task_name=name)
        self.last_read = EagerSnapshot(self.id, state, ret_value, traceback, name)

    @classmethod
    def of(cls, snapshot: EagerSnapshot) -> EagerResult:
        """Return the result of a task that ran eagerly."""
        result = cls(snapshot.task_id, snapshot.result, snapshot.state, name=snapshot.name)
        result.last_read = snapshot
        return result

    def ready(self) -> bool:
        return True

    def forget(self) -> None:
        """Do nothing: it is stored nowhere."""

    def __repr__(self) -> str:
        return f"<EagerResult: {self.id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return EagerResult, (self.id, self.result, self.state, self.traceback, self._task_name)
