"""The pauses of queues and of tasks, as operators begin and end them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction

from offload.models import Queue, TaskPause
from offload.notifier import Hint
from offload.store.hints import publish_after_commit
from offload.store.session import Session

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from offload.store.queue_records import Pause

RESUMED: dict[str, Any] = {
    "paused_at": None,
    "paused_until": None,
    "pause_reason": "",
    "is_reason_public": False,
    "pause_changed_by": "",
}
"""The columns of what is not paused."""


class Pauses(Session):
    """Writes pauses, in the caller's transaction; workers are notified after the commit."""

    def pause_queue(self, backend: str, name: str, pause: Pause) -> None:
        """Pause a queue; replace its pause if it has one."""
        self.write_rule(
            Queue.objects.using(self.using), {"backend": backend, "name": name}, _columns_of(pause)
        )

    def resume_queue(self, backend: str, name: str) -> None:
        """End the pause of a queue."""
        self.change_rule(
            Queue.objects.using(self.using), {"backend": backend, "name": name}, RESUMED
        )

    def pause_task(self, backend: str, path: str, pause: Pause) -> None:
        """Pause a task; replace its pause if it has one."""
        self.write_rule(
            TaskPause.objects.using(self.using),
            {"backend": backend, "task_path": path},
            _columns_of(pause),
        )

    def resume_task(self, backend: str, path: str) -> None:
        """End the pause of a task."""
        self.change_rule(
            TaskPause.objects.using(self.using), {"backend": backend, "task_path": path}, RESUMED
        )

    def write_rule(self, rows: QuerySet[Any], key: dict[str, Any], columns: dict[str, Any]) -> None:
        """Write columns of the row of a queue or a task; add the row if it is missing."""
        # Updated first: on SQLite, a transaction that reads first could not write any more.
        with transaction.atomic(self.using):
            if not rows.filter(**key).update(**columns):
                try:
                    with transaction.atomic(self.using):
                        rows.create(**key, **columns)
                except IntegrityError:  # another process has just added it
                    rows.filter(**key).update(**columns)
        publish_after_commit(self.using, Hint.QUEUES)

    def change_rule(
        self, rows: QuerySet[Any], key: dict[str, Any], columns: dict[str, Any]
    ) -> None:
        """Write columns of the row of a queue or a task, if there is one."""
        rows.filter(**key).update(**columns)
        publish_after_commit(self.using, Hint.QUEUES)


def _columns_of(pause: Pause) -> dict[str, Any]:
    return {
        "paused_at": pause.paused_at,
        "paused_until": pause.until,
        "pause_reason": pause.reason,
        "is_reason_public": pause.is_public,
        "pause_changed_by": pause.changed_by,
    }
