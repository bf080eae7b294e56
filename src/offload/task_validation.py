"""Validation of the options that the author of a task may set."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any

from django.tasks.exceptions import InvalidTask
from django.utils.functional import Promise

from offload.conf import MAX_INTEGER, did_you_mean
from offload.durations import seconds
from offload.policies import Concurrency, Debounce, Fair, Rate, Throttle, Unique

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
    _validate_concurrency(task.concurrency)
    _validate_rate(task.rate)
    _validate_fair(task.fair)
    _validate_schedulable(task.schedulable)
    _validate_unique(task.unique)
    _validate_guarantees(task)


def unknown_option(name: str, known: list[str]) -> TypeError:
    """Return the error for an option that the decorator does not take."""
    if name == "run_after":
        return TypeError(
            "run_after cannot be defined statically with the @task decorator. Use "
            ".using(run_after=...) to set it dynamically."
        )
    hint = did_you_mean(name.removesuffix("_limit"), known)  # Celery's rate_limit
    return TypeError(f"task() got an unknown option {name!r}.{hint}")


def unusable_option(name: str, of_author: list[str], of_job: list[str]) -> TypeError:
    """Return the error for an option that `using` does not take."""
    if name in of_author:
        return TypeError(
            f"using() cannot change {name!r}, which belongs to the task and not to one job. Give "
            "it to the decorator."
        )
    return TypeError(f"using() got an unknown option {name!r}.{did_you_mean(name, of_job)}")


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


def _validate_concurrency(value: Any) -> None:
    if value is None or isinstance(value, Concurrency):
        return
    hint = f" Write concurrency=Concurrency({value})." if type(value) is int else ""
    raise InvalidTask(f"concurrency must be a Concurrency, not {value!r}.{hint}")


def _validate_rate(value: Any) -> None:
    if isinstance(value, str):
        try:
            Rate(value)
        except ValueError as error:
            raise InvalidTask(f"rate: {error}") from error
    elif value is not None and not isinstance(value, Rate):
        raise InvalidTask(f'rate must be a Rate, or text such as "100/m", not {value!r}.')


def _validate_fair(value: Any) -> None:
    if value is None or isinstance(value, Fair) or (value and isinstance(value, str)):
        return
    name = getattr(value, "__name__", "")
    hint = f" Write fair=Fair({name})." if name and callable(value) else ""
    raise InvalidTask(f'fair must be a key such as "{{tenant}}", or a Fair, not {value!r}.{hint}')


def _validate_schedulable(value: Any) -> None:
    # Not Django's own class: `django.forms` takes long to import, and few tasks have a form.
    if not isinstance(value, bool) and not hasattr(value, "base_fields"):
        raise InvalidTask(
            f"schedulable must be True, False or a form for the task's arguments, not {value!r}."
        )


def _validate_unique(value: Any) -> None:
    if value is None or isinstance(value, Unique | Debounce | Throttle):
        return
    hint = ""
    if value is True or value is Unique:
        hint = " Write unique=Unique()."
    elif isinstance(value, str):
        hint = f" Write unique=Unique({value!r})."
    raise InvalidTask(f"unique must be a Unique, Debounce or Throttle, not {value!r}.{hint}")


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
            "backoff must be a callable (exception, result) -> seconds, such as "
            f"{_example_of_backoff(value)}, not {value!r}."
        )


def _example_of_backoff(value: Any) -> str:
    """Return the policy that the author probably means."""
    return f"Fixed({value!r})" if isinstance(value, int | float | timedelta) else "Exponential(2)"


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
