"""Runs management commands inside of a job."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command, get_commands

from offload.backends.base import offload_backends
from offload.conf import did_you_mean
from offload.maintenance.command_output import CommandOutput
from offload.maintenance.errors import CommandNotAllowed

ANY_COMMAND = "*"
"""What OPTIONS["allowed_commands"] names if every command is allowed."""


def describe(name: str, *args: Any, **options: Any) -> str:
    """Return the key of a command with its arguments, of which one runs at a time."""
    return json.dumps([name, args, options], sort_keys=True, default=str)


def allowed_commands() -> set[str]:
    """Return the names of the commands that jobs may run: those of all backends together."""
    names: set[str] = set()
    for backend in offload_backends():
        names |= set(backend.settings.allowed_commands)
    return names


def require_allowed(name: str) -> None:
    """Raise CommandNotAllowed unless the settings allow jobs to run a command."""
    allowed = allowed_commands()
    if ANY_COMMAND in allowed or name in allowed:
        return
    raise CommandNotAllowed(
        f"Jobs may not run the command {name!r}. Whoever can enqueue jobs or write to their table "
        "could run it with any arguments. To allow that, add it to the settings: "
        f'TASKS["default"]["OPTIONS"]["allowed_commands"] = {sorted({*allowed, name})!r}.'
    )


def run(name: str, *args: Any, **options: Any) -> str:
    """Run a command; log its output and return the end of it.

    Raises:
        CommandError: if there is no such command, or it failed.
        TypeError: for an option that the command does not have.
    """
    _require_known(name)
    _require_plain(options)
    output = CommandOutput(name)
    if not options.get("force_color"):
        options.setdefault("no_color", True)
    try:
        call_command(name, *args, stdout=output, stderr=output.errors, **options)
    except SystemExit as error:
        if error.code not in (None, 0):
            raise output.explain(_exit_error(name, error.code)) from error
    except EOFError as error:
        raise output.explain(
            CommandError(
                f"The command {name!r} asked a question, which nobody answers in a worker. Pass "
                'the argument that answers it, mostly "--no-input".'
            )
        ) from error
    except Exception as error:
        output.explain(error)
        raise
    finally:
        output.close_line()
    return output.tail


def _require_known(name: str) -> None:
    known = get_commands()
    if name not in known:
        raise CommandError(f"There is no command {name!r}.{did_you_mean(name, sorted(known))}")


def _require_plain(options: dict[str, Any]) -> None:
    """Refuse the options with which the output is read here."""
    for name in ("stdout", "stderr"):
        if name in options:
            raise ImproperlyConfigured(
                f"run_command() takes no option {name!r}: the output of the command is logged, and "
                "its end is the job's return value."
            )


def _exit_error(name: str, code: str | int | None) -> CommandError:
    if isinstance(code, str):
        return CommandError(code)
    return CommandError(f"The command {name!r} exited with code {code}.")
