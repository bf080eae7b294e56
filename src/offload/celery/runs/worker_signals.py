"""Sends signals about processes of workers, and about jobs that ended without running."""

from __future__ import annotations

import sys
from typing import Any

from django.tasks.signals import task_finished

from offload.celery import signals
from offload.celery.encoding.errors import engine_failure, path_of
from offload.celery.runs.execution import ExceptionInfo
from offload.celery.runs.job_function import task_of_job
from offload.celery.tasks.request import Context
from offload.context import running_job
from offload.lifecycle import JobState


def announce_process(is_first: bool) -> None:
    """Send the signals at the start of a process that runs jobs.

    Args:
        is_first: whether it is the first one of its worker.
    """
    # Receivers of `task_finished` cost every job something, so it has one only if it is needed.
    if signals.task_failure.receivers or signals.task_revoked.receivers:
        task_finished.connect(announce_end, dispatch_uid="offload.celery")
    signals.worker_process_init.send(None)
    if is_first:
        signals.worker_ready.send(None)


def announce_end(task_result: Any, **_: Any) -> None:
    """Send `task_failure` or `task_revoked` for a job that did not run, so its task sends none.

    It was revoked or has expired while it waited, or its process died or was killed.
    """
    task = task_of_job(task_result.task)
    running = running_job()
    reporter = None if running is None else running.reporter
    if task is None or (reporter is not None and (reporter.note or {}).get("told")):
        return
    request = Context(id=task_result.id, task=task.name, called_directly=False)
    if task_result.state in {JobState.CANCELLED, JobState.EXPIRED}:
        is_expired = task_result.state == JobState.EXPIRED
        signals.task_revoked.send(
            task, request=request, terminated=not is_expired, signum=None, expired=is_expired
        )
    elif task_result.state == JobState.FAILED:
        raised = sys.exception() or Exception()
        error = engine_failure(path_of(raised), str(raised), task.name) or raised
        signals.task_failure.send(
            task,
            task_id=task_result.id,
            exception=error,
            args=task_result.args,
            kwargs=task_result.kwargs,
            traceback=raised.__traceback__,
            einfo=ExceptionInfo(raised),
        )
