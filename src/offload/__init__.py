"""Background tasks for Django that the person at the browser can see."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from offload.context import CurrentJob, current_job, is_cancelled, progress, track
from offload.exceptions import (
    InvalidArguments,
    InvalidJobState,
    JobCancelled,
    JobTimeout,
    OffloadError,
    Retry,
    Snooze,
    TaskResultExpired,
    UserFacingError,
    WorkerLost,
)
from offload.lifecycle import JobState
from offload.ownership import acting_for
from offload.policies import Exponential, Fixed
from offload.progress import Progress
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
    "JobCancelled",
    "JobState",
    "JobTimeout",
    "OffloadError",
    "OffloadTask",
    "Progress",
    "Retry",
    "Snooze",
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


_LATE = {
    "accepted": "offload.live.accepted",
    "aaccepted": "offload.live.accepted",
    "idempotent": "offload.live.idempotency",
}
"""What needs Django's apps to be loaded, and so is imported on first use."""


def __getattr__(name: str) -> Any:
    """Import on first use."""
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
