"""`manage.py offload_from_celery`: say what becomes of a project's Celery, and carry it over."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import translation

from offload.from_celery.celery_app import read_app
from offload.from_celery.move import Move
from offload.from_celery.queues import Wishes
from offload.management.arguments import (
    add_backend_arguments,
    parse_names,
    report_database_errors,
    resolve_backend,
    resolve_options,
    resolve_store,
)
from offload.management.base import OffloadCommand
from offload.management.formatting import format_json
from offload.management.moving_formatting import format_report


class Command(OffloadCommand):
    """Say what becomes of the settings, tasks, schedules, results and messages of Celery."""

    help = (
        "Say what becomes of the settings, tasks, schedules, results and messages of Celery; with "
        "--write, make the schedules, and jobs of the messages."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--write", action="store_true", help="Make the schedules, and jobs of the messages.")
        add("--json", action="store_true", help="Print JSON.")
        add(
            "--app",
            default="",
            metavar="MODULE",
            help="The Celery app of the tasks that have not moved yet, as for `celery -A` "
            "(default: the current one).",
        )
        add(
            "--broker",
            default="",
            metavar="URL",
            help="The broker whose messages are carried (default: that of the settings).",
        )
        add(
            "--queues",
            type=parse_names,
            default=(),
            metavar="A,B",
            help="Only the messages of these queues (default: those that settings, tasks and rows "
            "of django-celery-beat name).",
        )
        add(
            "--held",
            action="store_true",
            help="With Redis, also take messages that workers of Celery's hold, such as those with "
            "a countdown. Only after these workers were killed.",
        )
        add(
            "--allow-pickle",
            action="store_true",
            help="Unpickle messages, which runs whatever code is in them.",
        )
        add_backend_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        backend_options = resolve_options(options)
        resolve_store(backend_options)
        using = backend_options.database
        wishes = Wishes(
            options["write"],
            options["held"],
            options["allow_pickle"],
            options["broker"],
            tuple(options["queues"]),
        )
        with report_database_errors(using), translation.override("en"):
            try:
                app = read_app(options["app"])
                report = Move(app, resolve_backend(options["backend"]), using, wishes).report()
            except LookupError as error:
                raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(format_json(report.document()))
        else:
            self.stdout.write(format_report(report))
        if report.is_written and not report.is_complete:
            sys.exit(1)
