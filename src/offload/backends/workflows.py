"""Results of the jobs of a workflow that is being enqueued."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

from django.tasks.signals import task_enqueued

from offload.backends.calls import send_task_enqueued
from offload.backends.rows import job_of, result_from_row
from offload.lifecycle import JobState
from offload.signal_receivers import has_no_receivers

if TYPE_CHECKING:
    from offload.models import Job
    from offload.results import OffloadResult, WorkflowResult
    from offload.store.workflow_records import NewWorkflow


def announce_workflow(sender: type, workflow: NewWorkflow) -> WorkflowResult[Any]:
    """Send Django's `task_enqueued` for the jobs of a workflow; return the result of its own job.

    Args:
        sender: the class of the backend.
        workflow: the rows.
    """
    own = cast("WorkflowResult[Any]", _new_result(own_row(workflow)))
    if not has_no_receivers(task_enqueued, logging.DEBUG):
        parts = [_new_result(job_of(part.job)) for part in workflow.parts]
        send_task_enqueued(sender, [own, *parts])
    return own


def new_in_queues(workflow: NewWorkflow) -> Counter[str]:
    """Return how many jobs a workflow adds to each queue that a full queue refuses.

    As for other jobs, those that a running job enqueues are let in, and scheduled ones are not in
    the queue yet; neither are parts that wait for others.
    """
    if workflow.job.parent is not None:
        return Counter()
    blocked = {dependency.child for dependency in workflow.dependencies if dependency.slot >= 0}
    return Counter(
        part.job.queue_name
        for part in workflow.parts
        if part.job.id not in blocked and part.job.state != JobState.SCHEDULED
    )


def own_row(workflow: NewWorkflow) -> Job:
    """Return the row of a workflow's own job."""
    count = len(workflow.parts)
    job = workflow.job._replace(state=int(JobState.BLOCKED))
    return job_of(job, waiting_on=count, awaited=count)


def _new_result(job: Job) -> OffloadResult[Any]:
    result = result_from_row(job, [])
    object.__setattr__(result, "is_new", True)
    return result
