"""What `offload_jobs show` says about a workflow, or a part of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.lifecycle import JobState
from offload.live.display_options import display_options
from offload.management.formatting import SHORT_ID_DIGITS

if TYPE_CHECKING:
    from offload.models import Job
    from offload.store.base import Store

MAX_NAMED_JOBS = 5
"""Jobs that the details name, of those that a job waits for."""


def workflow_details(store: Store, job: Job) -> dict[str, str]:
    """Return the details of a job that belong to its workflow, by `WORKFLOW_LABELS`.

    Args:
        store: where the job is stored.
        job: its row.
    """
    if job.is_workflow:
        counts = store.count_parts(job.pk)
        parts = ", ".join(f"{count:,} {state}" for state, count in sorted(counts.items()))
        return {"name": display_options(job).title, "parts": parts or "none"}
    if job.workflow is None:
        return {}
    details = {"part of workflow": str(job.workflow)}
    if job.state == JobState.BLOCKED:
        details["waits for"] = _describe_others(store, job)
    return details


def _describe_others(store: Store, job: Job) -> str:
    """Return how many others a job waits for, and the first of them."""
    others = store.waits_for(job.pk, MAX_NAMED_JOBS + 1)
    names = [
        f"{other.task_path.rpartition('.')[2]} {other.pk.hex[-SHORT_ID_DIGITS:]} "
        f"({JobState(other.state)})"
        for other in others[:MAX_NAMED_JOBS]
    ]
    if len(others) > MAX_NAMED_JOBS:
        names.append("...")
    return f"{job.waiting_on} of {job.awaited} others: {', '.join(names)}"
