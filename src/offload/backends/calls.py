"""Checks that every backend makes before it enqueues or reads a job."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.tasks import Task
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.tasks.signals import task_enqueued

from offload.backends.signatures import require_matching_call
from offload.exceptions import InvalidArguments, TaskNotFound
from offload.results import OffloadResult
from offload.serialization import encode_arguments
from offload.signal_receivers import has_no_receivers
from offload.task_lookup import find_task
from offload.tasks import Call

IN_ASYNC = "You cannot call {}() from an async context, which it would block: await {}()."
"""The message of Django's SynchronousOnlyOperation, which would not say what to call instead."""

type EncodedCall = tuple[str, list[Any], dict[str, Any]]
"""The arguments of a call as JSON text, and as the task will receive them."""


def encode_calls(
    task: Task[..., Any], calls: Iterable[Call], *, max_bytes: int
) -> list[EncodedCall]:
    """Return the arguments of calls, encoded.

    Args:
        task: the task, validated.
        calls: pairs of positional and keyword arguments.
        max_bytes: size limit of the arguments of one call.

    Raises:
        InvalidTask: if a worker would not find the task.
        InvalidArguments, TypeError: for arguments that are not exact JSON.
        TypeError: for arguments that the task's function does not take.
    """
    _require_findable(task)
    encoded: list[EncodedCall] = []
    try:
        for call in calls:
            text, args, kwargs = encode_arguments(*_checked(call), max_bytes=max_bytes)
            require_matching_call(task, args, kwargs)
            encoded.append((text, args, kwargs))
    except (InvalidArguments, TypeError) as error:
        if not (isinstance(calls, list) and len(calls) == 1):
            error.add_note(f"It is call {len(encoded)} of enqueue_many(), counted from 0.")
        raise
    return encoded


def send_task_enqueued(sender: type, results: Sequence[OffloadResult[Any]]) -> None:
    """Send Django's `task_enqueued` for each job."""
    if has_no_receivers(task_enqueued, logging.DEBUG):
        return
    for result in results:
        task_enqueued.send_robust(sender, task_result=result)


def parse_job_id(result_id: object) -> UUID:
    """Return the id of a job.

    Raises:
        TaskResultDoesNotExist: for text that is no UUID.
    """
    try:
        return UUID(str(result_id))
    except ValueError:
        raise TaskResultDoesNotExist(f"{result_id!r} is not the id of a job.") from None


def _require_findable(task: Task[..., Any]) -> None:
    """Raise InvalidTask for a task that a worker would not find by its path."""
    if task.func.__module__ == "__main__":
        raise InvalidTask(
            f"The task {task.name!r} is defined in __main__, where no worker finds it. "
            "Define it in a module of an installed app, such as tasks.py."
        )
    try:
        find_task(task.module_path)
    except TaskNotFound as error:
        raise InvalidTask(
            f"No worker would find a task at {task.module_path!r}. Define it at the top level of a "
            "module of an installed app, such as tasks.py, in the module of its function."
        ) from error


def _checked(call: Any) -> Call:
    """Return a call of `enqueue_many`; raise TypeError if it is not a pair."""
    match call:
        case (tuple() as args, dict() as kwargs):  # found ten times as fast as the next case
            return args, kwargs
        case (Iterable() as args, Mapping() as kwargs) if not isinstance(args, str | bytes):
            return args, kwargs
    raise TypeError(
        "A call must be a pair of positional and keyword arguments, such as ((1,), {}), "
        f"not {call!r}."
    )
