"""How the commands show jobs: as a line, as a page, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from offload.lifecycle import JobState

if TYPE_CHECKING:
    from uuid import UUID

    from offload.models import Attempt, Job, Worker

TIMES = ("enqueued_at", "run_after", "started_at", "last_attempted_at", "finished_at", "expires_at")
COLUMNS = ("ID", "STATE", "QUEUE", "ATTEMPTS", "SINCE", "TASK")


def table_of(jobs: Sequence[Job]) -> str:
    """Return one line per job, under a line of titles."""
    rows = [COLUMNS, *map(_line_of, jobs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def document_of(job: Job) -> dict[str, Any]:
    """Return what is known of a job, as JSON values."""
    args, kwargs = _arguments(job)
    return {
        "id": str(job.pk),
        "state": JobState(job.state).label,
        "task": job.task_path,
        "args": args,
        "kwargs": kwargs,
        "backend": job.backend,
        "queue": job.queue_name,
        "priority": job.priority,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "worker_losses": job.worker_losses,
        "timeout": job.timeout,
        **{name: _iso(getattr(job, name)) for name in TIMES},
        "cancel_requested_at": _iso(job.cancel_requested_at),
        "return_value": None if job.return_value is None else json.loads(job.return_value),
        "worker": str(job.worker) if job.worker else None,
        "owner": job.owner,
        "tenant": job.tenant,
        "request_id": job.request_id,
        "parent": str(job.parent) if job.parent else None,
    }


def attempt_document(attempt: Attempt) -> dict[str, Any]:
    """Return what is known of a failed attempt, as JSON values."""
    return {
        "number": attempt.number,
        "worker": str(attempt.worker),
        "started_at": _iso(attempt.started_at),
        "finished_at": _iso(attempt.finished_at),
        "exception": attempt.exception_class_path,
        "message": attempt.message,
        "traceback": attempt.traceback,
    }


def page_of(job: Job, attempts: Sequence[Attempt], engines: Mapping[UUID, Worker]) -> str:
    """Return all that is known of a job, one thing a line."""
    args, kwargs = _arguments(job)
    facts = {
        "id": job.pk,
        "task": job.task_path,
        "state": _state_of(job),
        "queue": f"{job.queue_name} (backend {job.backend!r}, priority {job.priority})",
        "args": json.dumps(args, ensure_ascii=False),
        "kwargs": json.dumps(kwargs, ensure_ascii=False),
        "attempts": f"{job.attempt} of {job.max_attempts}"
        + (f", lost {job.worker_losses}" * (job.worker_losses > 0)),
        "timeout": f"{job.timeout:g} s" if job.timeout is not None else None,
        **{name: _shown(getattr(job, name)) for name in TIMES},
        "return value": job.return_value,
        "worker": _engine_of(job.worker, engines),
        "owner": job.owner or None,
        "tenant": job.tenant or None,
        "request id": job.request_id or None,
        "enqueued by job": job.parent,
    }
    lines = [f"{name + ':':20}{value}" for name, value in facts.items() if value is not None]
    for attempt in attempts:
        when = f"{_shown(attempt.started_at)} to {_shown(attempt.finished_at)}"
        lines += [
            "",
            f"Attempt {attempt.number} did not succeed ({when})",
            f"{'worker:':20}{_engine_of(attempt.worker, engines)}",
            f"{'exception:':20}{attempt.exception_class_path}: {attempt.message}",
            attempt.traceback.rstrip(),
        ]
    return "\n".join(lines)


def _line_of(job: Job) -> tuple[str, ...]:
    state = JobState(job.state)
    since = {
        JobState.SCHEDULED: job.run_after,
        JobState.READY: job.run_after,
        JobState.RUNNING: job.last_attempted_at,
    }.get(state, job.finished_at)
    tries = f"{job.attempt}/{job.max_attempts}"
    return (str(job.pk), state.label, job.queue_name, tries, _shown(since) or "", job.task_path)


def _state_of(job: Job) -> str:
    state = JobState(job.state)
    if state == JobState.RUNNING and job.cancel_requested_at is not None:
        return f"{state.label}, asked to stop at {_shown(job.cancel_requested_at)}"
    return state.label


def _engine_of(identifier: UUID | None, engines: Mapping[UUID, Worker]) -> str | None:
    if identifier is None:
        return None
    engine = engines.get(identifier)
    return f"{identifier} ({engine})" if engine else f"{identifier} (gone)"


def _arguments(job: Job) -> tuple[Any, Any]:
    """Return what the row holds, even if somebody wrote it by hand."""
    try:
        args, kwargs = json.loads(job.arguments)
    except ValueError:
        return job.arguments, None
    return args, kwargs


def _local(moment: datetime) -> datetime:
    return timezone.localtime(moment) if timezone.is_aware(moment) else moment


def _shown(moment: datetime | None) -> str | None:
    return None if moment is None else f"{_local(moment):%Y-%m-%d %H:%M:%S}"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else _local(moment).isoformat()
