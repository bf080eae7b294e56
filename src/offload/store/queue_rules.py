"""What operators have decided: the pauses and limits of queues, and the pauses of tasks."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from django.db import transaction

from offload.models import Queue
from offload.store.pauses import Pauses
from offload.store.queue_records import LimitsChange, Pause, QueueRule, Rules, TaskPauseRow
from offload.store.session import seconds_until
from offload.store.statements import statement
from offload.timestamps import now_microseconds, to_datetime


class QueueRules(Pauses):
    """Reads the pauses and limits of queues and the pauses of tasks; writes limits of queues."""

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

    def rules(self, backend: str) -> Rules:
        """Return what operators have decided about queues and tasks, by one statement."""
        parameters: dict[str, Any] = {"backend": backend, "now": now_microseconds()}
        rules = Rules({}, {})
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "rules"), parameters)
            for number, name, *row in cursor.fetchall():
                rule = rule_of_row(*row)
                if number is None:
                    rules.queues[name] = rule
                elif rule.pause is not None:
                    rules.tasks[name] = TaskPauseRow(number, rule.pause)
        return rules

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

    def limit_queue(self, backend: str, name: str, change: LimitsChange) -> None:
        """Set limits of a queue, in the caller's transaction; those left out stay as they are."""
        key = {"backend": backend, "name": name}
        with transaction.atomic(self.using):
            self.write_rule(
                Queue.objects.using(self.using), key, {"limits_reason": change.reason}
            )  # locks the row
            row = Queue.objects.using(self.using).get(**key)
            limits = json.loads(row.limits or "{}") | json.loads(change.limits)
            columns = {
                "limits": json.dumps(limits, sort_keys=True),
                "limits_changed_by": change.changed_by,
                "limits_changed_at": change.changed_at,
            }
            self.write_rule(Queue.objects.using(self.using), key, columns)

    def reset_queue_limits(self, backend: str, name: str) -> None:
        """Let the limits of the settings count again, in the caller's transaction."""
        columns: dict[str, Any] = {
            "limits": "",
            "limits_reason": "",
            "limits_changed_by": "",
            "limits_changed_at": None,
        }
        self.change_rule(
            Queue.objects.using(self.using), {"backend": backend, "name": name}, columns
        )


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
