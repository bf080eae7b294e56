"""What people are told of a job: the status document.

Of arguments, exceptions, tracebacks, workers and queues it says nothing.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext

from offload.exceptions import UserFacingError
from offload.imported import find_imported_class
from offload.lifecycle import JobState
from offload.live.task_options import job_title, result_exposure
from offload.progress import Progress
from offload.serialization import decode
from offload.text import to_single_line
from offload.timestamps import now_microseconds, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Collection

    from offload.live.queue_position import QueuePosition
    from offload.models import Attempt, Job

MAX_INLINE_RESULT_CHARS = 16 * 1024
"""Characters of JSON that a result in the document may have; a larger one has its own URL."""
LONGEST_TEXT = 500
"""Characters of a message that people are shown."""
_PACES = ((5, 500), (10, 1000), (60, 2000), (600, 5000), (3600, 15_000), (math.inf, 30_000))
"""Until which age of a phase, in seconds, a client asks again after how many milliseconds."""
_MOST_SCHEDULED = 60_000
_SECOND = 1_000_000


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
        grants: what the reader may do with it, as `offload.live.access` says.
        failure: why it failed, if it did.
        queue_position: what is known of a job that has not begun for long.
    """
    state = JobState(job.state)
    now_in = phase(job)
    told = Progress.from_json(job.progress)
    return {
        "id": str(job.pk),
        "status": state.status.value,
        "phase": now_in,
        "is_finished": state.is_finished,
        "version": job.version,
        "title": job_title(job),
        "progress": _shown(told),
        "attempt": {
            "number": job.attempt,
            "max": job.max_attempts,
            "next_at": _iso(job.run_after) if now_in == "retrying" else None,
        },
        "enqueued_at": _iso(job.enqueued_at),
        "started_at": _iso(job.started_at),
        "finished_at": _iso(job.finished_at),
        "run_after": _iso(job.run_after) if state == JobState.SCHEDULED else None,
        "expires_at": _iso(job.expires_at),
        "estimate": _estimate(job, told, queue_position),
        "result": _inline_result(job, grants),
        "error": _error(job, now_in, failure),
        "poll_ms": poll_delay_ms(job),
        "links": links(job, grants),
    }


def phase(job: Job) -> str:
    """Return the word for where a job stands, for people; finer than its state."""
    tried = job.attempt > 0 or job.worker_losses > 0
    match JobState(job.state):
        case JobState.SCHEDULED:
            return "retrying" if tried else "scheduled"
        case JobState.READY:
            return "retrying" if tried else "queued"
        case JobState.RUNNING:
            return "cancelling" if job.cancel_requested_at else "running"
        case JobState.SUCCESSFUL:
            return "succeeded"
        case JobState.FAILED:
            return "lost" if job.worker_losses > job.max_worker_losses else "failed"
        case state:
            return str(state.label)


def poll_delay_ms(job: Job) -> int | None:
    """Return after how many milliseconds a client that polls should ask again; None if never."""
    now = now_microseconds()
    match JobState(job.state):
        case JobState.SCHEDULED:
            left = (_microseconds(job.run_after) - now) // 1000
            return max(1000, min(left, _MOST_SCHEDULED))
        case JobState.RUNNING:
            since = job.cancel_requested_at or job.last_attempted_at
        case JobState.READY:
            since = job.run_after
        case _:
            return None
    age = (now - _microseconds(since)) / _SECOND
    return next(milliseconds for limit, milliseconds in _PACES if age < limit)


def retry_after(milliseconds: int) -> str:
    """Return a delay as the header Retry-After has it: whole seconds."""
    return str(math.ceil(milliseconds / 1000))


def etag(job: Job) -> str:
    """Return the tag of a job's document; it changes with its version."""
    return f'W/"{job.pk}.{job.version}"'


def links(job: Job, grants: Collection[str]) -> dict[str, str | None]:
    """Return where the job's document is, and what else the reader may ask for."""
    state = JobState(job.state)
    is_wanted = not state.is_finished and not job.cancel_requested_at
    has_result = "result" in grants and state == JobState.SUCCESSFUL
    events = _url("events")
    return {
        "self": _url("status", job),
        "events": events and f"{events}?ids={job.pk}",
        "cancel": _url("cancel", job) if is_wanted and "cancel" in grants else None,
        "result": _url("result", job) if has_result else None,
        "page": _url("page", job),
    }


def _url(name: str, job: Job | None = None) -> str | None:
    """Return one of our URLs; None if the project has not mounted `offload.urls`."""
    try:
        return reverse(f"offload:{name}", args=[job.pk] if job is not None else None)
    except NoReverseMatch:
        return None


def _shown(told: Progress | None) -> dict[str, Any] | None:
    """Return how far the job is, whatever somebody wrote into its row."""
    if told is None:
        return None
    done, total = _number(told.done), _number(told.total)
    return {
        "done": done,
        "total": total,
        "unit": None,
        "percent": _percent(done, total),
        "message": to_single_line(str(told.message), max_chars=LONGEST_TEXT),
        "step": told.step
        and {
            "number": _number(told.step.number),
            "of": _number(told.step.of),
            "name": to_single_line(str(told.step.name), max_chars=LONGEST_TEXT),
        },
        "updated_at": _iso(told.updated_at),
    }


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else None


def _percent(done: float | None, total: float | None) -> float | None:
    if done is None or not total or total < 0:
        return None
    return round(max(0.0, min(100.0, 100 * done / total)), 1)


def _estimate(
    job: Job, told: Progress | None, queue_position: QueuePosition | None
) -> dict[str, Any]:
    """Guess from the speed so far how long the rest takes, or tell why it has not begun."""
    remaining = None
    if job.state == JobState.RUNNING and told is not None:
        percent = _percent(_number(told.done), _number(told.total))
        took = to_microseconds(told.updated_at) - _microseconds(job.last_attempted_at)
        if percent and took >= 0:
            remaining = math.ceil(took / _SECOND * (100 / percent - 1))
    return {
        "remaining_seconds": remaining,
        "position": queue_position and queue_position.position,
        "delay": queue_position and queue_position.delay,
    }


def _inline_result(job: Job, grants: Collection[str]) -> Any:
    """Return what the task returned, if it is shown as it is and small."""
    if (
        "result" not in grants
        or job.state != JobState.SUCCESSFUL
        or result_exposure(job) is not True
    ):
        return None
    text = job.return_value
    if text is None or len(text) > MAX_INLINE_RESULT_CHARS:
        return None
    return decode(text)


def _error(job: Job, now_in: str, failure: Attempt | None) -> dict[str, Any] | None:
    """Return a problem object: what support needs to find the job, and nothing of its inside."""
    titles = {
        "failed": gettext("The task failed."),
        "lost": gettext("The task could not be completed."),
        "cancelled": gettext("The task was cancelled."),
        "expired": gettext("The task was not started in time."),
    }
    if now_in not in titles:
        return None
    told = ""
    if failure is not None and _is_for_users(failure):
        told = to_single_line(failure.message, max_chars=LONGEST_TEXT)
    return {
        "type": f"urn:offload:{now_in}",
        "title": told or titles[now_in],
        "detail": None,
        "reference": str(job.pk),
    }


def _is_for_users(failure: Attempt) -> bool:
    """Tell whether the task raised our UserFacingError, or a class made of it.

    Only modules are looked into that are imported already; `job_title` has imported the task's.
    """
    exception_class = find_imported_class(failure.exception_class_path)
    return exception_class is not None and issubclass(exception_class, UserFacingError)


def _microseconds(moment: datetime | None) -> int:
    return now_microseconds() if moment is None else to_microseconds(moment)


def _iso(moment: datetime | None) -> str | None:
    """Return a moment in UTC, to the millisecond, as JSON has it."""
    if moment is None:
        return None
    exact = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=to_microseconds(moment))
    return exact.isoformat(timespec="milliseconds").replace("+00:00", "Z")
