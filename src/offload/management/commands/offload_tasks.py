"""`manage.py offload_tasks`: list paused tasks, pause and resume tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError, CommandParser

from offload import paused_tasks
from offload.management.arguments import (
    add_backend_argument,
    add_common_options,
    add_pause_options,
    current_user,
    report_database_errors,
    resolve_options,
)
from offload.management.base import OffloadCommand
from offload.management.formatting import format_json
from offload.management.task_formatting import format_task, format_tasks, task_document
from offload.paused_tasks.status import backend_of

if TYPE_CHECKING:
    from offload.paused_tasks.status import TaskStatus


class Command(OffloadCommand):
    """List paused tasks, pause and resume tasks."""

    help = "List paused tasks, pause and resume tasks."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        list_ = actions.add_parser("list", help="List the paused tasks.")
        show = actions.add_parser("show", help="Show one task.")
        pause_ = actions.add_parser("pause", help="Start no job of a task any more.")
        resume_ = actions.add_parser("resume", help="Start the jobs of a paused task again.")
        for action in (show, pause_, resume_):
            action.add_argument("path", help="The task's path, such as shop.tasks.send_report.")
        add_pause_options(pause_)
        add_backend_argument(list_)
        for action in (show, pause_, resume_):
            action.add_argument("--backend", help="Alias in TASKS (default: that of the task).")
        for action in (list_, show, pause_, resume_):
            action.add_argument("--json", action="store_true", help="Print JSON.")
            add_common_options(action)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        if options["backend"] is None:
            options["backend"] = backend_of(options["path"])
        using = resolve_options({**options, "database": None}).database
        with report_database_errors(using):
            try:
                self._handle(options)
            except (LookupError, ValueError) as error:
                raise CommandError(str(error)) from error

    def _handle(self, options: dict[str, Any]) -> None:
        backend = options["backend"]
        match options["action"]:
            case "list":
                self._list(paused_tasks.list(backend=backend), options)
            case "show":
                self._print(paused_tasks.get(options["path"], backend=backend), options)
            case "pause":
                task = paused_tasks.pause(
                    options["path"],
                    reason=options["reason"],
                    until=options["until"],
                    public=options["public"],
                    changed_by=options["by"] or current_user(),
                    backend=backend,
                )
                self._print(task, options)
            case "resume":
                if not paused_tasks.get(options["path"], backend=backend).is_paused:
                    self.stderr.write(f"The task {options['path']!r} was not paused.")
                self._print(paused_tasks.resume(options["path"], backend=backend), options)

    def _list(self, found: list[TaskStatus], options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(format_json([task_document(task) for task in found]))
        else:
            self.stdout.write(format_tasks(found) if found else "No task is paused.")

    def _print(self, task: TaskStatus, options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(format_json(task_document(task)))
        else:
            self.stdout.write(format_task(task))
