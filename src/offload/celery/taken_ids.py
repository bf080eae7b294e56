"""Ids that callers choose: what becomes of the task that has had one before."""

from __future__ import annotations

from collections.abc import Iterable

from offload.celery.async_result import AsyncResult


def explain_taken(task_ids: Iterable[str]) -> str:
    """Return why a task cannot have one of these ids, and what its caller can do."""
    for task_id in task_ids:
        result = AsyncResult(task_id)
        if result.exists():
            reason = f"There is a task {task_id!r} already, whose state is {result.state}."
            if result.ready():
                return f"{reason} It is part of a workflow, and is pruned with it: choose a new id."
            return (
                f"{reason} Its id is free when it has ended. To enqueue a task once only while it "
                "waits or runs, use the option unique= of the task."
            )
    return "There is a task with one of these ids already."
