"""Keeps which tasks belong to a group, so that the group is found by its id."""

from __future__ import annotations

from typing import Any

from offload.celery.ready_made import KEEP_GROUP
from offload.celery.result.snapshots import read_all, results_backend
from offload.celery.tasks.ids import job_id
from offload.celery.tasks.registry import tasks
from offload.reserved_ids import reserve_id


def save_group(group_id: str, ids: list[str]) -> None:
    """Keep the ids of the tasks of a group, as the arguments of a job with the group's id.

    A group that is a workflow is kept anyway, and so is one that was saved before.
    """
    identifier = job_id(group_id)
    if identifier not in read_all([identifier]):
        with reserve_id(identifier):
            tasks[KEEP_GROUP].definition.enqueue(ids)


def saved_group(group_id: str) -> list[str] | None:
    """Return the ids of the tasks of a group; None for a group that is not kept."""
    identifier = job_id(group_id)
    snapshot = read_all([identifier]).get(identifier)
    if snapshot is None:
        return None
    if snapshot.job.is_workflow:
        result: Any = results_backend().get_result(str(identifier))
        members = result.kwargs.get("names") or {}
        return list(members.values()) or [str(node.id) for node in result.nodes()]
    if snapshot.job.task_path != tasks[KEEP_GROUP].definition.module_path:
        return None
    [ids] = snapshot.call[0]
    return list(ids)
