"""The lines of the jobs that wait for their limit: what people see of them. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from offload.models import Job, Limit, LimitKey, LimitNotice, Queue
from offload.store import get_store
from offload.store.grants import max_running, next_start
from offload.store.limit_records import (
    ALL_KEYS_END,
    PARKED,
    WAITS,
    LimitNumbers,
    OpenKey,
    name_of,
)
from offload.timestamps import to_datetime, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

    from offload.policies.queue_limits import QueueLimits

LINE_ORDER = ("limit_slot", "-priority", "run_after", "id")
"""Line by line, and in each the order in which its jobs start. An index has this order."""
WAITS_END = "w;"
"""Follows the `limit_slot` of every waiting job."""
MAX_JOBS_OF_LIMIT = 1000
"""Jobs of one limit whose queues `limited_queues` reads."""
MAX_LINES = 20
"""Lines that `due_lines` returns of each kind, at most."""


class LimitUse(NamedTuple):
    """How far a limit is used up.

    Attributes:
        running: how many jobs run; 0 if any number may.
        max_running: how many may run at once; None for any number.
        next_start_at: when the rate lets the next job start; None if it does now.
    """

    running: int
    max_running: int | None
    next_start_at: datetime | None

    @property
    def is_full(self) -> bool:
        """Whether no job may start before another one finishes."""
        return self.max_running is not None and self.running >= self.max_running


def limit_uses(using: str, limit_key: str) -> list[LimitUse]:
    """Return how far the limit of a key is used up: by the key, and by all keys if they have a sum.

    Empty if no worker has seen a job with the limit yet.
    """
    name = name_of(limit_key)
    limit = Limit.objects.using(using).filter(pk=name).first()
    if limit is None:
        return []
    store = get_store(using)
    numbers = LimitNumbers.from_json(limit.definition, limit.override)
    keys = [limit_key, name] if numbers.has_total else [limit_key]
    rows = LimitKey.objects.using(using).filter(pk__in=keys).annotate(now=store.now())
    found = {row.limit_key: row for row in rows}
    uses = []
    for key in keys:
        row = found.get(key)
        free_at, now = (0, 0) if row is None else (row.free_at, to_microseconds(row.now))
        own = OpenKey(key, name, None, row.max_running if row else None, free_at, now)
        maximum = max_running(own, numbers)
        running = 0
        if maximum is not None and own.is_total:
            running = store.count_all_running(name)
        elif maximum is not None:
            running = store.count_running([key]).get(key, 0)
        start_at = next_start(own, numbers)
        uses.append(LimitUse(running, maximum, to_datetime(start_at) if start_at > now else None))
    return uses


def queue_use(using: str, backend: str, queue_name: str, limits: QueueLimits) -> LimitUse:
    """Return how far the limits of a queue are used up.

    Args:
        using: alias in DATABASES.
        backend: alias in TASKS.
        queue_name: the queue.
        limits: those in force.
    """
    store = get_store(using)
    rows = Queue.objects.using(using).filter(backend=backend, name=queue_name)
    row = rows.annotate(now=store.now()).first() if limits.interval else None
    free_at, now = (0, 0) if row is None else (row.free_at, to_microseconds(row.now))
    numbers = LimitNumbers(interval=limits.interval, burst=limits.burst)
    start_at = next_start(OpenKey(f"{queue_name}:", queue_name, None, None, free_at, now), numbers)
    running = 0
    if limits.max_running is not None:
        running = store.count_running_of_queues(backend, [queue_name]).get(queue_name, 0)
    next_start_at = to_datetime(start_at) if start_at > now else None
    return LimitUse(running, limits.max_running, next_start_at)


def counts_together(using: str, first: str, second: str) -> str:
    """Return the name of the limit that counts the running jobs of two keys together, if any."""
    name = name_of(first)
    row = Limit.objects.using(using).filter(pk=name).first()
    if name != name_of(second) or row is None:
        return ""
    numbers = LimitNumbers.from_json(row.definition, row.override)
    if numbers.total is not None:
        return name
    has_number = numbers.max_running is not None or bool(numbers.max_running_path)
    return name if first == second and has_number else ""


def line_order(using: str, limit_key: str, limit: int) -> list[UUID]:
    """Return the ids of the jobs that wait in the line of a key, in the order of their starts."""
    line = Job.objects.using(using).filter(limit_slot=WAITS + limit_key).order_by(*LINE_ORDER)
    return list(line.values_list("pk", flat=True)[:limit])


def limited_jobs(using: str, backend: str) -> QuerySet[Job]:
    """Return a query for the jobs that wait for their limit, or are parked by a pause."""
    return _between(using, PARKED, WAITS_END).filter(backend=backend)


def limited_queues(using: str, backend: str) -> set[str]:
    """Return the queues of jobs that wait for their limit: of the first 1,000 of each limit."""
    queues: set[str] = set()
    after = WAITS
    # Step from limit to limit, over all keys of each.
    while (slot := _first_slot(using, after)) is not None:
        name = name_of(slot.removeprefix(WAITS))
        after = f"{WAITS}{name}{ALL_KEYS_END}"
        jobs = _between(using, f"{WAITS}{name}:", after).order_by(*LINE_ORDER)
        first = jobs.values_list("backend", "queue_name")[:MAX_JOBS_OF_LIMIT]
        queues |= {queue for alias, queue in first if alias == backend}
    return queues


def due_lines(using: str, backend: str) -> dict[str, datetime | None]:
    """Return keys whose jobs wait for a worker, not for their limit, and since when at the most.

    None for a key without numbers, whose jobs all wait for a worker. Those that had a turn longest
    ago are returned, and those that no worker has looked at.
    """
    limits = get_store(using).read_limits()
    lines: dict[str, datetime | None] = {}
    for key, open_at in _open_keys(using, backend):
        has_numbers = key.max_running is not None or limits[key.name].has_numbers
        lines[key.limit_key] = to_datetime(open_at) if has_numbers else None
    notices = LimitNotice.objects.using(using).order_by("id")[:MAX_LINES]
    noticed = {notice.limit_key for notice in notices} - lines.keys()
    if noticed:
        known = LimitKey.objects.using(using).in_bulk(noticed)
        for limit_key in noticed:
            is_new = limit_key not in known
            if is_new or not limits[known[limit_key].name].has_numbers:
                lines[limit_key] = None
    return lines


def _between(using: str, low: str, high: str) -> QuerySet[Job]:
    return Job.objects.using(using).filter(limit_slot__gte=low, limit_slot__lt=high)


def _first_slot(using: str, after: str) -> str | None:
    slots = _between(using, after, WAITS_END).order_by("limit_slot")
    return slots.values_list("limit_slot", flat=True).first()


def _open_keys(using: str, backend: str) -> Iterator[tuple[LimitKey, int]]:
    """Yield keys whose jobs may start, and since when: those that had a turn longest ago."""
    keys = LimitKey.objects.using(using).filter(backend__in=[backend, ""])
    due = keys.filter(open_at__lte=get_store(using).now()).order_by("open_at")
    for key in due.filter(parent="")[:MAX_LINES]:
        since = key.open_at or 0
        if key.limit_key != key.name:
            yield key, since
            continue
        for child in due.filter(parent=key.name)[:MAX_LINES]:
            yield child, max(child.open_at or 0, since)
