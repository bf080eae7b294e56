"""The output of `offload_jobs`: a table of jobs, the details of one job, and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from offload.lifecycle import JobState
from offload.live.documents import job_fields
from offload.text import to_terminal_lines, to_terminal_text
from offload.timestamps import to_iso

if TYPE_CHECKING:
    from uuid import UUID

    from offload.models import Attempt, Job, Worker
    from offload.store.limit_lines import LimitUse

TIME_FIELDS = (
    "enqueued_at",
    "run_after",
    "started_at",
    "last_attempted_at",
    "finished_at",
    "expires_at",
)
TABLE_HEADER = ("ID", "STATE", "QUEUE", "ATTEMPTS", "SINCE", "TASK")
WORKFLOW_LABELS = ("name", "part of workflow", "waits for", "parts")
"""Labels of the details that `workflow_details` returns."""
SHORT_ID_DIGITS = 8
"""The last digits of an id are random; the first ones are the time."""
LABEL_WIDTH = 20
"""Characters of the left column of the details."""


def format_table(jobs: Sequence[Job]) -> str:
    """Return one line per job, below a header."""
    return format_rows([TABLE_HEADER, *map(_table_row, jobs)])


def format_rows(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows of texts as lines with aligned columns."""
    rows = [tuple(map(to_terminal_text, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def format_details(
    job: Job,
    attempts: Sequence[Attempt],
    workers: Mapping[UUID, Worker],
    uses: Sequence[LimitUse] = (),
    others: dict[str, str] | None = None,
) -> str:
    """Return the details of a job and its failed attempts, one per line.

    Args:
        job: the job.
        attempts: its failed attempts.
        workers: those of its workers that are still registered.
        uses: how far its limit is used up, as `limit_uses` returns it.
        others: other details by label, such as those that `workflow_details` returns, or the pause
            of its queue.
    """
    details = _details(job, workers) | {"limit": _format_limit(job, uses)} | (others or {})
    lines = [format_line(label, value) for label, value in details.items() if value]
    for attempt in attempts:
        lines += _attempt_lines(attempt, workers)
    return "\n".join(lines)


def format_json(document: object) -> str:
    """Return JSON in ASCII, without control characters other than line breaks."""
    return json.dumps(document, indent=2).replace("\x7f", "\\u007f")


def operator_document(job: Job) -> dict[str, Any]:
    """Return a job as JSON values: those of the status document, and more for operators."""
    args, kwargs = _arguments(job)
    return {
        **job_fields(job),
        "args": args,
        "kwargs": kwargs,
        "return_value": None if job.return_value is None else json.loads(job.return_value),
        "backend": job.backend,
        "priority": job.priority,
        "timeout": job.timeout,
        "limit_key": job.limit_key,
        "workflow": str(job.workflow) if job.workflow else None,
        "waiting_on": job.waiting_on,
        "awaited": job.awaited,
        "unique_key": job.unique_key,
        "worker": str(job.worker) if job.worker else None,
        "worker_losses": job.worker_losses,
        "last_attempted_at": to_iso(job.last_attempted_at),
        "cancel_requested_at": to_iso(job.cancel_requested_at),
        "owner": job.owner,
        "tenant": job.tenant,
        "request_id": job.request_id,
        "parent": str(job.parent) if job.parent else None,
        "schedule": job.schedule,
        "scheduled_for": to_iso(job.scheduled_for),
    }


def attempt_document(attempt: Attempt) -> dict[str, Any]:
    """Return a failed attempt as JSON values."""
    return {
        "number": attempt.number,
        "worker": str(attempt.worker),
        "started_at": to_iso(attempt.started_at),
        "finished_at": to_iso(attempt.finished_at),
        "exception": attempt.exception_class_path,
        "message": attempt.message,
        "traceback": attempt.traceback,
    }


def _table_row(job: Job) -> tuple[str, ...]:
    return (
        job.pk.hex[-SHORT_ID_DIGITS:],
        JobState(job.state).label,
        job.queue_name,
        f"{job.attempt}/{job.attempts_allowed}",
        format_time(_state_since(job)) or "",
        job.task_path,
    )


def _state_since(job: Job) -> datetime | None:
    match JobState(job.state):
        case JobState.SCHEDULED | JobState.READY | JobState.LIMITED | JobState.BLOCKED:
            return job.run_after
        case JobState.RUNNING:
            return job.last_attempted_at
        case _:
            return job.finished_at


def _details(job: Job, workers: Mapping[UUID, Worker]) -> dict[str, Any]:
    """Return the details of a job by label; those without a value are falsy."""
    args, kwargs = _arguments(job)
    timeout = "" if job.timeout is None else f"{job.timeout:g} s"
    return {
        "id": job.pk,
        "task": job.task_path,
        "state": _format_state(job),
        **dict.fromkeys(WORKFLOW_LABELS),  # their place
        "queue": f"{job.queue_name} (backend {job.backend!r}, priority {job.priority})",
        "paused": None,  # its place
        "args": json.dumps(args, ensure_ascii=False),
        "kwargs": json.dumps(kwargs, ensure_ascii=False),
        "attempts": _format_attempts(job),
        "timeout": timeout,
        "limit": None,  # its place
        "unique key": _format_unique_key(job),
        **{name: format_time(getattr(job, name)) for name in TIME_FIELDS},
        "return value": job.return_value,
        "worker": _format_worker(job.worker, workers),
        "held up": _format_held_up(job, workers),
        "owner": job.owner,
        "tenant": job.tenant,
        "request id": job.request_id,
        "enqueued by job": job.parent,
        "schedule": job.schedule,
        "scheduled for": format_time(job.scheduled_for),
    }


def _attempt_lines(attempt: Attempt, workers: Mapping[UUID, Worker]) -> list[str]:
    started_at, finished_at = format_time(attempt.started_at), format_time(attempt.finished_at)
    return [
        "",
        f"Attempt {attempt.number} did not succeed ({started_at} to {finished_at})",
        format_line("worker", _format_worker(attempt.worker, workers)),
        format_line("exception", f"{attempt.exception_class_path}: {attempt.message}"),
        to_terminal_lines(attempt.traceback.rstrip()),
    ]


def format_line(label: str, value: object) -> str:
    """Return a line of the details: a label, and its value."""
    label = f"{label}:" if label else ""
    return f"{label:{LABEL_WIDTH}}{to_terminal_text(value)}"


def _format_state(job: Job) -> str:
    state = JobState(job.state)
    if state == JobState.RUNNING and job.cancel_requested_at is not None:
        return f"{state.label}, cancel requested at {format_time(job.cancel_requested_at)}"
    return state.label


def _format_limit(job: Job, uses: Sequence[LimitUse]) -> str | None:
    """Return the limit of a job, its key, and how far both are used up."""
    if job.limit_key is None:
        return None
    name, _, key = job.limit_key.partition(":")
    parts = [f"{name}, key {key!r}" if key else name]
    for use, of_all in zip(uses, ("", " of all keys"), strict=False):
        if use.max_running is not None:
            parts.append(f"{use.running} of {use.max_running} running{of_all}")
        if use.next_start_at is not None:
            parts.append(f"next start{of_all} at {format_time(use.next_start_at)}")
    return "; ".join(parts)


def _format_unique_key(job: Job) -> str | None:
    """Return the key that the job holds, and until when."""
    if job.unique_key is None:
        return None
    states = {JobState.RUNNING: "it is started", JobState.SUCCESSFUL: "it has finished"}
    ends = []
    if job.unique_until is not None and job.state < job.unique_until:
        ends.append(states[JobState(job.unique_until)])
    if job.unique_within is not None:
        ends.append(str(format_time(job.unique_within)))
    return f"{job.unique_key} until {', and '.join(ends)}"


def _format_attempts(job: Job) -> str:
    text = f"{job.attempt} of {job.attempts_allowed}"
    if job.worker_losses:
        text += f", {job.worker_losses} lost with a worker"
    return text


def _format_held_up(job: Job, workers: Mapping[UUID, Worker]) -> str | None:
    """Say if the job's process does not respond; the job may have ended in the meantime."""
    worker = workers.get(job.worker) if job.worker else None
    if job.state != JobState.RUNNING or worker is None:
        return None
    if str(job.pk) not in worker.held_up_jobs.split(","):
        return None
    return "its child process does not respond: this job, or one beside it, holds the interpreter"


def _format_worker(worker_id: UUID | None, workers: Mapping[UUID, Worker]) -> str | None:
    if worker_id is None:
        return None
    worker = workers.get(worker_id)
    return f"{worker_id} ({worker or 'no longer running'})"


def format_time(time: datetime | None) -> str | None:
    """Return a time in the current time zone, and the name of the zone."""
    if time is None:
        return None
    if timezone.is_naive(time):
        time = timezone.make_aware(time)
    return f"{timezone.localtime(time):%Y-%m-%d %H:%M:%S %Z}"


def _arguments(job: Job) -> tuple[Any, Any]:
    """Return args and kwargs; if the column is not valid JSON, its text and None."""
    try:
        args, kwargs = json.loads(job.arguments)
    except ValueError:
        return job.arguments, None
    return args, kwargs
