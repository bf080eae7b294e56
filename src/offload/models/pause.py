"""The columns of a pause."""

from __future__ import annotations

from django.db import models

from offload.models.exact_text import ExactCharField, ExactTextField
from offload.models.fields import TimestampField


class Pausable(models.Model):
    """What an operator can pause: a queue, or a task."""

    paused_at = TimestampField(null=True, blank=True)
    """None for what is not paused."""
    paused_until = TimestampField(null=True, blank=True)
    """The end of the pause, which nobody has to write; None if somebody must resume it."""
    pause_reason = ExactTextField(default="", blank=True)
    is_reason_public = models.BooleanField(default=False)
    """Whether the pages of waiting jobs show the reason."""
    pause_changed_by = ExactCharField(max_length=150, default="", blank=True)
    """The operator who paused it."""

    class Meta:
        abstract = True
