"""The arguments of a task that follows the failure of another: `link_error`."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from offload.celery import states
from offload.celery.result.eager_snapshots import EagerSnapshot
from offload.celery.result.snapshots import Snapshot, read, read_all
from offload.celery.tasks.ids import job_id
from offload.celery.tasks.request import Context

if TYPE_CHECKING:
    from offload.celery.tasks.base import BaseTask


def errback_arguments(task: BaseTask, ids: Sequence[str]) -> tuple[Any, ...]:
    """Return what precedes the arguments of an errback.

    Celery has two forms: a function of one argument, or a bound one, gets the id of the task that
    failed; any other gets its request, its exception and its traceback.

    Args:
        task: the errback.
        ids: of the tasks of which one has failed.

    Raises:
        UnknownTaskId: if that task is no longer kept.
    """
    failed = ids[0] if len(ids) == 1 else _find_failed(ids)
    if takes_id_only(task):
        return (failed,)
    return _of(failed, read(job_id(failed), failed))


def eager_errback_arguments(task: BaseTask, snapshot: EagerSnapshot) -> tuple[Any, ...]:
    """Return the same for a task that failed in the caller's process."""
    if takes_id_only(task):
        return (snapshot.task_id,)
    return _of(snapshot.task_id, snapshot)


def takes_id_only(task: BaseTask) -> bool:
    """Return whether an errback gets no more than the id of the task that failed."""
    function, is_bound = task.checked_call
    if is_bound:
        return True
    kinds = [parameter.kind for parameter in inspect.signature(function).parameters.values()]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    takes_any = inspect.Parameter.VAR_POSITIONAL in kinds
    return not takes_any and sum(kind in positional for kind in kinds) < 2


def _find_failed(ids: Sequence[str]) -> str:
    """Return the first task that failed itself, else the first that another one has failed."""
    known = {job_id(task_id): task_id for task_id in ids}
    snapshots = read_all(known)
    failed = [
        task_id
        for identifier, task_id in known.items()
        if identifier in snapshots and snapshots[identifier].state == states.FAILURE
    ]
    own = [task_id for task_id in failed if snapshots[job_id(task_id)].cause is None]
    return next(iter(own or failed or ids))


def _of(failed: str, snapshot: Snapshot | EagerSnapshot) -> tuple[Any, ...]:
    args, kwargs, extra = snapshot.call
    request = Context(
        id=failed,
        task=snapshot.name,
        args=list(args),
        kwargs=kwargs,
        retries=snapshot.retries,
        headers=extra.get("headers") or {},
        called_directly=False,
    )
    return request, snapshot.result, snapshot.traceback
