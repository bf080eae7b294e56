"""Validation of the options that the author of a task may set."""

from __future__ import annotations

import inspect
from typing import Any

from django.tasks.exceptions import InvalidTask
from django.utils.functional import Promise

from offload.conf import MAX_INTEGER, did_you_mean
from offload.durations import seconds

UNCATCHABLE = (GeneratorExit, KeyboardInterrupt)
"""Exceptions after which Python or the worker ends the code."""
VISIBILITIES = ["authenticated", "owner", "public", "staff"]


def validate_options(task: Any) -> None:
    """Raise InvalidTask for an invalid option of an `OffloadTask`."""
    _validate_max_attempts(task.max_attempts)
    _validate_duration("timeout", task.timeout)
    _validate_duration("expires", task.expires)
    _validate_exceptions("retry_on", task.retry_on)
    _validate_exceptions("no_retry_on", task.no_retry_on)
    _validate_backoff(task.backoff)
    _validate_visibility(task.visibility)
    _validate_expose_result(task.expose_result)
    _validate_title(task.title)
    _validate_flag("atomic", task.atomic)
    _validate_flag("at_most_once", task.at_most_once)
    _validate_guarantees(task)


def _validate_max_attempts(value: Any) -> None:
    if value is None or (type(value) is int and 1 <= value <= MAX_INTEGER):
        return
    raise InvalidTask(f"max_attempts must be a whole number >= 1, not {value!r}.")


def _validate_duration(name: str, value: Any) -> None:
    if value is None:
        return
    try:
        is_valid = seconds(value) > 0
    except (TypeError, ValueError):
        is_valid = False
    if not is_valid:
        raise InvalidTask(f"{name} must be seconds > 0 or a timedelta, not {value!r}.")


def _validate_exceptions(name: str, value: Any) -> None:
    if not isinstance(value, tuple) or not all(map(_is_exception_class, value)):
        raise InvalidTask(f"{name} must be a tuple of exception classes, not {value!r}.")
    for kind in value:
        if issubclass(kind, UNCATCHABLE):
            raise InvalidTask(f"{name} cannot contain {kind.__name__}, which no task may catch.")


def _validate_title(value: Any) -> None:
    if not isinstance(value, str | Promise):
        raise InvalidTask(f"title must be text, not {value!r}.")


def _validate_flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise InvalidTask(f"{name} must be True or False, not {value!r}.")


def _is_exception_class(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _validate_backoff(value: Any) -> None:
    if value is not None and not callable(value):
        raise InvalidTask(
            f"backoff must be a callable (exception, result) -> seconds, not {value!r}."
        )


def _validate_visibility(value: Any) -> None:
    if value in VISIBILITIES or _is_sync_callable(value):
        return
    raise InvalidTask(
        "visibility must be a name, or a callable (request, result) -> bool written with def, "
        f"not {value!r}.{did_you_mean(str(value), VISIBILITIES)}"
    )


def _validate_expose_result(value: Any) -> None:
    if isinstance(value, bool) or _is_sync_callable(value):
        return
    raise InvalidTask(
        "expose_result must be True, False, or a callable (result) written with def, which "
        f"returns what is shown, not {value!r}."
    )


def _is_sync_callable(value: Any) -> bool:
    return callable(value) and not inspect.iscoroutinefunction(value)


def _validate_guarantees(task: Any) -> None:
    """Raise InvalidTask for options that contradict each other."""
    if task.at_most_once:
        _validate_at_most_once(task)
    if task.atomic and inspect.iscoroutinefunction(task.func):
        raise InvalidTask(
            "atomic needs a task written with def: Django's transactions are not async."
        )


def _validate_at_most_once(task: Any) -> None:
    if task.max_attempts is not None and task.max_attempts > 1:
        raise InvalidTask("at_most_once and max_attempts > 1 contradict each other.")
    if task.atomic:
        raise InvalidTask("at_most_once and atomic contradict each other: choose one.")
