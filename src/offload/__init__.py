"""Background tasks for Django, with live status for the people who wait for them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from offload.context import CurrentJob, current_job, is_cancelled, progress, track
from offload.ownership import acting_for
from offload.policies import (
    Concurrency,
    Debounce,
    Exponential,
    Fair,
    Fixed,
    Rate,
    Throttle,
    Unique,
)
from offload.progress import Progress

if TYPE_CHECKING:
    from offload.exceptions import (
        AlreadyEnqueued,
        InvalidArguments,
        InvalidJobState,
        InvalidResult,
        InvalidSchedule,
        InvalidWorkflow,
        JobCancelled,
        JobExpired,
        JobTimeout,
        OffloadError,
        PartsFailed,
        QueueFull,
        QueueUnavailable,
        Retry,
        Snooze,
        TaskNotFound,
        TaskResultExpired,
        UserFacingError,
        WorkerLost,
    )
    from offload.lifecycle import JobState
    from offload.live.accepted import aaccepted, accepted
    from offload.live.busy import busy
    from offload.live.idempotency import idempotent
    from offload.results import OffloadResult, WorkflowResult
    from offload.schedules.decorator import schedule
    from offload.tasks import OffloadTask, task
    from offload.workflows.builder import workflow
    from offload.workflows.canvas import chain, group
    from offload.workflows.current import current_workflow

__version__ = "0.1.0"

__all__ = [
    "AlreadyEnqueued",
    "Concurrency",
    "CurrentJob",
    "Debounce",
    "Exponential",
    "Fair",
    "Fixed",
    "InvalidArguments",
    "InvalidJobState",
    "InvalidResult",
    "InvalidSchedule",
    "InvalidWorkflow",
    "JobCancelled",
    "JobExpired",
    "JobState",
    "JobTimeout",
    "OffloadError",
    "OffloadResult",
    "OffloadTask",
    "PartsFailed",
    "Progress",
    "QueueFull",
    "QueueUnavailable",
    "Rate",
    "Retry",
    "Snooze",
    "TaskNotFound",
    "TaskResultExpired",
    "Throttle",
    "Unique",
    "UserFacingError",
    "WorkerLost",
    "WorkflowResult",
    "aaccepted",
    "accepted",
    "acting_for",
    "busy",
    "chain",
    "current_job",
    "current_workflow",
    "group",
    "idempotent",
    "is_cancelled",
    "progress",
    "schedule",
    "task",
    "track",
    "workflow",
]

_LAZY = {
    "offload.exceptions": (
        "AlreadyEnqueued",
        "InvalidArguments",
        "InvalidJobState",
        "InvalidResult",
        "InvalidSchedule",
        "InvalidWorkflow",
        "JobCancelled",
        "JobExpired",
        "JobTimeout",
        "OffloadError",
        "QueueFull",
        "PartsFailed",
        "QueueUnavailable",
        "Retry",
        "Snooze",
        "TaskNotFound",
        "TaskResultExpired",
        "UserFacingError",
        "WorkerLost",
    ),
    "offload.lifecycle": ("JobState",),
    "offload.live.accepted": ("aaccepted", "accepted"),
    "offload.live.busy": ("busy",),
    "offload.live.idempotency": ("idempotent",),
    "offload.results": ("OffloadResult", "WorkflowResult"),
    "offload.schedules.decorator": ("schedule",),
    "offload.tasks": ("OffloadTask", "task"),
    "offload.workflows.builder": ("workflow",),
    "offload.workflows.canvas": ("chain", "group"),
    "offload.workflows.current": ("current_workflow",),
}
"""Names by module. These modules need Django's apps to be loaded, or import `django.tasks`.

That makes Django's logger of tasks, and Django disables the loggers that exist when it applies
LOGGING. Settings, and an `asgi.py` before `get_asgi_application()`, may import this package.
"""
_MODULES = {name: module for module, names in _LAZY.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value
