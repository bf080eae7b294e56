"""Groups and chords of plain Celery tasks."""

from __future__ import annotations

from django.db import models

from offload.models.exact_text import ExactTextField
from offload.models.fields import TimestampField


class CeleryGroup(models.Model):
    """A group that Celery has saved, or the header of a chord whose parts are counted."""

    id = models.UUIDField(primary_key=True, editable=False)
    saved = ExactTextField(null=True, blank=True)
    """The group as Celery's `GroupResult.save()` encodes it; None for one that was not saved."""
    size = models.IntegerField(null=True, blank=True)
    """How many parts the header has; None until Celery says so, before it sends the last one."""
    done = models.IntegerField(default=0)
    """How many different parts have ended."""
    last_part = models.UUIDField(null=True, blank=True)
    """The part that ended last, whose process calls the body of the chord."""
    changed_at = TimestampField()

    class Meta:
        indexes = (models.Index(fields=["changed_at"], name="offload_celerygroup_changed"),)

    def __str__(self) -> str:
        return str(self.id)


class CeleryPart(models.Model):
    """A part of a chord that has ended, kept until the body of the chord is called."""

    pk = models.CompositePrimaryKey("chord", "task")
    chord = models.UUIDField()
    """The group that is its header."""
    task = models.UUIDField()
    position = models.IntegerField()
    """Its place in the header."""
    outcome = ExactTextField()
    """Its id, state and value, as Celery encodes them."""

    def __str__(self) -> str:
        return f"{self.task} of {self.chord}"
