"""Background tasks for Django that the person at the browser can see."""

from offload.context import CurrentJob, current_job, is_cancelled, progress, track
from offload.exceptions import (
    InvalidArguments,
    JobCancelled,
    OffloadError,
    Retry,
    Snooze,
    TaskResultExpired,
    TaskTimeout,
    WorkerLost,
    WrongState,
)
from offload.gauge import Progress
from offload.lifecycle import JobState
from offload.policies import Exponential, Fixed
from offload.tasks import OffloadTask, task

__version__ = "0.1.0"

__all__ = [
    "CurrentJob",
    "Exponential",
    "Fixed",
    "InvalidArguments",
    "JobCancelled",
    "JobState",
    "OffloadError",
    "OffloadTask",
    "Progress",
    "Retry",
    "Snooze",
    "TaskResultExpired",
    "TaskTimeout",
    "WorkerLost",
    "WrongState",
    "current_job",
    "is_cancelled",
    "progress",
    "task",
    "track",
]
