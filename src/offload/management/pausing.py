"""What the commands have in common that pause queues and tasks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from django.core.management.base import CommandError

from offload.management.arguments import current_user, report_database_errors, resolve_options
from offload.management.base import OffloadCommand
from offload.management.formatting import format_json


class PausingCommand(OffloadCommand):
    """A command that lists and shows queues or tasks, pauses and resumes them.

    Attributes:
        noun: "queue" or "task".
        argument: the option that has the name of one.
        verbs: the module with `list`, `get`, `pause` and `resume`.
        nothing: what is printed for an empty list.
    """

    noun: ClassVar[str]
    argument: ClassVar[str]
    verbs: ClassVar[Any]
    nothing: ClassVar[str]

    @abstractmethod
    def document(self, status: Any) -> dict[str, Any]:
        """Return the status of one as JSON values."""

    @abstractmethod
    def format_one(self, status: Any) -> str:
        """Return the details of one."""

    @abstractmethod
    def format_all(self, statuses: Sequence[Any]) -> str:
        """Return a line for each."""

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        using = resolve_options({**options, "database": None}).database
        with report_database_errors(using):
            try:
                self.perform(options)
            except (LookupError, ValueError) as error:
                raise CommandError(str(error)) from error

    def perform(self, options: dict[str, Any]) -> None:
        """Do what the action says."""
        backend, name = options["backend"], options.get(self.argument)
        match options["action"]:
            case "list":
                self._print_all(self.verbs.list(backend=backend), options)
            case "show":
                self.print_one(self.verbs.get(name, backend=backend), options)
            case "pause":
                paused = self.verbs.pause(
                    name,
                    reason=options["reason"],
                    until=options["until"],
                    public=options["public"],
                    changed_by=options["by"] or current_user(),
                    backend=backend,
                )
                self.print_one(paused, options)
            case "resume":
                if not self.verbs.get(name, backend=backend).is_paused:
                    self.stderr.write(f"The {self.noun} {name!r} was not paused.")
                self.print_one(self.verbs.resume(name, backend=backend), options)

    def print_one(self, status: Any, options: dict[str, Any]) -> None:
        """Print the status of one, as JSON if the options say so."""
        if options["json"]:
            self.stdout.write(format_json(self.document(status)))
        else:
            self.stdout.write(self.format_one(status))

    def _print_all(self, found: Sequence[Any], options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(format_json([self.document(status) for status in found]))
        else:
            self.stdout.write(self.format_all(found) if found else self.nothing)
