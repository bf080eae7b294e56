"""Arguments that several commands have, and the objects that they name."""

from __future__ import annotations

import getpass
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import OperationalError, connections
from django.tasks import DEFAULT_TASK_BACKEND_ALIAS
from django.tasks.exceptions import InvalidTaskBackend
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from offload.backends.base import OffloadBackend, get_backend
from offload.conf import MAX_INTEGER, BackendOptions, did_you_mean
from offload.exceptions import QueueUnavailable
from offload.lifecycle import JobState
from offload.store import get_store
from offload.store.errors import explain, explained

if TYPE_CHECKING:
    from offload.store.base import Store

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
"""Of the units of a duration, such as 30m."""


def add_backend_argument(parser: ArgumentParser) -> None:
    """Add --backend."""
    parser.add_argument(
        "--backend",
        default=DEFAULT_TASK_BACKEND_ALIAS,
        help="Alias in TASKS (default: %(default)s).",
    )


def add_backend_arguments(parser: ArgumentParser) -> None:
    """Add --backend and --database."""
    add_backend_argument(parser)
    parser.add_argument(
        "--database",
        type=_database_alias,
        help="Alias in DATABASES (default: the one in the backend's OPTIONS).",
    )


def add_common_options(parser: ArgumentParser) -> None:
    """Accept Django's options after an action too, and keep the values given before it."""
    hidden: Any = {"default": SUPPRESS, "help": SUPPRESS}
    for flag in ("--settings", "--pythonpath"):
        parser.add_argument(flag, **hidden)
    for flag in ("--traceback", "--no-color", "--force-color"):
        parser.add_argument(flag, action="store_true", **hidden)
    parser.add_argument("-v", "--verbosity", type=int, choices=range(4), **hidden)


def resolve_backend(alias: str) -> OffloadBackend:
    """Return the backend with an alias.

    Raises:
        CommandError: for an unknown alias, or a backend of another package.
    """
    try:
        return get_backend(alias)
    except InvalidTaskBackend as error:
        if alias in settings.TASKS:
            raise CommandError(f"TASKS[{alias!r}]: {error}") from error
        raise CommandError(
            f"Unknown backend {alias!r}.{did_you_mean(alias, sorted(settings.TASKS))} "
            "Backends are the keys of TASKS."
        ) from error
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error


def resolve_options(options: dict[str, Any]) -> BackendOptions:
    """Return the OPTIONS of the backend in --backend; --database overrides their database.

    Raises:
        CommandError: for an unknown backend, or invalid OPTIONS.
    """
    backend = resolve_backend(options["backend"])
    try:
        backend_options = backend.settings
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error
    if options["database"]:
        return replace(backend_options, database=options["database"])
    return backend_options


def resolve_store(backend_options: BackendOptions) -> Store:
    """Return the store of a backend's database.

    Raises:
        CommandError: for an unknown database, or if the app is not installed.
    """
    try:
        return get_store(backend_options.database)
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error


def require_queue(backend: OffloadBackend, name: str) -> None:
    """Raise CommandError if the settings list the backend's queues and this one is missing."""
    if backend.queues and name not in backend.queues:
        raise CommandError(
            f"Unknown queue {name!r}.{did_you_mean(name, sorted(backend.queues))} "
            f"Queues are listed in TASKS[{backend.alias!r}]['QUEUES']."
        )


def parse_state(text: str) -> JobState:
    """Return the state with a name. Use it as the type of an argument."""
    names = [state.label for state in JobState]
    if text.lower() not in names:
        raise ArgumentTypeError(f"Unknown state {text!r}.{did_you_mean(text, names)}")
    return JobState[text.upper()]


def parse_names(text: str) -> list[str]:
    """Return the names in a comma-separated list; a type for argparse."""
    names = [name.strip() for name in text.split(",")]
    names = [name for name in names if name]
    if not names:
        raise ArgumentTypeError(f"{text!r} contains no name.")
    return names


def _database_alias(text: str) -> str:
    if text not in connections.settings:
        aliases = sorted(connections.settings)
        raise ArgumentTypeError(f"{text!r} is not in DATABASES.{did_you_mean(text, aliases)}")
    return text


def whole_number(minimum: int) -> Callable[[str], int]:
    """Return a type for arguments that are whole numbers of at least `minimum`."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not a whole number.") from None
        if number < minimum:
            raise ArgumentTypeError(f"must be at least {minimum}, not {number}.")
        if number > MAX_INTEGER:
            raise ArgumentTypeError(f"must be at most {MAX_INTEGER}, not {number}.")
        return number

    return parse


def non_negative_number(text: str) -> float:
    """Return a finite number of at least 0. Use it as the type of an argument."""
    try:
        number = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number.") from None
    if not 0 <= number < float("inf"):
        raise ArgumentTypeError(f"must be at least 0, not {text}.")
    return number


def parse_moment(text: str) -> datetime | timedelta:
    """Return a datetime, in the current time zone unless the text names another; or a delay.

    Use it as the type of an argument.
    """
    number, unit = (text[:-1], text[-1]) if text[-1:] in SECONDS else (text, "s")
    try:
        return timedelta(seconds=non_negative_number(number) * SECONDS[unit])
    except ArgumentTypeError:
        pass
    except OverflowError:
        raise ArgumentTypeError(f"{text!r} is too long.") from None
    if len(text) == len("2026-12-01"):
        text += "T00:00"
    try:
        moment = parse_datetime(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r}: {error}.") from None
    if moment is None:
        raise ArgumentTypeError(
            f"{text!r} is no time. Write 2026-12-01T06:00, or a duration such as 90 (seconds), "
            "30m, 2h or 1d."
        )
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment


def add_pause_options(parser: ArgumentParser) -> None:
    """Add the options of a pause: reason, end, and who pauses."""
    add = parser.add_argument
    add("--reason", default="", help="Why; shown to operators.")
    add(
        "--until",
        type=parse_moment,
        metavar="TIME",
        help="When the pause ends by itself: a time such as 2026-12-01T06:00, or a duration such "
        "as 2h.",
    )
    add("--public", action="store_true", help="Show the reason on pages of waiting jobs, too.")
    add("--by", help="Who pauses it (default: the user who runs the command).")


def current_user() -> str:
    """Return the name of the user who runs the command; empty if the user has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


@contextmanager
def report_database_errors(using: str) -> Iterator[None]:
    """Raise CommandError if the database does not respond, was not migrated, or is locked."""
    try:
        with explained(using):
            yield
    except QueueUnavailable as error:
        raise CommandError(str(error)) from error
    except OperationalError as error:
        raise CommandError(str(explain(error, using))) from error
