"""The rows of plain Celery tasks: made of the message that is sent, or of what a worker knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.tasks import task_backends

from offload.celery_results.ids import job_id
from offload.celery_results.library import json
from offload.lifecycle import JobState
from offload.ownership import Ownership, current_ownership
from offload.store.celery_records import CELERY
from offload.store.records import NewJob
from offload.timestamps import now_microseconds, to_microseconds, to_utc

HEADER = "offload"
"""The header of messages that tells workers who called the task."""
MAX_ARGUMENTS_CHARS = 64 * 1024
"""Of longer arguments only Celery's short text is kept."""
MAX_NAME_CHARS = 255
MAX_QUEUE_CHARS = 64
UNKNOWN_TASK = "unknown"
"""The name of a task of which only the id is known."""


def caller_header() -> dict[str, Any]:
    """Return the header of a message: who calls the task, and when."""
    ownership = current_ownership(_tenant_getter())
    caller = {
        "owner": ownership.owner,
        "tenant": ownership.tenant,
        "request_id": ownership.request_id,
        "parent": ownership.parent,
    }
    return {"at": now_microseconds(), **{name: value for name, value in caller.items() if value}}


def attempts_before(request: Any) -> int:
    """Return how many attempts a task had before another call with its id replaced it."""
    header = getattr(request, HEADER, None)
    before = header.get("after") if isinstance(header, Mapping) else None
    return before if isinstance(before, int) and before > 0 else 0


def ownership_in(header: Any) -> Ownership | None:
    """Return who called a task, from the header of its message; None without one."""
    if not isinstance(header, Mapping):
        return None
    owner, tenant, request_id = (
        str(header.get(name) or "") for name in ("owner", "tenant", "request_id")
    )
    return Ownership(owner, tenant, request_id)


def sent_row(
    headers: Mapping[str, Any], body: Any, properties: Mapping[str, Any], queue: str
) -> NewJob:
    """Return the row of a message that was sent.

    Args:
        headers: of the message, with that of `caller_header`.
        body: arguments, keyword arguments and what else the task needs.
        properties: of the message.
        queue: the name of the queue.
    """
    args, kwargs = body[0], body[1]
    return _row(
        headers["id"],
        headers,
        _arguments(args, kwargs, headers),
        (queue, int(properties.get("priority") or 0)),
    )


def reported_row(task_id: str, request: Any, caller: Mapping[str, Any]) -> NewJob:
    """Return the row of a task that a worker reports and that has none.

    Args:
        task_id: of the task.
        request: Celery's context of the task; None if it is not known.
        caller: the header of its message, or that of this call if the task has no message.
    """
    fields = {**({} if request is None else vars(request)), HEADER: caller}
    delivery = fields.get("delivery_info") or {}
    names = (delivery.get("routing_key") or "", delivery.get("priority") or 0)
    arguments = _arguments(fields.get("args"), fields.get("kwargs"), fields)
    return _row(task_id, fields, arguments, (str(names[0]), int(names[1])))


def _row(task_id: str, fields: Mapping[str, Any], arguments: str, queue: tuple[str, int]) -> NewJob:
    caller = fields[HEADER]
    parent = caller.get("parent") or fields.get("parent_id")
    run_after, expires_at = time_in(fields.get("eta")), time_in(fields.get("expires"))
    limits = fields.get("timelimit") or (None, None)
    is_scheduled = run_after is not None and run_after > now_microseconds()
    return NewJob(
        id=str(job_id(task_id)),
        arguments=arguments,
        state=int(JobState.SCHEDULED if is_scheduled else JobState.READY),
        backend=CELERY,
        queue_name=queue[0][:MAX_QUEUE_CHARS],
        priority=queue[1],
        is_async=False,
        task_path=str(fields.get("task") or UNKNOWN_TASK)[:MAX_NAME_CHARS],
        run_after=run_after or int(caller["at"]),
        expires_at=expires_at,
        enqueued_at=int(caller["at"]),
        timeout=limits[0],
        max_attempts=1,
        max_worker_losses=0,
        owner=str(caller.get("owner") or ""),
        tenant=str(caller.get("tenant") or ""),
        request_id=str(caller.get("request_id") or ""),
        parent=None if not parent else str(job_id(parent)),
        failure_depth=0,
    )


def time_in(value: Any) -> int | None:
    """Return a time of a message, text or a datetime, in microseconds; None for anything else."""
    with suppress(ValueError, TypeError):
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return to_microseconds(to_utc(moment))
    return None


def _arguments(args: Any, kwargs: Any, fields: Mapping[str, Any]) -> str:
    """Return arguments as JSON text; Celery's short text of those that JSON does not carry."""
    with suppress(Exception):  # any that an object's own `__json__` raises
        text: str = json.dumps([list(args), dict(kwargs)])
        if len(text) <= MAX_ARGUMENTS_CHARS:
            return text
    short = [fields.get("argsrepr") or repr(args), fields.get("kwargsrepr") or repr(kwargs)]
    shown: Sequence[str] = [text[:MAX_ARGUMENTS_CHARS] for text in short]
    plain: str = json.dumps([shown, {}])
    return plain


def _tenant_getter() -> str:
    """Return the option of the project's first backend, by which its pages find the tenant."""
    settings = (getattr(backend, "settings", None) for backend in task_backends.all())
    return next((options.tenant_getter for options in settings if options is not None), "")
