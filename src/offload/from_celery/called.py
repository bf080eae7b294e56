"""A call of a task as Celery has kept it, in the form that the backend takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.tasks import Task
from django.tasks.exceptions import InvalidTask, InvalidTaskBackend

from offload.backends.base import get_backend
from offload.backends.calls import encode_calls
from offload.backends.signatures import require_matching_call
from offload.celery.calls.preparing import with_call_options
from offload.celery.calls.times import SOONEST
from offload.celery.encoding.arguments import encode_call
from offload.celery.encoding.values import decode
from offload.celery.exceptions import EncodeError, NotRegistered
from offload.celery.tasks.current import get_current_app
from offload.celery.tasks.options import MAX_PRIORITY, engine_queue
from offload.celery.tasks.registry import tasks
from offload.exceptions import InvalidArguments, TaskNotFound
from offload.task_lookup import find_task, with_options


class CannotCall(ValueError):
    """Raised for a call that cannot become a job; its text says why, and what to do."""


@dataclass(slots=True)
class Called:
    """A call of a task, as a message or a row has it.

    Attributes:
        name: of the task.
        args, kwargs: its arguments: JSON, with Celery's envelopes.
        headers: those of the project.
        queue: its name in Celery; empty for that of the task.
        priority: that of the broker; None for that of the task.
        eta: when it is to start; None for at once.
        expires: when it is not to start any more.
        options: further options of `apply_async`.
        own_id: its id, if that is no UUID.
    """

    name: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, Any] = field(default_factory=dict)
    queue: str = ""
    priority: int | None = None
    eta: datetime | None = None
    expires: datetime | None = None
    options: dict[str, Any] = field(default_factory=dict)
    own_id: str = ""


class PreparedCall(NamedTuple):
    """A call that the backend accepts.

    Attributes:
        task: of django-offload, with the options of the call.
        args, kwargs: plain JSON.
        celery_task: that of offload.celery; None for a task of django-offload.
    """

    task: Task[..., Any]
    args: list[Any]
    kwargs: dict[str, Any]
    celery_task: Any


def prepare_call(called: Called, *, is_redis: bool) -> PreparedCall:
    """Return a call in the form that the backend takes, without enqueueing it.

    Args:
        called: the call.
        is_redis: whether its priority is that of Redis, where 0 is first.

    Raises:
        CannotCall: if there is no such task, or it cannot be called like this.
    """
    try:
        task = tasks[called.name]
    except NotRegistered as error:
        missing = error
    except Exception as error:
        raise CannotCall(
            f"The module of {called.name!r} cannot be imported: {error}. Correct it, then run the "
            "command again."
        ) from error
    else:
        return _checked(_of_celery(task, called), called, is_redis=is_redis)
    try:
        return _checked(_of_offload(called), called, is_redis=is_redis)
    except TaskNotFound:
        raise CannotCall(_explain_missing(called.name, missing)) from None


def _of_celery(task: Any, called: Called) -> PreparedCall:
    """Return a call of a task of offload.celery."""
    try:
        args, kwargs = [*map(decode, called.args)], {k: decode(v) for k, v in called.kwargs.items()}
        if task.typing:
            require_matching_call(task.checked_call, args, kwargs)
        options = {**called.options, "headers": called.headers, "queue": called.queue or None}
        engine_task, extra = with_call_options(task, args, kwargs, options)
        if called.own_id:
            extra["id"] = called.own_id
        return PreparedCall(engine_task, *encode_call(args, kwargs, extra), task)
    except (EncodeError, InvalidTask, TypeError, ValueError) as error:
        raise CannotCall(f"{type(error).__name__}: {error}") from error


def _of_offload(called: Called) -> PreparedCall:
    """Return a call of a task of django-offload that has kept the name."""
    task = find_task(called.name)
    if called.queue:
        queues = get_backend(task.backend).queues
        queue = engine_queue(called.queue, queues, get_current_app().conf)
        task = with_options(task, queue_name=queue)
    return PreparedCall(task, called.args, called.kwargs, None)


def _checked(prepared: PreparedCall, called: Called, *, is_redis: bool) -> PreparedCall:
    """Return a call with its times and priority, if the backend accepts it."""
    task = with_options(prepared.task, **_times(called))
    if called.priority is not None:
        task = with_options(task, priority=_priority(called.priority, is_redis=is_redis))
    try:
        backend = get_backend(task.backend)
        backend.validate_task(task)
        maximum = backend.settings.max_arguments_size
        encode_calls(task, [(prepared.args, prepared.kwargs)], max_bytes=maximum)
    except (
        ImproperlyConfigured,
        InvalidArguments,
        InvalidTask,
        InvalidTaskBackend,
        TypeError,
    ) as error:
        raise CannotCall(f"{type(error).__name__}: {error}") from error
    return prepared._replace(task=task)


def _times(called: Called) -> dict[str, Any]:
    """Return the options of a task about times that have not passed."""
    now = datetime.now(UTC)
    options: dict[str, Any] = {}
    start = max(now, called.eta or now)
    if start > now:
        options["run_after"] = start
    if called.expires is not None:
        options["expires"] = max(called.expires - start, SOONEST)
    return options


def _priority(priority: int, *, is_redis: bool) -> int:
    """Return the priority of the job.

    With Redis 0 is first, and also that of calls without a priority: those with one come later.
    """
    level = min(max(priority, 0), MAX_PRIORITY)
    return -10 * level if is_redis else 10 * level


def _explain_missing(name: str, error: NotRegistered) -> str:
    if name.startswith("offload."):
        return "It belongs to CeleryBackend, whose workers take it."
    if name == "celery.chord_unlock":
        return "It belongs to a chord, whose tasks only Celery's workers can finish."
    return f"{error} If it is still Celery's, change its import to offload.celery."
