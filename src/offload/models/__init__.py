"""The tables. Only `offload.store` writes to them."""

from offload.models.attempt import Attempt
from offload.models.celery_group import CeleryGroup, CeleryPart
from offload.models.job import Job
from offload.models.limit import Limit, LimitKey, LimitNotice
from offload.models.queue import Queue
from offload.models.schedule import Schedule
from offload.models.task_pause import TaskPause
from offload.models.unique_lock import UniqueLock
from offload.models.worker import Worker
from offload.models.workflow import Dependency, WorkflowNotice

__all__ = [
    "Attempt",
    "CeleryGroup",
    "CeleryPart",
    "Dependency",
    "Job",
    "Limit",
    "LimitKey",
    "LimitNotice",
    "Queue",
    "Schedule",
    "TaskPause",
    "UniqueLock",
    "Worker",
    "WorkflowNotice",
]
