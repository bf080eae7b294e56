"""Enqueues a task with those that follow it by `link` and `link_error`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offload.celery.calls.call import Call
from offload.celery.calls.publishing import publish
from offload.celery.canvas.plans import publish_canvas
from offload.celery.result.async_result import AsyncResult
from offload.celery.signatures import Signature
from offload.celery.tasks.options import task_option
from offload.celery.tasks.request import running_call

if TYPE_CHECKING:
    from offload.celery.tasks.base import BaseTask


def enqueue(task: BaseTask, call: Call, link: Any = None, link_error: Any = None) -> AsyncResult:
    """Add a job, and those of what follows it, in the caller's transaction.

    The running task, if there is one, keeps the result among its children.

    Args:
        task, call: what is called.
        link, link_error: signatures that follow, or follow if it fails.
    """
    if link or link_error:
        identifier = publish_linked(task, call, link, link_error)
    else:
        identifier = publish(task, call)
    ignored = call.options.get("ignore_result")
    if ignored is None:
        ignored = task_option(task, "ignore_result")
    result = AsyncResult(identifier, task_name=task.name, ignored=bool(ignored))
    caller = running_call()
    if caller is not None and caller.task.trail:
        caller.request.children.append(result)
    return result


def publish_linked(task: BaseTask, call: Call, link: Any, link_error: Any) -> str:
    """Enqueue a task and the tasks that follow it, in the caller's transaction.

    Args:
        task, call: the first one.
        link: signatures that follow with its result.
        link_error: signatures that follow if it fails, after its last retry.

    Returns:
        The id of the first one.
    """
    first = Signature(task, call.args, call.kwargs, {"link": link, "link_error": link_error})
    result = publish_canvas(first, (), {}, {**call.options, "task_id": call.task_id})
    return str(result.id)
