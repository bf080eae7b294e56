"""Checks of schedules: those of the code and the settings, and those in a database."""

from __future__ import annotations

from collections.abc import Iterable

from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.db.backends.base.base import BaseDatabaseWrapper

from offload import schedules
from offload.checks.messages import Messages
from offload.schedules.in_code import Problem


def check_declared(problems: Iterable[Problem]) -> Messages:
    """Report the schedules of the code and the settings that cannot tick."""
    for problem in problems:
        yield Error(
            f"The schedule {problem.name!r} cannot tick: {problem.text}",
            hint=f"It is defined in {problem.place}.",
            id="offload.E051",
        )


def as_warnings(errors: Iterable[CheckMessage]) -> Messages:
    """Turn errors of schedules into warnings, for `migrate`.

    The migration may be what a deployment needs most, and all other schedules tick.
    """
    for error in errors:
        if not error.is_silenced():
            yield Warning(error.msg, hint=error.hint, id="offload.W053")


def check_stored(connection: BaseDatabaseWrapper) -> Messages:
    """Report the schedules in a database that cannot tick, or whose tasks are gone.

    `migrate` runs this check, and no row that somebody has made at run time may stop it.
    """
    for schedule in schedules.list(using=connection.alias):
        if schedule.state in {"retired", "ended"} or not schedule.problem:
            continue
        yield Warning(
            f"The schedule {schedule.name!r} in DATABASES[{connection.alias!r}] cannot run: "
            f"{schedule.problem}",
            hint="Change it in the admin, or delete it: manage.py offload_schedules delete.",
            id="offload.W052",
        )
