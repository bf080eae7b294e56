"""Tasks that an operator has paused."""

from __future__ import annotations

from django.db import models

from offload.models.exact_text import ExactCharField, ExactTextField
from offload.models.fields import TimestampField


class TaskPause(models.Model):
    """The pause of a task. The row stays when the pause is over, and the next pause uses it."""

    backend = ExactCharField(max_length=64)
    task_path = ExactCharField(max_length=255)
    paused_at = TimestampField(null=True, blank=True)
    """None for a task that is not paused."""
    paused_until = TimestampField(null=True, blank=True)
    """When the pause ends by itself; None if somebody must resume the task."""
    pause_reason = ExactTextField(default="", blank=True)
    is_reason_public = models.BooleanField(default=False)
    """Whether the pages of waiting jobs show the reason."""
    pause_changed_by = ExactCharField(max_length=150, default="", blank=True)
    """The operator who paused it."""

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("backend", "task_path"), name="offload_task_pause_once"
            ),
        )

    def __str__(self) -> str:
        return str(self.task_path)
