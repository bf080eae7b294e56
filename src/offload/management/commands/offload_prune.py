"""`manage.py offload_prune`: delete old ended jobs now. Engines do it by themselves, too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from threading import Event
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from offload.conf import BackendOptions
from offload.lifecycle import JobState, retention_periods
from offload.management.arguments import (
    add_backend_arguments,
    non_negative_number,
    report_database_errors,
    resolve_options,
    resolve_store,
)

COUNTED = 1_000_000
"""Jobs of one state that a dry run counts at most."""

MOST_DAYS = 36_600
"""A hundred years, so that every date before now exists."""

rest = Event().wait
"""Called with seconds."""


class Command(BaseCommand):
    """Delete old ended jobs."""

    help = "Delete jobs that ended long ago. Without options: those that the settings call old."
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        days: Any = {"type": non_negative_number, "metavar": "DAYS"}
        add("--successful-days", help="Delete successful jobs that ended so long ago.", **days)
        add("--failed-days", help="Delete failed, cancelled and expired jobs likewise.", **days)
        add("--older-than", help="Both: delete all jobs that ended so long ago.", **days)
        add("--queue", help="Delete only jobs of this queue.")
        add("--dry-run", action="store_true", help="Only tell how many jobs would be deleted.")
        add_backend_arguments(parser)

    def handle(self, **choices: Any) -> None:
        options = resolve_options(choices)
        store = resolve_store(options)
        periods = _periods(choices, options)
        now = timezone.now()
        counts = []
        for state, period in periods.items():
            with report_database_errors(options.database):
                old = store.finished_before(
                    choices["backend"], state, before=now - period, queue_name=choices["queue"]
                )
                if choices["dry_run"]:
                    number = old[:COUNTED].count()
                else:
                    number = sum(_with_rests(store.prune(old)))
            counts.append((number, state))
        if choices["verbosity"] > 0:
            self.stdout.write(_report(counts, dry_run=choices["dry_run"]))


def _with_rests(batches: Iterator[int]) -> Iterator[int]:
    """Rest after each batch as long as it took: on SQLite only then can others write."""
    begun = monotonic()
    for deleted in batches:
        yield deleted
        rest(monotonic() - begun)
        begun = monotonic()


def _periods(choices: dict[str, Any], options: BackendOptions) -> dict[JobState, timedelta]:
    """Return how long jobs of each state are kept; states that are kept for ever are left out."""
    successful, failed = choices["successful_days"], choices["failed_days"]
    both = choices["older_than"]
    if both is not None and (successful is not None or failed is not None):
        raise CommandError(
            "--older-than is for all jobs; give it, or --successful-days and --failed-days."
        )
    if both is not None:
        successful = failed = both
    elif successful is None and failed is None:
        return retention_periods(options.keep_successful, options.keep_failed)
    return retention_periods(_days(successful), _days(failed))


def _days(number: float | None) -> timedelta | None:
    return None if number is None else timedelta(days=min(number, MOST_DAYS))


def _report(counts: list[tuple[int, JobState]], *, dry_run: bool) -> str:
    if not counts:
        return "Nothing to do: OPTIONS keep all jobs for ever. Say which with --older-than DAYS."
    total = sum(number for number, _ in counts)
    least = "at least " if any(number >= COUNTED for number, _ in counts) and dry_run else ""
    verb = "Would delete" if dry_run else "Deleted"
    details = ", ".join(f"{number:,} {state.label}" for number, state in counts if number)
    return f"{verb} {least}{total:,} jobs{f': {details}' if details else ''}."
