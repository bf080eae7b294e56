"""Schedules."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from offload.models.exact_text import ExactCharField, ExactTextField
from offload.models.fields import TimestampField
from offload.models.indexes import PartialIndex


class Schedule(models.Model):
    """When a task is enqueued again and again, and with which arguments.

    The row decides: no process keeps a copy. Only `offload.store` writes to this table.
    """

    name = ExactCharField(max_length=100, primary_key=True)
    source = ExactCharField(max_length=8)
    """Where it is defined: "code", "settings" or "admin"."""
    digest = ExactCharField(max_length=64, default="", blank=True)
    """The hash of its definition in the code or the settings."""
    loaded_at = models.BigIntegerField(default=0)
    """When the process that wrote this definition had loaded its code, in microseconds. Code that
    was loaded later replaces the definition."""
    backend = ExactCharField(max_length=64)
    task_path = ExactCharField(max_length=255)
    arguments = ExactTextField()
    """JSON text: [args, kwargs]."""
    priority = models.SmallIntegerField(null=True, blank=True)
    """Instead of the task's."""
    queue_name = ExactCharField(max_length=64, default="", blank=True)
    """Instead of the task's; empty for that."""
    job = ExactTextField()
    """JSON text: a `JobTemplate`, made where the task is loaded. A tick needs no code."""
    cron = ExactCharField(max_length=200, default="", blank=True)
    """An expression; empty for an interval."""
    every = models.BigIntegerField(null=True, blank=True)
    """The interval in microseconds."""
    timezone = ExactCharField(max_length=64)
    start_at = TimestampField(null=True, blank=True)
    end_at = TimestampField(null=True, blank=True)
    jitter = models.FloatField(default=0.0)
    """Seconds by which a tick is delayed at most."""
    catch_up = ExactCharField(max_length=8)
    deadline = models.FloatField(null=True, blank=True)
    """Seconds after which a tick is dropped."""
    overlap = ExactCharField(max_length=8)
    next_tick_at = TimestampField(null=True, blank=True)
    next_run_at = TimestampField(null=True, blank=True)
    """When workers look at the schedule: the next tick and its delay, or the end of a pause. None
    if it is paused, retired or broken, or has ended."""
    held_since = TimestampField(null=True, blank=True)
    """Since when the next tick has been due, while the queue of its job is full."""
    last_tick_at = TimestampField(null=True, blank=True)
    """The last tick that was due, whether it became a job or not."""
    last_job = models.UUIDField(null=True, blank=True)
    """The job of the last tick that became one."""
    paused_at = TimestampField(null=True, blank=True)
    paused_until = TimestampField(null=True, blank=True)
    reason = ExactTextField(default="", blank=True)
    """Why it is paused."""
    changed_by = ExactCharField(max_length=150, default="", blank=True)
    """Who paused it."""
    retired_at = TimestampField(null=True, blank=True)
    """When the code or the settings did not have it any more."""
    error = ExactTextField(default="", blank=True)
    """Why it cannot tick."""
    skipped = models.IntegerField(default=0)
    """Ticks that became no job."""
    skipped_at = TimestampField(null=True, blank=True)
    """The last of these ticks."""
    skipped_why = ExactCharField(max_length=8, default="", blank=True)
    """"overlap", "deadline", "catch_up", "full" or "unique"."""

    class Meta:
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")
        indexes = (
            PartialIndex(
                name="offload_schedule_next",
                fields=["next_run_at"],
                where=Q(next_run_at__isnull=False),
                instead=["next_run_at"],
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(cron="", every__gt=0) | (~Q(cron="") & Q(every=None)),
                name="offload_schedule_when",
            ),
        )

    def __str__(self) -> str:
        return str(self.name)
