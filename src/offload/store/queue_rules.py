"""What operators have decided about queues: their pauses and their limits."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from django.db import IntegrityError, transaction

from offload.models import Queue
from offload.notifier import Hint
from offload.store.hints import publish_after_commit
from offload.store.queue_records import LimitsChange, Pause, QueueRule
from offload.store.session import Session, seconds_until
from offload.store.statements import statement
from offload.timestamps import now_microseconds, to_datetime


class QueueRules(Session):
    """Reads and writes the pauses and limits of queues."""

    def queue_rules(self, backend: str, *, is_logged: bool = True) -> dict[str, QueueRule]:
        """Return the rules of those queues that have some, by name.

        Args:
            backend: alias in TASKS.
            is_logged: whether Django's log of queries shows it; not where a caller's number of
                queries would depend on how old the rules are that the process has read.
        """
        parameters: dict[str, Any] = {"backend": backend, "now": now_microseconds()}
        if is_logged:
            with self.connection.cursor() as cursor:
                cursor.execute(statement(self.dialect, "queue_rules"), parameters)
                rows = cursor.fetchall()
        else:
            rows = self._fetch_unlogged("queue_rules", parameters)
        return {name: rule_of_row(*row) for name, *row in rows}

    def queue_pauses(self, backend: str) -> dict[str, Pause]:
        """Return the pauses that are in force, by the name of the queue."""
        rules = self.queue_rules(backend).items()
        return {name: rule.pause for name, rule in rules if rule.pause is not None}

    def count_waiting(self, backend: str, queue: str, limit: int) -> int:
        """Count the ready and limited jobs of a queue; at least `limit` if there are more.

        Django's log of queries does not show it.
        """
        parameters = {"backend": backend, "queue": queue, "limit": limit}
        ((count,),) = self._fetch_unlogged("count_waiting", parameters)
        return int(count)

    def add_queues(self, backend: str, names: Collection[str]) -> None:
        """Add the rows of queues that are missing: workers lock the row of a queue with limits."""
        queues = Queue.objects.using(self.using)
        known = queues.filter(backend=backend, name__in=names).values_list("name", flat=True)
        missing = sorted(set(names) - set(known))
        if missing:
            queues.bulk_create(
                [Queue(backend=backend, name=name) for name in missing], ignore_conflicts=True
            )

    def pause_queue(self, backend: str, name: str, pause: Pause) -> None:
        """Pause a queue, in the caller's transaction; workers are notified after the commit."""
        self._write_queue(
            backend,
            name,
            {
                "paused_at": pause.paused_at,
                "paused_until": pause.until,
                "pause_reason": pause.reason,
                "is_reason_public": pause.is_public,
                "pause_changed_by": pause.changed_by,
            },
        )

    def resume_queue(self, backend: str, name: str) -> None:
        """End the pause of a queue, in the caller's transaction, and notify workers after it."""
        Queue.objects.using(self.using).filter(backend=backend, name=name).update(
            paused_at=None,
            paused_until=None,
            pause_reason="",
            is_reason_public=False,
            pause_changed_by="",
        )
        publish_after_commit(self.using, Hint.QUEUES)

    def limit_queue(self, backend: str, name: str, change: LimitsChange) -> None:
        """Set limits of a queue, in the caller's transaction; those left out stay as they are."""
        with transaction.atomic(self.using):
            self._write_queue(backend, name, {"limits_reason": change.reason})  # locks the row
            row = Queue.objects.using(self.using).get(backend=backend, name=name)
            limits = json.loads(row.limits or "{}") | json.loads(change.limits)
            self._write_queue(
                backend,
                name,
                {
                    "limits": json.dumps(limits, sort_keys=True),
                    "limits_changed_by": change.changed_by,
                    "limits_changed_at": change.changed_at,
                },
            )

    def reset_queue_limits(self, backend: str, name: str) -> None:
        """Let the limits of the settings count again, in the caller's transaction."""
        Queue.objects.using(self.using).filter(backend=backend, name=name).update(
            limits="", limits_reason="", limits_changed_by="", limits_changed_at=None
        )
        publish_after_commit(self.using, Hint.QUEUES)

    def _write_queue(self, backend: str, name: str, columns: dict[str, Any]) -> None:
        """Write columns of a queue's row; add the row if it is missing."""
        rows = Queue.objects.using(self.using).filter(backend=backend, name=name)
        # Updated first: on SQLite, a transaction that reads first could not write any more.
        with transaction.atomic(self.using):
            if not rows.update(**columns):
                try:
                    with transaction.atomic(self.using):
                        rows.create(backend=backend, name=name, **columns)
                except IntegrityError:  # another process has just added it
                    rows.update(**columns)
        publish_after_commit(self.using, Hint.QUEUES)


def rule_of_row(
    paused_at: int | None,
    until: int | None,
    reason: str,
    is_public: bool,  # noqa: FBT001  # a column
    changed_by: str,
    ends_in: int | None,
    *change: Any,
) -> QueueRule:
    """Return the rule in the columns of queue_rules.sql, without a pause that is over."""
    pause = None
    if paused_at is not None and (ends_in is None or ends_in > 0):
        pause = Pause(
            to_datetime(paused_at),
            None if until is None else to_datetime(until),
            reason,
            bool(is_public),
            changed_by,
            seconds_until(ends_in),
        )
    limits, limits_reason, limits_changed_by, changed_at = change
    changed = None if changed_at is None else to_datetime(changed_at)
    return QueueRule(pause, LimitsChange(limits, limits_reason, limits_changed_by, changed))
