"""`manage.py offload_limits`: list and show the limits of tasks, set and reset their numbers."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError, CommandParser

from offload import limits
from offload.management.arguments import (
    add_backend_arguments,
    add_common_options,
    current_user,
    report_database_errors,
    resolve_options,
    resolve_store,
    whole_number,
)
from offload.management.base import OffloadCommand
from offload.management.formatting import format_json
from offload.management.limit_formatting import (
    format_limit,
    format_limits,
    key_document,
    limit_document,
)
from offload.policies import Rate

if TYPE_CHECKING:
    from offload.limits.usage import LimitStatus

DEFAULT_KEYS = 20


class Command(OffloadCommand):
    """List and show the limits of tasks, set and reset their numbers."""

    help = "List and show the limits of tasks, set and reset their numbers."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        list_ = actions.add_parser("list", help="List the limits.")
        show = actions.add_parser("show", help="Show one limit and its keys.")
        set_ = actions.add_parser("set", help="Replace numbers of the code, until they are reset.")
        reset = actions.add_parser("reset", help="Let the numbers of the code count again.")
        for action in (show, set_, reset):
            action.add_argument("name", help="The limit's name, or the path of its task.")
        show.add_argument(
            "--limit",
            type=whole_number(1),
            default=DEFAULT_KEYS,
            help="Maximum number of keys (default: %(default)s).",
        )
        _add_numbers(set_)
        for action in (list_, show, set_, reset):
            action.add_argument("--json", action="store_true", help="Print JSON.")
            add_backend_arguments(action)
            add_common_options(action)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        backend_options = resolve_options(options)
        resolve_store(backend_options)
        self.using = backend_options.database
        with report_database_errors(self.using):
            try:
                self._handle(options)
            except (LookupError, ValueError) as error:
                raise CommandError(str(error)) from error

    def _handle(self, options: dict[str, Any]) -> None:
        match options["action"]:
            case "list":
                self._list(options)
            case "show":
                self._show(options)
            case "set":
                self._print(self._set(options), options)
            case "reset":
                self._print(limits.reset(options["name"], using=self.using), options)

    def _list(self, options: dict[str, Any]) -> None:
        found = limits.list(using=self.using)
        if options["json"]:
            self.stdout.write(format_json([limit_document(limit) for limit in found]))
        elif found:
            self.stdout.write(format_limits(found))
        else:
            self.stdout.write("No limits.")

    def _show(self, options: dict[str, Any]) -> None:
        limit = limits.get(options["name"], using=self.using)
        keys = limits.list_keys(options["name"], limit=options["limit"], using=self.using)
        if options["json"]:
            document = limit_document(limit) | {"keys": [key_document(key) for key in keys]}
            self.stdout.write(format_json(document))
            return
        self.stdout.write(format_limit(limit, keys))
        if len(keys) == options["limit"]:
            self.stderr.write(f"There may be more keys: --limit is {options['limit']}.")

    def _set(self, options: dict[str, Any]) -> LimitStatus:
        names = ("concurrency", "total", "rate", "total_rate")
        numbers: Any = {name: options[name] for name in names if options[name] is not None}
        if options["burst"] is not None:
            if "rate" not in numbers:
                raise CommandError("--burst belongs to a rate: pass --rate, too.")
            numbers["rate"] = Rate(numbers["rate"], burst=options["burst"])
        return limits.change(
            options["name"],
            reason=options["reason"],
            changed_by=options["by"] or current_user(),
            using=self.using,
            **numbers,
        )

    def _print(self, limit: LimitStatus, options: dict[str, Any]) -> None:
        """Print a limit after a change."""
        if options["json"]:
            self.stdout.write(format_json(limit_document(limit)))
        else:
            self.stdout.write(format_limit(limit, []))


def _add_numbers(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--concurrency", type=whole_number(1), help="Jobs of one key that run at once.")
    add("--total", type=whole_number(1), help="Jobs of all keys that run at once.")
    add("--rate", help="Starts of one key, such as 100/m, with the unit s, m, h or d.")
    add("--burst", type=whole_number(1), help="Starts of --rate that may follow at once.")
    add("--total-rate", help="Starts of all keys, as --rate.")
    add("--reason", required=True, help="Why; shown beside the numbers.")
    add("--by", help="Who changes it (default: the user who runs the command).")
