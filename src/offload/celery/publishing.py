"""Enqueues a call of a task, as `apply_async` describes it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction

from offload.backends.database import DatabaseBackend
from offload.backends.signatures import require_matching_call
from offload.celery import signals
from offload.celery.call import encode_call
from offload.celery.definition import priority_of
from offload.celery.eager_snapshots import forget_kept
from offload.celery.ids import is_own_text, job_id
from offload.celery.options import engine_priority, engine_queue, route_of, task_option
from offload.celery.removal import delete_finished
from offload.celery.request import running_call
from offload.celery.taken_ids import explain_taken
from offload.celery.transactions import remember
from offload.reserved_ids import reserve_id, take_reserved_id
from offload.task_lookup import with_options
from offload.uuid7 import new_id

if TYPE_CHECKING:
    from offload.celery.base_task import BaseTask
    from offload.celery.definition import CeleryTask

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
SOONEST = timedelta(microseconds=1)
"""The shortest time after which a job expires."""


@dataclass(slots=True)
class Call:
    """One call of a task.

    Attributes:
        args, kwargs: its arguments.
        task_id: the id that the caller has chosen; None for a new one.
        options: those of `apply_async`.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    task_id: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, args: Any, kwargs: Any, task_id: str | None, options: dict[str, Any]) -> Self:
        """Return the call that arguments of `apply_async` describe.

        Raises:
            TypeError: for text in place of several arguments, and for kwargs that are no mapping.
        """
        return cls(*checked_arguments(args, kwargs), task_id, options)


def checked_arguments(args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call; none for None.

    Raises:
        TypeError: for text in place of several arguments, and for kwargs that are no mapping.
    """
    if isinstance(args, str | bytes | Mapping):
        raise TypeError(f"task args must be a list or tuple, not {args!r}.")
    if not isinstance(kwargs, Mapping | None):
        raise TypeError(f"task keyword arguments must be a mapping, not {kwargs!r}.")
    return tuple(args or ()), dict(kwargs or {})


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
    is_chosen = bool(call.task_id) and isinstance(backend, DatabaseBackend)
    try:
        with transaction.atomic(backend.settings.database) if is_chosen else nullcontext():
            if is_chosen:
                delete_finished(backend, prepared.identifier)
            with reserve_id(prepared.identifier):
                result = backend.enqueue(prepared.task, prepared.args, prepared.kwargs)
    except IntegrityError as error:
        if not is_chosen:
            raise
        raise ValueError(explain_taken([prepared.task_id])) from error
    identifier = UUID(result.id)
    remember(backend, identifier)
    announce(task, call, prepared)
    # A unique task returns the job that holds its key.
    return prepared.task_id if identifier == prepared.identifier else str(result.id)


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


def _with_options(task: BaseTask, options: Mapping[str, Any]) -> CeleryTask:
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
    run_after = _run_after(options, zone_of(conf))
    if run_after is not None:
        changes["run_after"] = run_after
    expires = options.get("expires", task.expires)
    if expires is not None:
        changes["expires"] = _expires(expires, run_after, zone_of(conf))
    return with_options(defined, **changes) if changes else defined  # type: ignore[return-value]


def _run_after(options: Mapping[str, Any], zone: tzinfo) -> datetime | timedelta | None:
    if options.get("countdown") is not None:
        delay = options["countdown"]
        seconds = delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
        return timedelta(seconds=max(0.0, seconds)) if seconds > 0 else None
    eta = options.get("eta")
    return None if eta is None else aware(eta, zone)


def _expires(
    expires: float | timedelta | datetime, run_after: datetime | timedelta | None, zone: tzinfo
) -> timedelta:
    """Return the time from `run_after`, or from now, after which the job does not start."""
    now = datetime.now(UTC)
    start = now
    if isinstance(run_after, timedelta):
        start = now + run_after
    elif run_after is not None:
        start = max(now, run_after)
    if isinstance(expires, datetime | str):
        end = aware(expires, zone)
    else:
        end = now + (expires if isinstance(expires, timedelta) else timedelta(seconds=expires))
    return max(end - start, SOONEST)


def aware(moment: datetime | str, zone: tzinfo) -> datetime:
    """Return a time with a time zone, which is `zone` if it has none; text is ISO 8601."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def zone_of(conf: Any) -> tzinfo:
    """Return the time zone of times without one: UTC, unless `CELERY_TIMEZONE` says otherwise."""
    name = conf.timezone
    if not name:
        return UTC
    return ZoneInfo(name) if isinstance(name, str) else name


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
