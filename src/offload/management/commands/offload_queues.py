"""`manage.py offload_queues`: list and show queues, pause, resume and limit them."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.management.base import CommandError, CommandParser

from offload import queues
from offload.management.arguments import (
    add_backend_argument,
    add_common_options,
    add_pause_options,
    current_user,
    whole_number,
)
from offload.management.pausing import PausingCommand
from offload.management.queue_formatting import format_queue, format_queues, queue_document
from offload.policies import Rate
from offload.policies.queue_limits import NAMES

if TYPE_CHECKING:
    from offload.queues.status import QueueStatus


NO_LIMIT = "none"
"""Takes a limit away."""


class Command(PausingCommand):
    """List and show queues, pause, resume and limit them."""

    noun = "queue"
    argument = "name"
    verbs: ClassVar[Any] = queues
    nothing = "No queues."

    help = "List and show queues, pause, resume and limit them."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        list_ = actions.add_parser("list", help="List the queues.")
        show = actions.add_parser("show", help="Show one queue.")
        pause_ = actions.add_parser("pause", help="Start no job of a queue any more.")
        resume_ = actions.add_parser("resume", help="Start the jobs of a paused queue again.")
        limit_ = actions.add_parser("limit", help="Set limits instead of those of the settings.")
        reset = actions.add_parser("reset", help="Let the limits of the settings count again.")
        for action in (show, pause_, resume_, limit_, reset):
            action.add_argument("name", help="The queue's name.")
        add_pause_options(pause_)
        _add_limits(limit_)
        for action in (list_, show, pause_, resume_, limit_, reset):
            action.add_argument("--json", action="store_true", help="Print JSON.")
            add_backend_argument(action)
            add_common_options(action)

    def perform(self, options: dict[str, Any]) -> None:
        match options["action"]:
            case "limit":
                self.print_one(self._limit(options), options)
            case "reset":
                queue = queues.reset_limits(options["name"], backend=options["backend"])
                self.print_one(queue, options)
            case _:
                super().perform(options)

    def document(self, status: QueueStatus) -> dict[str, Any]:
        return queue_document(status)

    def format_one(self, status: QueueStatus) -> str:
        return format_queue(status)

    def format_all(self, statuses: Sequence[QueueStatus]) -> str:
        return format_queues(statuses)

    def _limit(self, options: dict[str, Any]) -> QueueStatus:
        limits: Any = {name: options[name] for name in NAMES if name in options}
        limits = {name: None if value == NO_LIMIT else value for name, value in limits.items()}
        if options["burst"] is not None:
            if not limits.get("rate"):
                raise CommandError("--burst belongs to a rate: pass --rate, too.")
            limits["rate"] = Rate(limits["rate"], burst=options["burst"])
        return queues.limit(
            options["name"],
            reason=options["reason"],
            changed_by=options["by"] or current_user(),
            backend=options["backend"],
            **limits,
        )


def _add_limits(parser: ArgumentParser) -> None:
    add = parser.add_argument
    hidden: Any = {"default": SUPPRESS}
    add("--concurrency", type=_number_or_none, help="Jobs that run at once, or none.", **hidden)
    add("--rate", help="Starts, such as 14/s, with the unit s, m, h or d; or none.", **hidden)
    add("--burst", type=whole_number(1), help="Starts of --rate that may follow at once.")
    add("--max-queued", type=_number_or_none, help="Jobs that may wait, or none.", **hidden)
    add("--reason", default="", help="Why; shown beside the limits.")
    add("--by", help="Who changes them (default: the user who runs the command).")


def _number_or_none(text: str) -> int | str:
    """Return a number of at least 1, or NO_LIMIT."""
    return NO_LIMIT if text.lower() == NO_LIMIT else whole_number(1)(text)
