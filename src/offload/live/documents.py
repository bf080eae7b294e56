"""The status document: a job as JSON, for the people who use a site.

It contains no arguments, exceptions, tracebacks, workers or queues.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext

from offload.backends.rows import progress_of
from offload.exceptions import UserFacingError
from offload.imported import find_imported_class
from offload.lifecycle import WAITING, JobState
from offload.live.display_options import display_options
from offload.live.jobs import find_failures
from offload.live.queue_position import find_queue_positions
from offload.progress import Progress
from offload.serialization import decode_strictly
from offload.store.workflow_records import REFERENCE
from offload.text import to_single_line
from offload.timestamps import seconds_since, to_iso, to_utc

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from uuid import UUID

    from offload.live.queue_position import QueuePosition
    from offload.models import Attempt, Job
    from offload.progress import Step

MAX_INLINE_RESULT_CHARS = 16 * 1024
"""A result with more characters of JSON is left out; clients get it from its own URL."""
MAX_TEXT_CHARS = 500
"""Longer messages of tasks are cut."""
_POLL_DELAYS_MS = (
    (5, 500),
    (10, 1000),
    (60, 2000),
    (600, 5000),
    (3600, 15_000),
    (math.inf, 30_000),
)
"""Pairs of a maximum age of a phase in seconds, and the poll delay up to that age."""
_MIN_SCHEDULED_DELAY_MS = 1000
_MAX_SCHEDULED_DELAY_MS = 60_000

_PHASES = {
    JobState.LIMITED: "limited",
    JobState.BLOCKED: "blocked",
    JobState.SCHEDULED: "scheduled",
    JobState.READY: "queued",
    JobState.RUNNING: "running",
    JobState.SUCCESSFUL: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
    JobState.EXPIRED: "expired",
    JobState.SKIPPED: "skipped",
}


class JobDetails(NamedTuple):
    """What a status document shows beside the job's row.

    Attributes:
        failure: the attempt that made the job fail.
        queue_position: where the job is in the queue, if it has been waiting for long.
    """

    failure: Attempt | None
    queue_position: QueuePosition | None


def find_details(jobs: Collection[Job]) -> dict[UUID, JobDetails]:
    """Query the details of jobs; no query for jobs that have none."""
    failures = find_failures(jobs)
    positions = find_queue_positions(jobs)
    return {job.pk: JobDetails(failures.get(job.pk), positions.get(job.pk)) for job in jobs}


def job_document(job: Job, grants: Collection[str]) -> dict[str, Any]:
    """Return the status document of one job, with its details."""
    return job_documents({job.pk: (job, grants)})[job.pk]


def job_documents(
    visible: Mapping[UUID, tuple[Job, Collection[str]]],
) -> dict[UUID, dict[str, Any]]:
    """Return the status documents of jobs, with their details.

    Args:
        visible: jobs with their grants, as `offload.live.access.visible` returns them.
    """
    details = find_details([job for job, _ in visible.values()])
    return {
        pk: document(job, grants, **details[pk]._asdict()) for pk, (job, grants) in visible.items()
    }


def document(
    job: Job,
    grants: Collection[str],
    *,
    failure: Attempt | None = None,
    queue_position: QueuePosition | None = None,
) -> dict[str, Any]:
    """Return the status document of a job, for JSON.

    Args:
        job: its row.
        grants: what the reader may do with it, as `offload.live.access.grants` returns it.
        failure: the attempt that made the job fail.
        queue_position: where the job is in the queue, if it has been waiting for long.
    """
    options = display_options(job)
    progress = progress_of(job)
    state_fields = _state_fields(job, progress)
    return {
        "id": str(job.pk),
        "title": options.title,
        **state_fields,
        "run_after": to_iso(_starts_after(job, queue_position)),
        "estimate": _estimate(job, progress, queue_position),
        "result": _inline_result(job, grants, options.expose_result),
        "error": _error(job, state_fields["phase"], failure),
        "poll_ms": poll_delay_ms(job),
        "links": links(job, grants),
    }


def job_fields(job: Job) -> dict[str, Any]:
    """Return the part of a job's JSON for operators that the status document has, too.

    Only here are the task's path, the queue, and the `run_after` of a job that is no longer
    scheduled.
    """
    return {
        "id": str(job.pk),
        "title": display_options(job).title,
        "task": job.task_path,
        "queue_name": job.queue_name,
        **_state_fields(job, progress_of(job)),
        "run_after": to_iso(job.run_after),
    }


def _state_fields(job: Job, progress: Progress | None) -> dict[str, Any]:
    """Return the part that is the same for users and operators."""
    state = JobState(job.state)
    job_phase = phase(job)
    return {
        "state": state.label,
        "phase": job_phase,
        "status": state.status.value,
        "is_finished": state.is_finished,
        "version": job.version,
        "progress": _progress_fields(job, progress),
        "attempt": {
            "number": job.attempt,
            "max": job.attempts_allowed,
            "next_at": to_iso(job.run_after) if job_phase == "retrying" else None,
        },
        "enqueued_at": to_iso(job.enqueued_at),
        "started_at": to_iso(job.started_at),
        "finished_at": to_iso(job.finished_at),
        "expires_at": to_iso(job.expires_at),
    }


def phase(job: Job) -> str:
    """Return the phase of a job, which users see: it has more values than the state."""
    state = JobState(job.state)
    is_running = state == JobState.RUNNING or (state == JobState.BLOCKED and job.is_workflow)
    if is_running:
        return "cancelling" if job.cancel_requested_at else "running"
    is_waiting = state in WAITING and state != JobState.BLOCKED
    if is_waiting and (job.attempt > 0 or job.worker_losses > 0):
        return "retrying"
    if state == JobState.LIMITED and job.limit_key is None:  # parked: its task is paused
        state = JobState.READY
    if state == JobState.FAILED and job.worker_losses > job.max_worker_losses:
        return "lost"
    return _PHASES[state]


def poll_delay_ms(job: Job) -> int | None:
    """Return how long a client should wait before it polls again; None if the job has finished.

    The longer the job has been in its phase, the longer the delay.
    """
    match JobState(job.state):
        case JobState.SCHEDULED:
            seconds_until_due = -_age_seconds(job.run_after)
            delay_ms = int(seconds_until_due * 1000)
            return max(_MIN_SCHEDULED_DELAY_MS, min(delay_ms, _MAX_SCHEDULED_DELAY_MS))
        case JobState.RUNNING:
            age = _age_seconds(job.cancel_requested_at or job.last_attempted_at)
        case JobState.READY | JobState.LIMITED | JobState.BLOCKED:
            age = _age_seconds(job.run_after)
        case _:
            return None
    return next(delay_ms for max_age, delay_ms in _POLL_DELAYS_MS if age < max_age)


def links(job: Job, grants: Collection[str]) -> dict[str, str | None]:
    """Return the URLs of a job that the reader may request; None for the others."""
    state = JobState(job.state)
    events = _url("events") if "events" in grants else None
    is_cancellable = not state.is_finished and not job.cancel_requested_at
    may_cancel = is_cancellable and "cancel" in grants
    has_result = state == JobState.SUCCESSFUL and "result" in grants
    return {
        "self": _url("status", job),
        "events": f"{events}?ids={job.pk}" if events else None,
        "cancel": _url("cancel", job) if may_cancel else None,
        "result": _url("result", job) if has_result else None,
        "page": _url("page", job),
    }


def _url(name: str, job: Job | None = None) -> str | None:
    """Return a URL of `offload.urls`; None if the project does not include them."""
    try:
        return reverse(f"offload:{name}", args=[job.pk] if job is not None else None)
    except NoReverseMatch:
        return None


def _progress_fields(job: Job, progress: Progress | None) -> dict[str, Any] | None:
    if job.state == JobState.BLOCKED and not job.is_workflow:
        return _blocked_fields(job)
    if progress is None:
        return None
    message = to_single_line(progress.message, max_chars=MAX_TEXT_CHARS)
    return {
        "done": progress.done,
        "total": progress.total,
        "percent": _percent(progress),
        "message": _parts_message(job) if job.is_workflow else message,
        "step": _step_fields(progress.step),
        "updated_at": to_iso(progress.updated_at),
    }


def _blocked_fields(job: Job) -> dict[str, Any]:
    """Return the progress of those that a part of a workflow waits for; it has none itself."""
    total, left = job.awaited or 0, job.waiting_on or 0
    message = gettext("waits for one other")
    if total > 1:
        text = gettext("waits for %(left)s of %(total)s others")
        message = text % {"left": left, "total": total}
    return {
        "done": total - left,
        "total": total,
        "percent": None,
        "message": message,
        "step": None,
        "updated_at": None,
    }


def _parts_message(job: Job) -> str:
    total = job.awaited or 0
    text = gettext("%(done)s of %(total)s parts done")
    return text % {"done": total - (job.waiting_on or 0), "total": total}


def _step_fields(step: Step | None) -> dict[str, Any] | None:
    if step is None:
        return None
    name = to_single_line(step.name, max_chars=MAX_TEXT_CHARS)
    return {"number": step.number, "of": step.of, "name": name}


def _percent(progress: Progress) -> float | None:
    percent = progress.percent
    return None if percent is None else round(min(100.0, percent), 1)


def _estimate(
    job: Job, progress: Progress | None, queue_position: QueuePosition | None
) -> dict[str, Any]:
    """Return the remaining time of a running job, and the queue position of a waiting one."""
    reason = queue_position.reason if queue_position else ""
    return {
        "remaining_seconds": _remaining_seconds(job, progress),
        "position": queue_position.position if queue_position else None,
        "delay": queue_position.delay if queue_position else None,
        "reason": to_single_line(reason, max_chars=MAX_TEXT_CHARS) or None,
    }


def _starts_after(job: Job, queue_position: QueuePosition | None) -> datetime | None:
    """Return before which time a waiting job does not start: its own, or the end of a pause."""
    if queue_position is not None and queue_position.until is not None:
        return queue_position.until
    return job.run_after if job.state == JobState.SCHEDULED else None


def _remaining_seconds(job: Job, progress: Progress | None) -> int | None:
    """Extrapolate the progress of the running attempt."""
    if job.state != JobState.RUNNING or progress is None or job.last_attempted_at is None:
        return None
    percent = _percent(progress)
    elapsed = to_utc(progress.updated_at) - to_utc(job.last_attempted_at)
    seconds = elapsed.total_seconds()
    if not percent or seconds < 0:
        return None
    return math.ceil(seconds * (100 / percent - 1))


def _inline_result(job: Job, grants: Collection[str], expose_result: Any) -> Any:
    """Return the return value of the task; None if the document does not show it."""
    if "result" not in grants or expose_result is not True:
        return None
    text = job.return_value
    if job.state != JobState.SUCCESSFUL or text is None or len(text) > MAX_INLINE_RESULT_CHARS:
        return None
    if REFERENCE in text and job.workflow is not None:  # made of the results of other jobs
        return None
    try:
        return decode_strictly(text)
    except ValueError:
        return None


def _error(job: Job, job_phase: str, failure: Attempt | None) -> dict[str, Any] | None:
    """Return a problem object (RFC 9457) with a reference for the site's support."""
    titles = {
        "failed": gettext("The task failed."),
        "lost": gettext("The task could not be completed."),
        "cancelled": gettext("The task was cancelled."),
        "expired": gettext("The task was not started in time."),
    }
    if job_phase not in titles:
        return None
    message = ""
    if failure is not None and _is_for_users(failure):
        message = to_single_line(failure.message, max_chars=MAX_TEXT_CHARS)
    return {
        "type": f"urn:offload:{job_phase}",
        "title": message or titles[job_phase],
        "detail": None,
        "reference": str(job.pk),
    }


def _is_for_users(failure: Attempt) -> bool:
    """Return whether the task raised UserFacingError, or a subclass.

    Only imported modules are searched; `display_options` has imported the module of the task.
    """
    exception_class = find_imported_class(failure.exception_class_path)
    return exception_class is not None and issubclass(exception_class, UserFacingError)


def _age_seconds(moment: datetime | None) -> float:
    """Return the seconds since a moment; 0 for None."""
    return 0.0 if moment is None else seconds_since(moment)
