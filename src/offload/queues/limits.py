"""Limits of queues that an operator sets, which replace those of the settings."""

from __future__ import annotations

import json
from typing import TypedDict, Unpack

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS

from offload.backends.base import get_backend
from offload.backends.queue_names import require_queue
from offload.operators import require_note
from offload.policies import Rate
from offload.policies.queue_limits import columns_of
from offload.queues.status import QueueStatus, get
from offload.store.queue_records import LimitsChange
from offload.timestamps import now_microseconds, to_datetime


class Limits(TypedDict, total=False):
    """Limits of a queue; None takes one away, and those left out stay as they are.

    Attributes:
        concurrency: jobs that run at once, in all workers together.
        rate: starts in all workers together; text such as "14/s", or a `Rate` with its burst.
        max_queued: jobs that may wait in the queue; `enqueue` refuses further ones.
    """

    concurrency: int | None
    rate: str | Rate | None
    max_queued: int | None


def limit(
    name: str,
    *,
    reason: str = "",
    changed_by: str = "",
    backend: str = DEFAULT_TASK_BACKEND_ALIAS,
    **limits: Unpack[Limits],
) -> QueueStatus:
    """Replace limits of a queue in the settings, until somebody resets them.

        queues.limit("mail", concurrency=20, rate="14/s", max_queued=10_000)

    Args:
        name: of the queue.
        reason: why; shown beside the limits.
        changed_by: the operator.
        backend: alias in TASKS.
        **limits: concurrency, rate, max_queued; None takes a limit away, and those left out stay
            as they are.

    Raises:
        LookupError: if the settings list the backend's queues, and not this one.
        TypeError, ValueError: for a bad argument.
    """
    task_backend = get_backend(backend)
    require_queue(task_backend, name)
    columns = columns_of(limits)
    if not columns:
        raise ValueError(f"Nothing to limit: pass one of {', '.join(Limits.__annotations__)}.")
    require_note(reason, changed_by)
    now = to_datetime(now_microseconds())
    change = LimitsChange(json.dumps(columns), reason.strip(), changed_by, now)
    task_backend.limit_queue(name, change)
    return get(name, backend=backend)


def reset_limits(name: str, *, backend: str = DEFAULT_TASK_BACKEND_ALIAS) -> QueueStatus:
    """Let the limits of the settings count again.

    Args:
        name: of the queue.
        backend: alias in TASKS.

    Raises:
        LookupError: if the settings list the backend's queues, and not this one.
    """
    task_backend = get_backend(backend)
    require_queue(task_backend, name)
    task_backend.limit_queue(name, None)
    return get(name, backend=backend)
