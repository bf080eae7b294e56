"""Workers."""

from __future__ import annotations

from django.db import models

from offload.models.exact_text import ExactCharField, ExactTextField
from offload.models.fields import TimestampField


class Worker(models.Model):
    """A worker that is running, or that died and has not been removed yet.

    The row is the worker's lease on all jobs that it holds. The worker deletes it when it stops;
    other workers delete it when they find the worker dead.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    backend = ExactCharField(max_length=64)
    hostname = ExactCharField(max_length=255)
    pid = models.IntegerField()
    queues = ExactTextField(blank=True)
    """Names of the queues it serves, separated by commas; empty for all. A comma at the start
    precedes the names of the queues that it does not serve."""
    processes = models.IntegerField()
    threads = models.IntegerField()
    """0, as `processes`, for a worker that has only duties."""
    held_up_jobs = ExactTextField(default="", blank=True)
    """Ids, separated by commas, of its running jobs in processes that do not respond."""
    high_load = models.FloatField(null=True, blank=True)
    """The load of its machine, if the worker claims no jobs because of it."""
    started_at = TimestampField()
    heartbeat_at = TimestampField()
    expires_at = TimestampField()

    class Meta:
        indexes = (models.Index(fields=["expires_at"], name="offload_worker_expires"),)

    def __str__(self) -> str:
        return f"{self.hostname}:{self.pid}"
