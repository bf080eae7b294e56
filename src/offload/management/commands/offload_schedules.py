"""`manage.py offload_schedules`: list, show, pause, resume, run, preview and sync schedules."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import datetime
from itertools import islice
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone, translation

from offload import schedules
from offload.management.arguments import (
    add_backend_arguments,
    add_common_options,
    current_user,
    parse_moment,
    report_database_errors,
    resolve_options,
    resolve_store,
    whole_number,
)
from offload.management.base import OffloadCommand
from offload.management.formatting import format_json
from offload.management.schedule_formatting import (
    format_schedule,
    format_schedules,
    format_ticks,
    schedule_document,
)
from offload.policies.ticks import Timing
from offload.schedules.stored import NOT_YET, StoredSchedule
from offload.schedules.sync import sync
from offload.schedules.words import cron_in_words
from offload.timestamps import now_microseconds, to_datetime
from offload.worker.child.project import import_tasks

ACTIONS = {
    "list": "List the schedules.",
    "show": "Show one schedule and its next runs.",
    "pause": "Let a schedule tick no more, until a time or until it is resumed.",
    "resume": "Let a schedule tick again from now on.",
    "run": "Enqueue an extra job now.",
    "backfill": "Enqueue a job for each tick from one time to another.",
    "delete": "Delete a schedule that was made at run time, or is retired.",
    "preview": "Show what a cron expression means, and when it ticks.",
    "sync": "Write the schedules of the code, as each worker does when it starts.",
}
DEFAULT_RUNS = 5


class Command(OffloadCommand):
    """List, show, pause, resume, run, backfill, delete, preview and sync schedules."""

    help = "List, show, pause, resume, run, backfill, delete, preview and sync schedules."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        for name, text in ACTIONS.items():
            action = actions.add_parser(name, help=text)
            _add_own_arguments(action, name)
            action.add_argument("--json", action="store_true", help="Print JSON.")
            add_backend_arguments(action)
            add_common_options(action)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        backend_options = resolve_options(options)
        resolve_store(backend_options)
        self.using = backend_options.database
        self.json = options["json"]
        with report_database_errors(self.using):
            try:
                with translation.override("en"):  # as all other words here
                    self._handle(options["action"], options)
            except (LookupError, ValueError) as error:
                raise CommandError(str(error)) from error

    def _handle(self, action: str, options: dict[str, Any]) -> None:
        match action:
            case "list":
                self._list()
            case "preview":
                self._preview(options["cron"], options["timezone"], options["count"])
            case "sync":
                sync(options["backend"], is_complete=import_tasks())
                self._list(is_synced=True)
            case _:
                self._change(action, schedules.get(options["name"], using=self.using), options)

    def _change(self, action: str, schedule: StoredSchedule, options: dict[str, Any]) -> None:
        match action:
            case "pause":
                schedule.pause(
                    reason=options["reason"],
                    until=options["until"],
                    changed_by=options["by"] or current_user(),
                )
            case "resume":
                if schedule.state in {"active", "ended"}:
                    self.stderr.write(f"The schedule {schedule.name!r} was not paused.")
                schedule.resume()
            case "run":
                self._write_jobs([schedule.run_now()])
                return
            case "backfill":
                self._write_jobs(schedule.backfill(options["start"], options["end"]))
                return
            case "delete":
                schedule.delete()
                self.stdout.write(f"Deleted {schedule.name}.")
                return
        if self.json:
            self.stdout.write(format_json(schedule_document(schedule)))
        else:
            self.stdout.write(format_schedule(schedule))

    def _list(self, *, is_synced: bool = False) -> None:
        found = schedules.list(using=self.using)
        if self.json:
            self.stdout.write(format_json([schedule_document(schedule) for schedule in found]))
        elif found:
            self.stdout.write(format_schedules(found))
        else:
            self.stdout.write("No schedules." if is_synced else f"No schedules. {NOT_YET}")

    def _preview(self, cron: str, zone: str, count: int) -> None:
        words = cron_in_words(cron, zone)
        timing = Timing(cron, None, zone)
        ticks = [to_datetime(t) for t in islice(timing.ticks_after(now_microseconds()), count)]
        if self.json:
            document = {"words": words, "next_runs": [tick.isoformat() for tick in ticks]}
            self.stdout.write(format_json(document))
        else:
            self.stdout.write("\n".join([f"{words}.", *format_ticks(ticks, zone)]))

    def _write_jobs(self, results: list[Any]) -> None:
        if self.json:
            self.stdout.write(format_json([result.id for result in results]))
        else:
            self.stdout.write("\n".join(result.id for result in results) or "No ticks.")


def _add_own_arguments(action: Any, name: str) -> None:
    add = action.add_argument
    if name not in {"list", "preview", "sync"}:
        add("name", help="The schedule's name, or the path of its task.")
    if name == "pause":
        add("--until", type=_moment, help="When it ticks again: a time, or a duration such as 2h.")
        add("--reason", default="", help="Why; shown beside the schedule.")
        add("--by", help="Who pauses it (default: the user who runs the command).")
    if name == "backfill":
        add("start", type=_moment, help="The first tick, such as 2026-03-01 or 2026-03-01T12:00.")
        add("end", type=_moment, help="The last tick.")
    if name == "preview":
        add("cron", help="The expression, in quotes.")
        add("--timezone", default=settings.TIME_ZONE, help="(default: %(default)s)")
        add("--count", type=whole_number(1), default=DEFAULT_RUNS, help="Of ticks.")


def _moment(text: str) -> datetime:
    """Return a time, or the time after a duration such as "2h"."""
    found = parse_moment(text)
    try:
        return found if isinstance(found, datetime) else timezone.now() + found
    except OverflowError:
        raise ArgumentTypeError(f"{text!r} is too long.") from None
