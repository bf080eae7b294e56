"""`manage.py offload_enqueue`: enqueue one job, for example from cron or a systemd timer."""

from __future__ import annotations

import inspect
import json
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError
from django.tasks import Task
from django.tasks.exceptions import InvalidTask, InvalidTaskBackend

from offload.backends.signatures import require_matching_call
from offload.exceptions import OffloadError, TaskNotFound
from offload.lifecycle import JobState
from offload.management.arguments import non_negative_number, parse_moment, resolve_backend
from offload.management.base import OffloadCommand
from offload.results import OffloadResult
from offload.task_lookup import explain_missing, find_task
from offload.text import to_terminal_text


class Command(OffloadCommand):
    """Enqueue one job."""

    help = "Enqueue one job and print its id."

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("task", help="The task's path, such as shop.tasks.send_digest.")
        add(
            "--args",
            dest="positional",
            type=_json(list),
            default=[],
            help="Positional arguments: a JSON list.",
        )
        add(
            "--kwargs",
            dest="keywords",
            type=_json(dict),
            default={},
            help="Keyword arguments: a JSON object.",
        )
        add("--queue", help="Name of the queue (default: the task's).")
        add("--priority", type=int, help="From -100 to 100 (default: the task's).")
        add(
            "--run-after",
            type=parse_moment,
            metavar="TIME",
            help="When the job may run: a time such as 2026-12-01T06:00, or a duration such as 2h.",
        )
        add("--backend", help="Alias in TASKS (default: the task's).")
        add(
            "--wait",
            type=non_negative_number,
            metavar="SECONDS",
            help="Wait for the job to finish; exit with 1 if it is not successful by then.",
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        task = _find_task(options["task"])
        _require_matching_arguments(task, options["positional"], options["keywords"])
        try:
            result = _using(task, options).enqueue(*options["positional"], **options["keywords"])
        except (InvalidTask, InvalidTaskBackend, OffloadError, TypeError) as error:
            raise CommandError(str(error)) from error
        except (DatabaseError, ImproperlyConfigured) as error:
            raise CommandError(to_terminal_text(error)) from error
        if options["verbosity"] > 0:
            self.stdout.write(result.id)
            self.stdout.flush()
            if not getattr(result, "is_new", True):
                self.stderr.write("No job was made: this one holds the key of the call.")
        if options["wait"] is not None:
            _wait(result, options["wait"])


def _find_task(path: str) -> Task[..., Any]:
    try:
        return find_task(path)
    except TaskNotFound as error:
        raise CommandError(f"There is no task {path!r}.{explain_missing(path)}") from error
    except (Exception, SystemExit) as error:
        reason = to_terminal_text(f"{type(error).__name__}: {error}")
        raise CommandError(f"The module of {path!r} cannot be imported: {reason}") from error


def _require_matching_arguments(
    task: Task[..., Any], args: list[Any], kwargs: dict[str, Any]
) -> None:
    """Raise CommandError if the task's function does not take the arguments."""
    try:
        require_matching_call(task, args, kwargs)
    except TypeError as error:
        signature = inspect.signature(task.func)
        raise CommandError(
            f"Wrong arguments: {error}. It is {task.name}{signature}; pass its arguments with "
            "--args '[...]' or --kwargs '{...}'."
        ) from error


def _using(task: Task[..., Any], options: dict[str, Any]) -> Task[..., Any]:
    """Return the task with the options of the command line."""
    if options["backend"] is not None:
        resolve_backend(options["backend"])
    changes = {
        "queue_name": options["queue"],
        "priority": options["priority"],
        "run_after": options["run_after"],
        "backend": options["backend"],
    }
    given = {name: value for name, value in changes.items() if value is not None}
    return task.using(**given) if given else task


def _wait(result: Any, seconds: float) -> None:
    """Wait for a job; raise CommandError if it is not successful."""
    if not isinstance(result, OffloadResult):
        raise CommandError("--wait needs a backend of django-offload.")
    try:
        result.wait(seconds)
    except TimeoutError as error:
        raise CommandError(str(error)) from error
    if result.state != JobState.SUCCESSFUL:
        reason = f" ({result.errors[-1].exception_class_path})" if result.errors else ""
        raise CommandError(
            f"The job {result.id} is {result.state.label}{to_terminal_text(reason)}. Details: "
            f"python manage.py offload_jobs show {result.id}"
        )


def _json[T](kind: type[T]) -> Callable[[str], T]:
    """Return a type for arguments that are JSON text of a list or an object."""
    expected = "a JSON list, such as [1]" if kind is list else 'a JSON object, such as {"a": 1}'

    def parse(text: str) -> T:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ArgumentTypeError(f"{text!r} is not JSON: {error}") from None
        if not isinstance(value, kind):
            raise ArgumentTypeError(f"must be {expected}, not {text!r}.")
        return value

    return parse
