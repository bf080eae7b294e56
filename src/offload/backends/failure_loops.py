"""The bound on jobs that report the failures of jobs.

When a job fails, signal receivers and log handlers may enqueue others: an email to the admins, a
message in a chat. If these fail, too, their failures are reported in the same way, and so on. Each
job therefore stores how many failures in a row led to it.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from typing import TYPE_CHECKING, Any

from offload.exceptions import FailureLoop
from offload.ownership import Cause, Ownership

if TYPE_CHECKING:
    from django.tasks import Task

MAX_DEPTH = 3
"""How many failures in a row may lead to a job: only one if the job that failed is of its task."""
MAX_FRAMES = 25
"""How many callers are searched for a log handler."""
_HANDLE = logging.Handler.handle.__code__
"""The code of the method that calls a handler with a record."""
_LISTENER_THREAD = "(_monitor)"
"""The end of the name of the thread in which a `QueueListener` calls its handlers."""
_JOB_IN_RECORD = re.compile(r"Task id=([0-9a-f-]{36}) ")
"""The beginning of each log line about a job, Django's and ours."""


def failure_depth(task: Task[..., Any], ownership: Ownership, database: str) -> int:
    """Return how many failures in a row lead to a job that is being enqueued.

    Args:
        task: its task.
        ownership: where it is enqueued.
        database: alias of the database that stores the jobs.

    Raises:
        FailureLoop: if they are too many.
    """
    cause = ownership.cause
    if cause is None and not threading.current_thread().name.endswith(_LISTENER_THREAD):
        return 0  # outside of jobs; the most frequent case
    record = _handled_record()
    if cause is None:
        ownership, cause = _find_job_in_record(record, ownership, database)
    if cause is None:
        return 0
    if record is None and cause.has_succeeded is not False:
        # A receiver continues after a success, or the task itself enqueues.
        return 0 if cause.has_succeeded else cause.failure_depth
    depth = cause.failure_depth + 1
    is_repeated = depth > 1 and cause.task_path == task.module_path
    if is_repeated or depth > MAX_DEPTH:
        raise FailureLoop(
            f"The job {ownership.parent} of {cause.task_path} was enqueued because another one had "
            f"failed. Its own failure is not reported by a job of {task.module_path}: such reports "
            "could follow each other without end."
        )
    return depth


def _handled_record() -> logging.LogRecord | None:
    """Return the record for which a log handler has called this code; None if none has."""
    frame = sys._getframe(2)  # noqa: SLF001  # inspect's functions read source files
    for _ in range(MAX_FRAMES):
        if frame.f_code is _HANDLE:
            record: logging.LogRecord = frame.f_locals["record"]
            return record
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


def _find_job_in_record(
    record: logging.LogRecord | None, ownership: Ownership, database: str
) -> tuple[Ownership, Cause | None]:
    """Return the job that a record is about, if another thread than the job's handles it."""
    from offload.models import Job  # noqa: PLC0415  # needs the app registry

    match = record and _JOB_IN_RECORD.match(record.getMessage())
    if not match:
        return ownership, None
    job = Job.objects.using(database).only("task_path", "failure_depth").filter(pk=match[1]).first()
    if job is None:
        return ownership, None
    cause = Cause(job.task_path, job.failure_depth, has_succeeded=False)
    return ownership._replace(parent=match[1]), cause
