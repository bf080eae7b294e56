"""Jobs."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from offload.lifecycle import JobState
from offload.models.exact_text import ExactCharField, ExactTextField
from offload.models.fields import TimestampField
from offload.models.indexes import PartialIndex
from offload.uuid7 import new_id

READY_ORDER = ["backend", "queue_name", "is_async", "-priority", "run_after", "id"]
"""The order in which ready jobs are claimed from each queue."""


class Job(models.Model):
    """One enqueued call of a task; kept after it has finished, until it is pruned.

    Only `offload.store` writes to this table.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    state = models.SmallIntegerField(choices=JobState)
    backend = ExactCharField(max_length=64)
    queue_name = ExactCharField(max_length=64)
    priority = models.SmallIntegerField()
    is_async = models.BooleanField()
    task_path = ExactCharField(max_length=255)
    arguments = ExactTextField()
    """JSON text: [args, kwargs]."""
    run_after = TimestampField()
    """The time from which the job may run; orders the jobs of one priority."""
    expires_at = TimestampField(null=True, blank=True)
    enqueued_at = TimestampField()
    started_at = TimestampField(null=True, blank=True)
    last_attempted_at = TimestampField(null=True, blank=True)
    finished_at = TimestampField(null=True, blank=True)
    timeout = models.FloatField(null=True, blank=True)
    """Seconds for which one attempt may run."""
    attempt = models.IntegerField(db_default=0, default=0)
    """Attempts that count towards `max_attempts`: not those lost, snoozed or released."""
    max_attempts = models.IntegerField()
    worker_losses = models.IntegerField(db_default=0, default=0)
    """How often the process that ran the job died."""
    max_worker_losses = models.IntegerField()
    fence = models.IntegerField(db_default=0, default=0)
    """Number of claims so far, never reset. Every write about a running job names it, so that a
    worker that has lost the job cannot change it (a fencing token)."""
    worker = models.UUIDField(null=True, blank=True)
    """The worker that holds the job, or held it last."""
    cancel_requested_at = TimestampField(null=True, blank=True)
    owner = ExactCharField(max_length=128, db_default="", default="", blank=True)
    """The user or the session whose request enqueued the job."""
    tenant = ExactCharField(max_length=64, db_default="", default="", blank=True)
    request_id = ExactCharField(max_length=64, db_default="", default="", blank=True)
    parent = models.UUIDField(null=True, blank=True)
    """The job that enqueued this one."""
    failure_depth = models.SmallIntegerField(db_default=0, default=0)
    """How many failures in a row led to this job: one more than its parent's if a signal receiver
    or a log handler enqueued it when the parent failed."""
    version = models.IntegerField(db_default=0, default=0)
    """Grows with every visible change."""
    progress = ExactTextField(null=True, blank=True)
    """JSON text: the progress of the running attempt."""
    return_value = ExactTextField(null=True, blank=True)
    """JSON text."""

    class Meta:
        constraints = (
            models.CheckConstraint(
                # A range, because SQLite builds a table of an IN's values for each statement.
                condition=Q(state__range=(min(JobState.values), max(JobState.values))),
                name="offload_job_state_known",
            ),
            models.CheckConstraint(
                condition=Q(state__lt=JobState.SUCCESSFUL, finished_at=None)
                | Q(state__gte=JobState.SUCCESSFUL, finished_at__isnull=False),
                name="offload_job_finished_at",
            ),
            models.CheckConstraint(
                condition=~Q(state=JobState.RUNNING) | Q(worker__isnull=False),
                name="offload_job_running_has_worker",
            ),
        )
        indexes = (
            PartialIndex(
                name="offload_job_ready",
                fields=READY_ORDER,
                where=Q(state=JobState.READY),
                instead=["-state", *READY_ORDER],
            ),
            PartialIndex(
                name="offload_job_scheduled",
                fields=["run_after"],
                where=Q(state=JobState.SCHEDULED),
                instead=["-state", "run_after"],
            ),
            PartialIndex(
                name="offload_job_running",
                fields=["worker"],
                where=Q(state=JobState.RUNNING),
                instead=["state", "worker"],
            ),
            PartialIndex(
                name="offload_job_finished",
                fields=["state", "finished_at"],
                where=Q(finished_at__isnull=False),
                instead=["state", "finished_at"],
            ),
        )

    def __str__(self) -> str:
        return f"{self.task_path} {self.id}"
