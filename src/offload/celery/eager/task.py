"""Runs a task in the caller's process: `apply`, and `delay` with `CELERY_TASK_ALWAYS_EAGER`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from asgiref.sync import async_to_sync

from offload.celery import states
from offload.celery.encoding.arguments import decode_call, encode_call
from offload.celery.encoding.values import decode
from offload.celery.exceptions import Ignore, Reject
from offload.celery.result.eager_result import EagerResult
from offload.celery.result.eager_snapshots import EagerSnapshot, keep
from offload.celery.runs.errbacks import eager_errback_arguments, takes_id_only
from offload.celery.runs.execution import Attempt, ExceptionInfo
from offload.celery.runs.retries import RetryLater
from offload.celery.signatures import listed_signatures
from offload.celery.tasks.options import task_option
from offload.celery.tasks.request import Context
from offload.exceptions import Snooze

if TYPE_CHECKING:
    from offload.celery.tasks.base import BaseTask


def run_here(
    task: BaseTask, args: Any, kwargs: Mapping[str, Any], options: Mapping[str, Any], *, throw: bool
) -> EagerResult:
    """Run a task with all its retries, without delays; return its result.

    Args:
        task: the task.
        args, kwargs: its arguments, which are those that a worker would get.
        options: those of `apply_async`.
        throw: raise its exception instead of returning it.
    """
    _require_no_loop(task)
    task_id = str(options.get("task_id") or uuid4())
    args, kwargs, _ = decode_call(*encode_call(args, kwargs, {}))
    snapshot = EagerSnapshot(task_id, states.PENDING, None, name=task.name, call=(args, kwargs, {}))
    try:
        snapshot.result = _run_all_attempts(task, _request(task, task_id, args, kwargs, options))
        snapshot.state = states.SUCCESS
    except Exception as error:
        _set_outcome(snapshot, error)
        if throw and snapshot.state == states.FAILURE:
            raise
    finally:
        keep(snapshot)
        run_links(snapshot, options)
    return EagerResult.of(snapshot)


def _set_outcome(snapshot: EagerSnapshot, error: Exception) -> None:
    if isinstance(error, Ignore):
        snapshot.state = states.IGNORED
    elif isinstance(error, Reject) and error.requeue:
        snapshot.state = states.REJECTED
    else:
        snapshot.state, snapshot.result = states.FAILURE, error
        snapshot.traceback = ExceptionInfo(error).traceback


def run_links(snapshot: EagerSnapshot, options: Mapping[str, Any]) -> None:
    """Run what follows a task, or what follows its failure."""
    if snapshot.state == states.SUCCESS:
        for callback in listed_signatures(options.get("link")):
            result = callback.apply((snapshot.result,))
            snapshot.children.append(result.id)
    elif snapshot.state in states.PROPAGATE_STATES:
        for errback in listed_signatures(options.get("link_error")):
            before = eager_errback_arguments(errback.type, snapshot)
            if takes_id_only(errback.type) or errback.immutable:
                errback.apply(before)
            else:  # a request and an exception are no JSON
                errback(*before)


def _run_all_attempts(task: BaseTask, request: Context) -> Any:
    while True:
        try:
            return decode(_run(Attempt(task, request)))
        except RetryLater:
            again = {"retries": request.retries + 1, "asked_retry": None}
            request = Context(**{**vars(request), **again})
        except Snooze:
            pass


def _run(attempt: Attempt) -> Any:
    if not inspect.iscoroutinefunction(attempt.task.run):
        return attempt.run()
    return async_to_sync(attempt.arun)()


def _require_no_loop(task: BaseTask) -> None:
    """Raise RuntimeError if an async task would wait for the event loop that it holds up."""
    if not inspect.iscoroutinefunction(task.run):
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        f"{task.name} is an async task, which cannot run here: its caller would block the event "
        "loop that it needs. Await its function, or sync_to_async(task.delay)()."
    )


def _is_ignored(task: BaseTask, options: Mapping[str, Any]) -> bool:
    own = options.get("ignore_result")
    return bool(task_option(task, "ignore_result") if own is None else own)


def _request(
    task: BaseTask, task_id: str, args: Any, kwargs: Any, options: Mapping[str, Any]
) -> Context:
    headers = dict(options.get("headers") or {})
    values: dict[str, Any] = {
        **headers,
        "id": task_id,
        "args": list(args),
        "kwargs": kwargs,
        "called_directly": False,
        "is_eager": True,
        "headers": headers,
        "retries": int(options.get("retries") or 0),
        "task": task.name,
        "root_id": task_id,
        "correlation_id": task_id,
        "delivery_info": {"is_eager": True, "routing_key": options.get("queue")},
        "ignore_result": _is_ignored(task, options),
        "soft_time_limit": None,
    }
    return Context(**values)
