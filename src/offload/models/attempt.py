"""An attempt that did not succeed: what is kept of it for the people who look."""

from __future__ import annotations

from django.db import models

from offload.models.fields import TimestampField


class Attempt(models.Model):
    """No foreign key to the job: its share locks would deadlock on the hot path."""

    job_id = models.UUIDField()
    fence = models.IntegerField()
    """The job's `fence` during this attempt; unique within the job."""
    number = models.IntegerField()
    worker = models.UUIDField()
    started_at = TimestampField()
    finished_at = TimestampField()
    exception_class_path = models.CharField(max_length=255)
    message = models.TextField()
    traceback = models.TextField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["job_id", "fence"], name="offload_attempt_once"),
        )

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id}"
