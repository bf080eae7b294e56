"""The limits of a database: their numbers, and how many jobs of each run and wait."""

from __future__ import annotations

import builtins
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Count

from offload.conf import did_you_mean
from offload.models import Job, Limit, LimitKey
from offload.store import get_store
from offload.store.limit_records import ALL_KEYS_END, HOLDS, WAITS, LimitNumbers
from offload.timestamps import now_microseconds, to_datetime

if TYPE_CHECKING:
    from django.db.models import QuerySet

DEFAULT_KEYS = 20
UNSEEN_MICROSECONDS = 86_400_000_000
"""After this time a limit that no process had in its code is shown as not in the code."""


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """A limit, and how many of its jobs run and wait.

    Attributes:
        name: the limit's name.
        code: its numbers in the code.
        numbers: its numbers in force.
        reason: why an operator has set others than those of the code; empty if none has.
        changed_by: the operator.
        changed_at: when; None if no operator has changed it.
        running: jobs that run.
        waiting: jobs that wait for their limit.
        seen_at: when some process last had the limit in its code, to within an hour.
        is_in_code: whether that is less than a day before some process last looked.
    """

    name: str
    code: LimitNumbers
    numbers: LimitNumbers
    reason: str
    changed_by: str
    changed_at: datetime | None
    running: int
    waiting: int
    seen_at: datetime
    is_in_code: bool


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """A key of a limit, and how many of its jobs run and wait.

    Attributes:
        key: the key; empty for a limit without keys.
        running: jobs that run.
        waiting: jobs that wait for their limit.
        concurrency: how many may run at once; None for no limit.
        next_start: when a rate lets the next job start; None if it may start now, or nothing waits.
    """

    key: str
    running: int
    waiting: int
    concurrency: int | None
    next_start: datetime | None


def list(*, using: str = DEFAULT_DB_ALIAS) -> builtins.list[LimitStatus]:  # noqa: A001
    """Return all limits of a database, by name.

    Args:
        using: alias in DATABASES.
    """
    last_seen = get_store(using).last_seen()
    rows = Limit.objects.using(using).order_by("name")
    return [_status(row, last_seen, using) for row in rows]


def get(name: str, *, using: str = DEFAULT_DB_ALIAS) -> LimitStatus:
    """Return the limit with a name.

    Args:
        name: of the limit.
        using: alias in DATABASES.

    Raises:
        LookupError: if there is none.
    """
    row = Limit.objects.using(using).filter(pk=name).first()
    if row is None:
        raise unknown_limit(name, using)
    return _status(row, get_store(using).last_seen(), using)


def list_keys(
    name: str, *, limit: int = DEFAULT_KEYS, using: str = DEFAULT_DB_ALIAS
) -> builtins.list[KeyStatus]:
    """Return the keys of a limit whose jobs run or wait, those with the most waiting jobs first.

    Args:
        name: of the limit.
        limit: how many at most.
        using: alias in DATABASES.
    """
    numbers = get(name, using=using).numbers
    counted = [_largest(name, start, limit, using) for start in (WAITS, HOLDS)]
    keys = sorted(set().union(*counted))
    waiting, running = (_counts(keys, start, using) for start in (WAITS, HOLDS))
    keys.sort(key=lambda key: (-waiting.get(key, 0), -running.get(key, 0), key))
    rows = LimitKey.objects.using(using).in_bulk(keys[:limit])
    statuses = []
    for limit_key in keys[:limit]:
        row, waits = rows.get(limit_key), waiting.get(limit_key, 0)
        concurrency = numbers.max_running
        if concurrency is None and row is not None:
            concurrency = row.max_running
        statuses.append(
            KeyStatus(
                limit_key.removeprefix(f"{name}:"),
                running.get(limit_key, 0),
                waits,
                concurrency,
                _next_start(row) if waits else None,
            )
        )
    return statuses


def unknown_limit(name: str, using: str) -> LookupError:
    """Return the error for a name that no limit has."""
    known = [*Limit.objects.using(using).order_by("name").values_list("name", flat=True)]
    hint = did_you_mean(name, known) if known else " There is none yet."
    return LookupError(
        f"There is no limit {name!r}.{hint} A limit without a name has the path of its task. It "
        "exists once a worker that loads the task has started, or has met a job of it."
    )


def _status(row: Limit, last_seen: int, using: str) -> LimitStatus:
    waiting, running = (_jobs(row.name, start, using).count() for start in (WAITS, HOLDS))
    return LimitStatus(
        row.name,
        LimitNumbers.from_json(row.definition),
        LimitNumbers.from_json(row.definition, row.override),
        row.reason,
        row.changed_by,
        row.changed_at,
        running,
        waiting,
        to_datetime(row.seen_at),
        row.seen_at >= last_seen - UNSEEN_MICROSECONDS,
    )


def _jobs(name: str, start: str, using: str) -> QuerySet[Job]:
    """Return the jobs of all keys of a limit that wait, or that run."""
    low, high = f"{start}{name}:", f"{start}{name}{ALL_KEYS_END}"
    return Job.objects.using(using).filter(limit_slot__gte=low, limit_slot__lt=high)


def _largest(name: str, start: str, limit: int, using: str) -> set[str]:
    """Return the keys of which the most jobs wait, or run."""
    slots = _jobs(name, start, using).values_list("limit_slot").annotate(count=Count("pk"))
    return {str(slot).removeprefix(start) for slot, _ in slots.order_by("-count")[:limit]}


def _counts(keys: Collection[str], start: str, using: str) -> dict[str, int]:
    """Return how many jobs of keys wait, or run."""
    slots = Job.objects.using(using).filter(limit_slot__in=[start + key for key in keys])
    counts = slots.values_list("limit_slot").annotate(count=Count("pk"))
    return {str(slot).removeprefix(start): count for slot, count in counts.order_by()}


def _next_start(row: LimitKey | None) -> datetime | None:
    if row is None or row.open_at is None or row.open_at <= now_microseconds():
        return None
    return to_datetime(row.open_at)
