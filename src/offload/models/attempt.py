"""Failed attempts at jobs."""

from __future__ import annotations

from django.db import models

from offload.models.exact_text import ExactCharField, ExactTextField
from offload.models.fields import TimestampField


class Attempt(models.Model):
    """An attempt at a job that did not succeed, kept to be shown."""

    job_id = models.UUIDField()
    """Not a foreign key, whose share locks on the job's row would deadlock with the worker."""
    fence = models.IntegerField()
    """The job's `fence` during this attempt; unique within the job."""
    number = models.IntegerField()
    worker = models.UUIDField()
    started_at = TimestampField()
    finished_at = TimestampField()
    exception_class_path = ExactCharField(max_length=255)
    message = ExactTextField(blank=True)
    traceback = ExactTextField(blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["job_id", "fence"], name="offload_attempt_once"),
        )

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id}"
