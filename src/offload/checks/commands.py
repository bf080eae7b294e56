"""Checks of what the ready-made tasks may do."""

from __future__ import annotations

from collections.abc import Iterable

from django.core.checks import Error, Warning  # noqa: A004
from django.core.exceptions import ImproperlyConfigured
from django.core.management import get_commands

from offload.checks.messages import Messages
from offload.conf import did_you_mean
from offload.exceptions import InvalidSchedule
from offload.maintenance import back_up, run_command
from offload.maintenance.commands import ANY_COMMAND, allowed_commands
from offload.schedules.changes import validate_arguments
from offload.serialization import decode
from offload.store.schedule_records import ScheduleDefinition

READY_MADE = {task.module_path: task for task in (back_up, run_command)}
"""The ready-made tasks that settings restrict, by their paths."""


def check_commands() -> Messages:
    """Check that each command that jobs may run exists."""
    try:
        allowed = allowed_commands()
    except ImproperlyConfigured:  # its own check reports it
        return
    known = get_commands()
    for name in sorted(allowed - known.keys() - {ANY_COMMAND}):
        yield Warning(
            f"OPTIONS['allowed_commands'] names {name!r}, which is no management command of this "
            f"project.{did_you_mean(name, sorted(known))}",
            hint="Correct the name, or install the app that has the command.",
            id="offload.W061",
        )


def check_ready_made(definitions: Iterable[ScheduleDefinition]) -> Messages:
    """Check that the settings allow what the schedules of ready-made tasks do."""
    for definition in definitions:
        task = READY_MADE.get(definition.task_path)
        if task is None or definition.error:
            continue
        args, kwargs = decode(definition.arguments)
        try:
            validate_arguments(task, {"args": args, "kwargs": kwargs})
        except InvalidSchedule as error:
            yield Error(
                f"The jobs of the schedule {definition.name!r} will fail: {error}",
                hint="Correct the arguments of the schedule, or the option.",
                id="offload.E062",
            )
