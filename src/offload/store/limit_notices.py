"""Notices about the keys of limits: added with new and finished jobs, and taken by workers."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from offload.failpoints import failpoint
from offload.models import Job, LimitKey, LimitNotice
from offload.notifier import Hint
from offload.store.hints import publish_after_commit
from offload.store.limit_records import WAITS, KeyDetails, KeysToOpen, Notice
from offload.store.session import Session
from offload.store.statements import statement
from offload.timestamps import now_microseconds

MAX_LOOKED_AT = 1000
"""Keys, notices and jobs that one look reads at most, to find queues with jobs that may start."""
AFTER_WAITS = "w;"
"""The first text after all slots of waiting jobs."""

type Front = tuple[int, int, str]
"""What a worker takes first: 0 and the id of a notice, or 1 and `open_at` and name of a key."""


class LimitNotices(Session):
    """Adds notices, and deletes them."""

    def add_notices(self, keys: KeysToOpen) -> None:
        """Tell workers of keys, in the caller's transaction, and notify them after the commit."""
        if keys:
            self._insert_notices(keys)
            failpoint("limits.noticed")
            publish_after_commit(self.using, Hint.LIMITED)

    def take_notices(self, notices: Sequence[Notice]) -> list[Notice]:
        """Delete notices, and return them; those that another worker is taking are left out."""
        if not notices:
            return []
        taken = self._delete_notices([notice.id for notice in notices])
        return [notice for notice in notices if notice.id in taken]

    def queues_to_open(self, backend: str) -> dict[tuple[str, bool], Front]:
        """Return queues and kinds of which jobs with a limit may start now, and what is first.

        The answer is approximate: some may be missing, and a worker that claims may find that no
        job of one may start. What is first changes when a worker claims jobs.

        Args:
            backend: alias in TASKS.
        """
        keys = LimitKey.objects.using(self.using)
        columns = ("queue_name", "is_async")
        due = keys.filter(open_at__lte=now_microseconds(), backend__in=(backend, ""))
        opened: Any = due.values_list(*columns, "open_at", "pk")
        fronts: list[tuple[str, bool | None, Front]] = [
            (queue, is_async, (1, open_at, key))
            for queue, is_async, open_at, key in opened[:MAX_LOOKED_AT]
        ]
        notices = LimitNotice.objects.using(self.using).values_list("limit_key", "details", "pk")
        known: dict[str, Front] = {}
        for key, text, pk in notices[:MAX_LOOKED_AT]:
            details = KeyDetails(*json.loads(text)) if text else None
            if details is None:
                known[key] = min(known.get(key, (0, pk, "")), (0, pk, ""))
            elif details.backend in {backend, ""}:
                fronts.append((details.queue_name, details.is_async, (0, pk, "")))
        noticed = keys.filter(pk__in=known).values_list(*columns, "pk")
        fronts += [(queue, is_async, known[key]) for queue, is_async, key in noticed]
        has_all = len(noticed) == len(known)  # the row of an idle key may have been deleted
        if has_all and all(queue and is_async is not None for queue, is_async, _ in fronts):
            return _first_of_each(fronts)
        waiting = Job.objects.using(self.using).filter(
            limit_slot__gte=WAITS, limit_slot__lt=AFTER_WAITS, backend=backend
        )
        first = min([*(front for _, _, front in fronts), *known.values()])
        return dict.fromkeys(waiting.values_list(*columns)[:MAX_LOOKED_AT], first)

    def _delete_notices(self, ids: Sequence[int]) -> Collection[int]:
        with self._cursor() as cursor:
            cursor.execute(statement(self.dialect, "take_notices"), {"ids": self._list(ids)})
            return {number for (number,) in cursor.fetchall()}

    def _insert_notices(self, keys: KeysToOpen) -> None:
        rows = [(key, "" if known is None else json.dumps(known)) for key, known in keys.items()]
        self._insert_notice_rows(rows)

    def _insert_notice_rows(self, rows: Sequence[tuple[str, str]]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(statement(self.dialect, "add_notices"), rows)


def _first_of_each(
    fronts: Iterable[tuple[str, bool | None, Front]],
) -> dict[tuple[str, bool], Front]:
    """Return the smallest front of each queue and kind."""
    first: dict[tuple[str, bool], Front] = {}
    for queue, is_async, front in fronts:
        pair = queue, bool(is_async)
        first[pair] = min(first.get(pair, front), front)
    return first
