"""`manage.py offload_prune`: delete old finished jobs now. Workers also do this regularly."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from offload.conf import BackendOptions, did_you_mean
from offload.lifecycle import JobState, retention_periods
from offload.management.arguments import (
    add_backend_arguments,
    non_negative_number,
    report_database_errors,
    resolve_backend,
    resolve_options,
    resolve_store,
)
from offload.management.base import OffloadCommand
from offload.store.queries import has_jobs

if TYPE_CHECKING:
    from offload.backends.base import OffloadBackend
    from offload.store.base import Store

MAX_COUNTED_JOBS = 1_000_000
"""Largest number of jobs of one state that a dry run counts."""

MAX_DAYS = 36_600
"""A hundred years; a date further back might not exist."""

pause = Event().wait
"""Waits for a number of seconds."""


class Command(OffloadCommand):
    """Delete old finished jobs."""

    help = (
        "Delete jobs that finished long ago: by default, those older than keep_successful and "
        "keep_failed in OPTIONS."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        days: Any = {"type": non_negative_number, "metavar": "DAYS"}
        add(
            "--successful-days",
            help="Delete successful jobs that finished more than DAYS ago.",
            **days,
        )
        add(
            "--failed-days",
            help="Delete failed, cancelled and expired jobs that finished more than DAYS ago.",
            **days,
        )
        add("--older-than", help="Same as --successful-days and --failed-days.", **days)
        add("--queue", help="Delete only jobs of this queue.")
        add("--dry-run", action="store_true", help="Only print how many jobs would be deleted.")
        add_backend_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        backend_options = resolve_options(options)
        store = resolve_store(backend_options)
        periods = _periods(options, backend_options)
        with report_database_errors(backend_options.database):
            counts = _prune(store, periods, options)
            if not any(counts.values()):
                _require_known_queue(resolve_backend(options["backend"]), store, options["queue"])
        if options["verbosity"] > 0:
            self.stdout.write(_report(counts, dry_run=options["dry_run"]))


def _require_known_queue(backend: OffloadBackend, store: Store, name: str | None) -> None:
    """Raise CommandError for a queue that neither the settings nor any job names."""
    if name is None or name in backend.queues or has_jobs(store.using, backend.alias, name):
        return
    known = sorted({*backend.queues, *store.ready_queues(backend.alias)})
    raise CommandError(
        f"Nothing matched: no job of backend {backend.alias!r} is in a queue {name!r}."
        f"{did_you_mean(name, known) if known else ''}"
    )


def _prune(
    store: Store, periods: dict[JobState, timedelta], options: dict[str, Any]
) -> dict[JobState, int]:
    """Delete jobs, or count them in a dry run; return their number by state."""
    now = timezone.now()
    counts = {}
    for state, period in periods.items():
        jobs = store.finished_before(
            options["backend"], state, before=now - period, queue_name=options["queue"]
        )
        if options["dry_run"]:
            counts[state] = jobs[:MAX_COUNTED_JOBS].count()
        else:
            counts[state] = sum(_with_pauses(store.prune(jobs)))
    return counts


def _with_pauses(batches: Iterator[int]) -> Iterator[int]:
    """Pause after each batch for as long as it took: on SQLite others can write only then."""
    started_at = monotonic()
    for deleted in batches:
        yield deleted
        pause(monotonic() - started_at)
        started_at = monotonic()


def _periods(options: dict[str, Any], backend_options: BackendOptions) -> dict[JobState, timedelta]:
    """Return the retention period of each state, without the states whose jobs are all kept."""
    successful_days, failed_days = options["successful_days"], options["failed_days"]
    older_than = options["older_than"]
    has_days_by_state = successful_days is not None or failed_days is not None
    if older_than is not None and has_days_by_state:
        raise CommandError(
            "--older-than applies to all jobs: pass either --older-than, or --successful-days "
            "and --failed-days."
        )
    if older_than is not None:
        return retention_periods(_days(older_than), _days(older_than))
    if has_days_by_state:
        return retention_periods(_days(successful_days), _days(failed_days))
    return retention_periods(backend_options.keep_successful, backend_options.keep_failed)


def _days(number: float | None) -> timedelta | None:
    return None if number is None else timedelta(days=min(number, MAX_DAYS))


def _report(counts: dict[JobState, int], *, dry_run: bool) -> str:
    if not counts:
        return "Nothing to delete: OPTIONS keep all jobs. Pass --older-than DAYS to delete some."
    total = f"{sum(counts.values()):,} jobs"
    text = f"Deleted {total}"
    if dry_run:
        is_capped = max(counts.values()) >= MAX_COUNTED_JOBS
        text = f"Would delete at least {total}" if is_capped else f"Would delete {total}"
    details = [f"{number:,} {state.label}" for state, number in counts.items() if number]
    if details:
        text += f": {', '.join(details)}"
    return f"{text}."
