"""Workers."""

from __future__ import annotations

from django.db import models

from offload.models.fields import TimestampField


class Worker(models.Model):
    """A worker that is running, or whose lease has not been cleared yet.

    The row is its lease on all jobs that it holds. It is deleted when the worker stops, or when
    another worker finds that it is dead.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    backend = models.CharField(max_length=64)
    hostname = models.CharField(max_length=255)
    pid = models.IntegerField()
    queues = models.TextField()
    """Names of the queues it serves, separated by commas; empty for all."""
    processes = models.IntegerField()
    threads = models.IntegerField()
    started_at = TimestampField()
    heartbeat_at = TimestampField()
    expires_at = TimestampField()

    class Meta:
        indexes = (models.Index(fields=["expires_at"], name="offload_worker_expires"),)

    def __str__(self) -> str:
        return f"{self.hostname}:{self.pid}"
