"""A job: one enqueued call of a task. The row is kept after the job ended, until pruned."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from offload.lifecycle import JobState
from offload.models.fields import TimestampField
from offload.models.indexes import PartialIndex
from offload.uuid7 import new_id

READY_ORDER = ["backend", "queue_name", "is_async", "-priority", "run_after", "id"]


class Job(models.Model):
    """Only `offload.store` writes here. Reading is free for all."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    state = models.SmallIntegerField(choices=JobState)
    backend = models.CharField(max_length=64)
    queue_name = models.CharField(max_length=64)
    priority = models.SmallIntegerField()
    is_async = models.BooleanField()
    task_path = models.CharField(max_length=255)
    arguments = models.TextField()
    """JSON text: [args, kwargs]."""
    run_after = TimestampField()
    """The time from which it may run; orders jobs of one priority."""
    expires_at = TimestampField(null=True)
    enqueued_at = TimestampField()
    started_at = TimestampField(null=True)
    last_attempted_at = TimestampField(null=True)
    finished_at = TimestampField(null=True)
    timeout = models.FloatField(null=True)
    """Seconds one attempt may run."""
    attempt = models.IntegerField(db_default=0, default=0)
    """Attempts that count towards `max_attempts`: neither lost, snoozed nor handed back ones."""
    max_attempts = models.IntegerField()
    worker_losses = models.IntegerField(db_default=0, default=0)
    """How often the process that ran it died."""
    max_worker_losses = models.IntegerField()
    fence = models.IntegerField(db_default=0, default=0)
    """The fence: grows at every claim, never goes back. Writes about a running job name it."""
    worker = models.UUIDField(null=True)
    """The engine that holds it, or held it last."""
    cancel_requested_at = TimestampField(null=True)
    owner = models.CharField(max_length=128, db_default="", default="")
    """For whom it runs: the user, or the session, of the request that enqueued it."""
    tenant = models.CharField(max_length=64, db_default="", default="")
    request_id = models.CharField(max_length=64, db_default="", default="")
    parent = models.UUIDField(null=True)
    """The job that enqueued it."""
    version = models.IntegerField(db_default=0, default=0)
    """Grows with every change that people can see."""
    progress = models.TextField(null=True)  # noqa: DJ001  # NULL is "none yet"; no JSON is empty
    """JSON text: how far the running attempt is."""
    return_value = models.TextField(null=True)  # noqa: DJ001  # NULL is "none yet"; no JSON is empty
    """JSON text."""

    class Meta:
        constraints = (
            models.CheckConstraint(
                # A range: SQLite builds a table of the values of an IN for each statement.
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
