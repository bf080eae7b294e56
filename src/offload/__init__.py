"""Background tasks for Django, with live status for the people who wait for them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from offload.context import CurrentJob, current_job, is_cancelled, progress, track
from offload.ownership import acting_for
from offload.policies import Exponential, Fixed
from offload.progress import Progress

if TYPE_CHECKING:
    from offload.exceptions import (
        InvalidArguments,
        InvalidJobState,
        InvalidResult,
        JobCancelled,
        JobExpired,
        JobTimeout,
        OffloadError,
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
    from offload.live.idempotency import idempotent
    from offload.results import OffloadResult
    from offload.tasks import OffloadTask, task

__version__ = "0.1.0"

__all__ = [
    "CurrentJob",
    "Exponential",
    "Fixed",
    "InvalidArguments",
    "InvalidJobState",
    "InvalidResult",
    "JobCancelled",
    "JobExpired",
    "JobState",
    "JobTimeout",
    "OffloadError",
    "OffloadResult",
    "OffloadTask",
    "Progress",
    "QueueUnavailable",
    "Retry",
    "Snooze",
    "TaskNotFound",
    "TaskResultExpired",
    "UserFacingError",
    "WorkerLost",
    "aaccepted",
    "accepted",
    "acting_for",
    "current_job",
    "idempotent",
    "is_cancelled",
    "progress",
    "task",
    "track",
]

_LAZY = {
    "offload.exceptions": (
        "InvalidArguments",
        "InvalidJobState",
        "InvalidResult",
        "JobCancelled",
        "JobExpired",
        "JobTimeout",
        "OffloadError",
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
    "offload.live.idempotency": ("idempotent",),
    "offload.results": ("OffloadResult",),
    "offload.tasks": ("OffloadTask", "task"),
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
