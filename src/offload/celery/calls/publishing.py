"""Adds the job of one call, in the caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from offload.celery import signals
from offload.celery.calls.chosen_ids import chosen_ids
from offload.celery.calls.preparing import Prepared, prepare
from offload.celery.result.transactions import remember
from offload.reserved_ids import reserve_id

if TYPE_CHECKING:
    from offload.celery.calls.call import Call
    from offload.celery.tasks.base import BaseTask


def publish(task: BaseTask, call: Call) -> str:
    """Add a job in the caller's transaction; return the id of the task.

    Raises:
        TypeError: if the task's function does not take the arguments.
        EncodeError: for a value that Celery's JSON does not carry.
        ValueError: if the id is that of a task that has not ended, or of a part of a workflow, or
            if a limit is impossible.
        Exception: those of `enqueue`.
    """
    prepared = prepare(task, call)
    backend: Any = prepared.task.get_backend()
    with (
        chosen_ids(backend, [prepared.task_id] if call.task_id else []),
        reserve_id(prepared.identifier),
    ):
        result = backend.enqueue(prepared.task, prepared.args, prepared.kwargs)
    identifier = UUID(result.id)
    remember(backend, identifier)
    announce(task, call, prepared)
    # A unique task returns the job that holds its key.
    return prepared.task_id if identifier == prepared.identifier else str(result.id)


def announce(task: BaseTask, call: Call, prepared: Prepared) -> None:
    """Send `after_task_publish`; the transaction may still be rolled back."""
    if signals.after_task_publish.receivers:
        signals.after_task_publish.send(
            task.name,
            body=(call.args, dict(call.kwargs), {}),
            exchange="",
            routing_key=prepared.task.queue_name,
            headers={"id": prepared.task_id, "task": task.name},
        )
