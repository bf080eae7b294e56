"""`manage.py offload_tasks`: list paused tasks, pause and resume tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.management.base import CommandParser

from offload import paused_tasks
from offload.management.arguments import (
    add_backend_argument,
    add_common_options,
    add_pause_options,
)
from offload.management.pausing import PausingCommand
from offload.management.task_formatting import format_task, format_tasks, task_document
from offload.paused_tasks.status import backend_of

if TYPE_CHECKING:
    from offload.paused_tasks.status import TaskStatus


class Command(PausingCommand):
    """List paused tasks, pause and resume tasks."""

    noun = "task"
    argument = "path"
    verbs: ClassVar[Any] = paused_tasks
    nothing = "No task is paused."

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

    def handle(self, *args: Any, **options: Any) -> None:
        if options["backend"] is None:
            options["backend"] = backend_of(options["path"])
        super().handle(*args, **options)

    def document(self, status: TaskStatus) -> dict[str, Any]:
        return task_document(status)

    def format_one(self, status: TaskStatus) -> str:
        return format_task(status)

    def format_all(self, statuses: Sequence[TaskStatus]) -> str:
        return format_tasks(statuses)
