"""Background tasks for Django, with live status for the people who wait for them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from offload.context import CurrentJob, current_job, is_cancelled, progress, track
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
from offload.ownership import acting_for
from offload.policies import Exponential, Fixed
from offload.progress import Progress
from offload.results import OffloadResult
from offload.tasks import OffloadTask, task

if TYPE_CHECKING:
    from offload.live.accepted import aaccepted, accepted
    from offload.live.idempotency import idempotent

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
    "accepted": "offload.live.accepted",
    "aaccepted": "offload.live.accepted",
    "idempotent": "offload.live.idempotency",
}
"""Names whose modules need Django's apps to be loaded."""


def __getattr__(name: str) -> Any:
    """Import a public name on first use, when Django's apps are loaded."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
