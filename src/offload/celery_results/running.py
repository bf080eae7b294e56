"""The attempt that a thread of a Celery worker runs: when it started, and for whom."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from offload.celery_results.library import signals
from offload.celery_results.rows import HEADER, ownership_in
from offload.ownership import ownership_from
from offload.timestamps import now_microseconds

_STATE = "offload_attempt"
"""The attribute of Celery's request, which lives as long as the attempt."""


def started_at(request: Any) -> int | None:
    """Return when an attempt started, in microseconds; None if it runs in another process."""
    attempt = getattr(request, _STATE, None)
    return None if attempt is None else attempt[0]


@signals.task_prerun.connect(weak=False)  # type: ignore[untyped-decorator]
def _before_attempt(task: Any = None, **_kwargs: Any) -> None:
    """Let the tasks that this one calls belong to the owner of this one."""
    request = getattr(task, "request", None)
    ownership = ownership_in(getattr(request, HEADER, None))
    if request is None or request.is_eager:
        return
    stack = ExitStack()
    if ownership is not None:
        stack.enter_context(ownership_from(lambda _getter: ownership))
    setattr(request, _STATE, (now_microseconds(), stack))


@signals.task_postrun.connect(weak=False)  # type: ignore[untyped-decorator]
def _after_attempt(task: Any = None, **_kwargs: Any) -> None:
    attempt = getattr(getattr(task, "request", None), _STATE, None)
    if attempt is not None:
        attempt[1].close()
