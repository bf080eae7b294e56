"""The function that a worker calls for a job of a task of Celery's."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from offload.celery.encoding.arguments import KEY, decode_call
from offload.celery.runs.countdowns import wait_for_countdown
from offload.celery.runs.errbacks import errback_arguments
from offload.celery.runs.execution import Attempt
from offload.celery.tasks.options import MAX_PRIORITY, task_option
from offload.celery.tasks.registry import tasks
from offload.celery.tasks.request import Context
from offload.context import running_job
from offload.results import canonical_id
from offload.timestamps import to_datetime

if TYPE_CHECKING:
    from offload.celery.tasks.base import BaseTask


def job_function(task: BaseTask) -> Callable[..., Any]:
    """Return a function that runs a task as a job; its path is that of the task's own function."""

    async def arun(*args: Any, **kwargs: Any) -> Any:
        begin = sync_to_async(_attempt) if _reads_rows(kwargs) else _async_attempt
        return await (await begin(task, args, kwargs)).arun()

    def run(*args: Any, **kwargs: Any) -> Any:
        return _attempt(task, args, kwargs).run()

    function = arun if inspect.iscoroutinefunction(task.run) else run
    function.__module__, function.__qualname__ = task.path_parts
    function.__name__ = task.path_parts[1].rpartition(".")[2]
    function.__doc__ = task.__doc__
    vars(function)["celery_task"] = task
    return function


def was_redelivered(job: Any, extra: Mapping[str, Any]) -> bool:
    """Return whether an attempt that does not count has had the job: it was lost, or rejected.

    Args:
        job: its row.
        extra: what the call has besides its arguments. One that waits for a countdown in a canvas
            may have had an attempt for that, which does not count either.
    """
    waits = 1 if "countdown" in extra else 0
    return bool(job.worker_losses > 0 or job.fence > job.attempt + waits)


def task_of_job(task: Any) -> Any:
    """Return the task of `offload.celery` that a task of django-offload runs; None without one."""
    return getattr(task.func, "celery_task", None)


def _reads_rows(kwargs: Mapping[str, Any]) -> bool:
    """Return whether an attempt needs the database before it begins."""
    extra = kwargs.get(KEY)
    return isinstance(extra, dict) and not {"countdown", "errback"}.isdisjoint(extra)


async def _async_attempt(task: BaseTask, args: Any, kwargs: Any) -> Attempt:
    return _attempt(task, args, kwargs)


def _attempt(task: BaseTask, args: Any, kwargs: Any) -> Attempt:
    args, kwargs, extra = decode_call(args, kwargs)
    if "task" in extra:  # several tasks have one function
        task = tasks[extra["task"]]
    if "countdown" in extra:
        wait_for_countdown(extra["countdown"])
    if "errback" in extra:
        args = (*errback_arguments(task, extra["errback"]), *args)
    return Attempt(task, _request(task, args, kwargs, extra))


def _request(task: BaseTask, args: Any, kwargs: Any, extra: dict[str, Any]) -> Context:
    headers = extra.get("headers") or {}
    values: dict[str, Any] = {
        **headers,
        "args": list(args),
        "kwargs": kwargs,
        "called_directly": False,
        "headers": headers,
        "hostname": _hostname(),
        "task": task.name,
        "shadow": extra.get("shadow"),
        "parent_id": extra.get("parent_id"),
        "group": extra.get("group"),
        "chord": extra.get("chord"),
        "soft_time_limit": extra.get("soft_time_limit", task_option(task, "soft_time_limit")),
        "ignore_result": extra.get("ignore_result", bool(task_option(task, "ignore_result"))),
        **_values_of_job(extra),
    }
    values["correlation_id"] = values["id"]
    values["root_id"] = extra.get("root_id") or values["id"]
    values["timelimit"] = [values.get("time_limit"), values["soft_time_limit"]]
    return Context(**values)


def _values_of_job(extra: dict[str, Any]) -> dict[str, Any]:
    """Return what the job's row says; only the id if there is no row, as with Django's backends."""
    running = running_job()
    if running is None:
        return {"id": extra.get("id")}
    job = running.job
    return {
        "id": extra.get("id") or canonical_id(job.id),
        "retries": max(0, job.attempt - 1),
        "time_limit": job.timeout,
        "eta": to_datetime(job.run_after) if job.run_after > job.enqueued_at else None,
        "expires": None if job.expires_at is None else to_datetime(job.expires_at),
        "delivery_info": {
            "exchange": "",
            "routing_key": job.queue_name,
            "priority": min(max(job.priority // 10, 0), MAX_PRIORITY),
            "redelivered": was_redelivered(job, extra),
        },
    }


@cache
def _hostname() -> str:
    return f"offload@{socket.gethostname()}"
