"""Celery's names, for tasks whose jobs django-offload runs.

    from offload.celery import shared_task

It imports nothing of Celery. `docs/reference/celery.md` says which names there are.
"""

from typing import TYPE_CHECKING, Any

from django.utils.module_loading import import_string

from offload.celery.app.base import Celery
from offload.celery.app.sharing import shared_task
from offload.celery.app.task import Task
from offload.celery.canvas import (
    Signature,
    chain,
    chord,
    chunks,
    group,
    maybe_signature,
    signature,
    xmap,
    xstarmap,
)
from offload.celery.tasks.current import current_app, current_task
from offload.celery.tasks.request import allow_join_result
from offload.celery.utils import uuid

if TYPE_CHECKING:
    from offload.celery.result.async_result import AsyncResult
    from offload.celery.result.eager_result import EagerResult
    from offload.celery.result.sets import GroupResult, ResultSet

__all__ = [
    "AsyncResult",
    "Celery",
    "EagerResult",
    "GroupResult",
    "ResultSet",
    "Signature",
    "Task",
    "allow_join_result",
    "chain",
    "chord",
    "chunks",
    "current_app",
    "current_task",
    "group",
    "maybe_signature",
    "shared_task",
    "signature",
    "uuid",
    "xmap",
    "xstarmap",
]

_LAZY = {
    "AsyncResult": "offload.celery.result.async_result.AsyncResult",
    "EagerResult": "offload.celery.result.eager_result.EagerResult",
    "GroupResult": "offload.celery.result.sets.GroupResult",
    "ResultSet": "offload.celery.result.sets.ResultSet",
    "celery": "offload.backends.celery.application.application",
}
"""Names whose modules import `django.tasks`, before which LOGGING must be applied.

A project's `celery.py` is imported before that. Celery itself looks for the name `celery` when a
fleet's worker starts with `celery -A offload.celery worker`.
"""


def __getattr__(name: str) -> Any:
    """Import a name on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = import_string(_LAZY[name])
    return value
