"""Hints about changed jobs, sent after the commit."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

from offload.notifier import Hint, get_notifier

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

MAX_PENDING_CHECKED = 16
"""How many of the latest commit hooks are searched for a hint, so that enqueueing stays O(1)."""


def publish_after_commit(using: str, *hints: Hint) -> None:
    """Notify listeners once the current transaction commits; at once outside of one.

    A transaction that changes many jobs sends each hint once. A hint that cannot be sent does
    not fail the caller: Django logs it.

    When the caller has turned autocommit off and commits by hand, Django does not see the commit
    and nothing is sent. Workers find the jobs when they poll next.

    Args:
        using: alias in DATABASES.
        hints: what to send.
    """
    connection = connections[using]
    if not (connection.in_atomic_block or connection.get_autocommit()):
        return
    for hint in hints:
        publish = _publisher(using, hint)
        if not _join_pending(connection, publish):
            transaction.on_commit(publish, using=using, robust=True)


@cache
def _publisher(using: str, hint: Hint) -> Callable[[], None]:
    def publish() -> None:
        get_notifier(using).notify(hint)

    return publish


def _join_pending(connection: BaseDatabaseWrapper, publish: Callable[[], None]) -> bool:
    """Return True if `publish` already waits for the commit, also on behalf of the caller.

    Django drops a hook if one of its savepoints is rolled back. This one must run if any of its
    callers commits, so it keeps only the savepoints that all callers share.
    """
    hooks: list[Any] = connection.run_on_commit[-MAX_PENDING_CHECKED:]  # pairs in Django's stubs
    for savepoints, function, _ in hooks:
        if function is publish:
            savepoints.intersection_update(connection.savepoint_ids)
            return True
    return False
