"""Queues that an operator has paused or limited."""

from __future__ import annotations

from django.db import models

from offload.models.exact_text import ExactCharField, ExactTextField
from offload.models.fields import TimestampField
from offload.models.pause import Pausable


class Queue(Pausable):
    """What an operator has decided about a queue. One without a row is not paused."""

    backend = ExactCharField(max_length=64)
    name = ExactCharField(max_length=64)
    limits = ExactTextField(default="", blank=True)
    """JSON text: the limits that an operator has set instead of those of the settings, by the names
    of `QueueLimits`; empty if none are."""
    limits_reason = ExactTextField(default="", blank=True)
    limits_changed_by = ExactCharField(max_length=150, default="", blank=True)
    """The operator who set them."""
    limits_changed_at = TimestampField(null=True, blank=True)
    free_at = models.BigIntegerField(default=0)
    """When the starts so far will have used up their share of the rate, in microseconds; as
    `LimitKey.free_at`."""

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("backend", "name"), name="offload_queue_once"),
        )

    def __str__(self) -> str:
        return str(self.name)
