"""Makes the task of django-offload and its arguments of a call, as the backend takes them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from offload.backends.signatures import require_matching_call
from offload.celery import signals
from offload.celery.calls.times import expires_after, run_after_of, zone_of
from offload.celery.encoding.arguments import encode_call
from offload.celery.result.eager_snapshots import forget_kept
from offload.celery.tasks.definition import priority_of
from offload.celery.tasks.ids import is_own_text, job_id
from offload.celery.tasks.options import engine_priority, engine_queue, route_of, task_option
from offload.celery.tasks.request import running_call
from offload.reserved_ids import take_reserved_id
from offload.task_lookup import with_options
from offload.uuid7 import new_id

if TYPE_CHECKING:
    from offload.celery.calls.call import Call
    from offload.celery.tasks.base import BaseTask
    from offload.celery.tasks.definition import CeleryTask

logger = logging.getLogger("offload.celery")

USED_OPTIONS = {
    "chord",
    "countdown",
    "eta",
    "expires",
    "group_id",
    "headers",
    "ignore_result",
    "parent_id",
    "priority",
    "queue",
    "root_id",
    "shadow",
    "soft_time_limit",
    "time_limit",
}
"""Options of `apply_async` that mean something here; the others are about messages."""


class Prepared(NamedTuple):
    """A call in the form that the backend takes.

    Attributes:
        task: the task, with the options of the call.
        args, kwargs: its arguments, as plain JSON.
        identifier: of its job.
        task_id: the same as the caller gave it.
    """

    task: CeleryTask
    args: list[Any]
    kwargs: dict[str, Any]
    identifier: UUID
    task_id: str


def prepare(task: BaseTask, call: Call, *, preceding: int | None = 0) -> Prepared:
    """Return a call in the form that the backend takes, without enqueueing it.

    Args:
        task: the task.
        call: the call.
        preceding: how many arguments, such as results, will precede its own; None if that is not
            known.

    Raises:
        TypeError, EncodeError, ValueError: those of `publish`.
    """
    if task.typing and preceding is not None:
        args = (*[None] * preceding, *call.args)
        require_matching_call(task.checked_call, args, call.kwargs)
    options = {**route_of(task, call.args, call.kwargs, call.options), **_given(call.options)}
    identifier = job_id(call.task_id) if call.task_id else take_reserved_id() or new_id()
    task_id = str(call.task_id or identifier)
    if call.task_id:
        forget_kept(task_id)
    engine_task = _with_options(task, options)
    extra = _extra(task, task_id, options)
    if signals.before_task_publish.receivers:
        _announce_before(task, call, engine_task, extra, task_id)
    positional, named = encode_call(call.args, call.kwargs, extra)
    return Prepared(engine_task, positional, named, identifier, task_id)


def with_call_options(
    task: BaseTask, args: Any, kwargs: Any, options: Mapping[str, Any]
) -> tuple[CeleryTask, dict[str, Any]]:
    """Return the task with the options of calls to come, and what each needs to know besides."""
    options = {**route_of(task, args, kwargs, options), **_given(options)}
    for name in ("countdown", "eta"):  # a tick is the time
        options.pop(name, None)
    return _with_options(task, options), _extra(task, str(new_id()), options)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    unused = sorted(name for name in options if name not in USED_OPTIONS)
    if unused:
        logger.debug("apply_async() has no use for: %s.", ", ".join(unused))
    return {
        name: value for name, value in options.items() if name in USED_OPTIONS and value is not None
    }


def _with_options(task: Any, options: Mapping[str, Any]) -> CeleryTask:
    """Return the task that workers run, with the options of a call."""
    defined: CeleryTask = task.definition
    changes: dict[str, Any] = {}
    conf = task.app.conf
    if "queue" in options:
        name = getattr(options["queue"], "name", options["queue"])
        changes["queue_name"] = engine_queue(name, defined.get_backend().queues, conf)
    if "priority" in options:
        changes["priority"] = engine_priority(priority_of(task, options))
    if "time_limit" in options:
        changes["timeout"] = options["time_limit"]
    soft = options.get("soft_time_limit", task_option(task, "soft_time_limit"))
    hard = changes.get("timeout", defined.timeout)
    if soft is not None and hard is not None and soft > hard:
        raise ValueError(f"soft_time_limit ({soft}) must not be longer than time_limit ({hard}).")
    run_after = run_after_of(options, zone_of(conf))
    if run_after is not None:
        changes["run_after"] = run_after
    expires = options.get("expires", task.expires)
    if expires is not None:
        changes["expires"] = expires_after(expires, run_after, zone_of(conf))
    return with_options(defined, **changes) if changes else defined  # type: ignore[return-value]


def _extra(task: BaseTask, task_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the task needs to know of its call besides the arguments."""
    extra: dict[str, Any] = {
        "headers": dict(options.get("headers") or {}),
        "shadow": options.get("shadow"),
        "group": options.get("group_id"),
        "chord": options.get("chord"),
        "soft_time_limit": options.get("soft_time_limit"),
        "ignore_result": options.get("ignore_result"),
        "root_id": options.get("root_id"),
        "parent_id": options.get("parent_id"),
    }
    if is_own_text(task_id):
        extra["id"] = task_id
    if task.shares_its_function:
        extra["task"] = task.name
    parent = running_call()
    if parent is not None and parent.request.id:
        extra["root_id"] = extra["root_id"] or parent.request.root_id
        extra["parent_id"] = extra["parent_id"] or parent.request.id
    return extra


def _announce_before(
    task: BaseTask, call: Call, engine_task: CeleryTask, extra: dict[str, Any], task_id: str
) -> None:
    """Send `before_task_publish`, whose receivers may add headers."""
    own = {"id": task_id, "task": task.name, "retries": 0, **extra}
    headers = {**own, **extra["headers"]}
    signals.before_task_publish.send(
        task.name,
        body=(call.args, dict(call.kwargs), {}),
        exchange="",
        routing_key=engine_task.queue_name,
        headers=headers,
        properties={"correlation_id": task_id, "priority": call.options.get("priority")},
        declare=[],
        retry_policy={},
    )
    added = {name: value for name, value in headers.items() if name not in own}
    extra["headers"] = {**(headers.get("headers") or {}), **added}
