"""What an assertion expects of a job."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from django.tasks import Task

from offload.conf import did_you_mean
from offload.serialization import decode, normalize
from offload.timestamps import to_microseconds

if TYPE_CHECKING:
    from offload.models import Job

_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "args": ((Sequence,), "a list or tuple of the call's arguments"),
    "kwargs": ((Mapping,), "a dict of the call's arguments by name"),
    "queue_name": ((str,), "text"),
    "priority": ((int,), "a whole number"),
    "run_after": ((datetime, timedelta), "a datetime, or a timedelta from the time of enqueueing"),
}
"""The attributes that are compared, their types, and the types in words."""


class ExpectedCall(TypedDict, total=False):
    """Attributes that a job must have; those left out are not compared.

    `run_after` is a datetime, or a timedelta from the time of enqueueing.
    """

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    queue_name: str
    priority: int
    run_after: datetime | timedelta


def expect(function: str, task: Any, attributes: Mapping[str, Any] | None = None) -> ExpectedJob:
    """Return what an assertion expects of a job; a value that no job can have is an error.

    Otherwise `assert_not_enqueued` would succeed whatever happened.

    Args:
        function: the name of the assertion, for the message.
        task: the task; any if None.
        attributes: those that the job must have.

    Raises:
        TypeError: for something else than a task, an unknown attribute, or one of a wrong type.
    """
    if task is not None and not isinstance(task, Task):
        hint = " Is its decorator @task missing?" if inspect.isroutine(task) else ""
        raise TypeError(f"{function}() needs a task, not {task!r:.100}.{hint}")
    for name, value in (attributes or {}).items():
        if name not in _TYPES:
            raise _unknown(function, task, name, value)
        types, words = _TYPES[name]
        is_text = isinstance(value, str | bytes) and name == "args"
        if value is not None and (is_text or not isinstance(value, types)):
            raise TypeError(f"{function}(): {name} must be {words}, not {value!r:.100}.")
    return ExpectedJob(task, **(attributes or {}))


@dataclass(frozen=True, slots=True)
class ExpectedJob:
    """The attributes that a job must have; None for any value."""

    task: Task[..., Any] | None
    args: Sequence[Any] | None = None
    kwargs: Mapping[str, Any] | None = None
    queue_name: str | None = None
    priority: int | None = None
    run_after: datetime | timedelta | None = None

    def matches(self, row: Job) -> bool:
        """Return whether a job has all attributes that are not None."""
        if self.task is not None and row.task_path != self.task.module_path:
            return False
        if self.queue_name not in {None, row.queue_name}:
            return False
        if self.priority not in {None, row.priority}:
            return False
        return self._matches_arguments(row) and self._matches_time(row)

    def _matches_arguments(self, row: Job) -> bool:
        args, kwargs = decode(row.arguments)
        if self.args is not None and _as_json(list(self.args)) != args:
            return False
        return self.kwargs is None or _as_json(dict(self.kwargs)) == kwargs

    def _matches_time(self, row: Any) -> bool:
        if self.run_after is None:
            return True
        # Compare numbers, since a datetime may be naive and in any time zone.
        run_after = to_microseconds(row.run_after)
        if isinstance(self.run_after, datetime):
            return run_after == to_microseconds(self.run_after)
        delay = timedelta(microseconds=run_after - to_microseconds(row.enqueued_at))
        return delay == self.run_after

    def __str__(self) -> str:
        text = "of any task" if self.task is None else f"of {self.task.module_path}"
        conditions = []
        for name in ("args", "kwargs", "queue_name", "priority", "run_after"):
            value = getattr(self, name)
            if value is not None:
                conditions.append(f"{name}={value!r}")
        return f"{text} with {', '.join(conditions)}" if conditions else text


def _unknown(function: str, task: Task[..., Any] | None, name: str, value: Any) -> TypeError:
    """Return the error for an attribute that is not compared, maybe an argument of the call."""
    hint = did_you_mean(name, list(_TYPES))
    if task is not None and name in inspect.signature(task.func).parameters:
        hint = f" Arguments of the call belong into kwargs: kwargs={{{name!r}: {value!r:.100}}}."
    return TypeError(f"{function}() got an unknown attribute {name!r}.{hint}")


def _as_json(value: Any) -> Any:
    """Return a value as a task would receive it; one that is not JSON (`mock.ANY`) is unchanged."""
    if isinstance(value, Mapping):
        return {_as_json_key(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    try:
        return normalize(value, "expected")
    except (TypeError, ValueError):
        return value


def _as_json_key(key: Any) -> str:
    [name] = normalize({key: None}, "expected")
    return str(name)
