"""Limits of tasks, and the keys among which each of them is divided."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from offload.models.exact_text import ExactCharField, ExactTextField
from offload.models.fields import TimestampField
from offload.models.indexes import PartialIndex
from offload.timestamps import FIRST_MOMENT
from offload.uuid7 import FIRST_ID


class Limit(models.Model):
    """How many jobs of one or several tasks may run at once, or start in a time.

    The numbers of the code are replaced by those that an operator has set, until these are reset.
    """

    name = ExactCharField(max_length=128, primary_key=True)
    definition = ExactTextField()
    """JSON text: the numbers of the code, as a `LimitNumbers`."""
    loaded_at = models.BigIntegerField(default=0)
    """When the process that has these numbers loaded its code, in microseconds: those of code that
    was loaded later replace them."""
    seen_at = models.BigIntegerField(default=0)
    """When some process last had the limit in its code, in microseconds, to within an hour."""
    override = ExactTextField(default="", blank=True)
    """JSON text: the numbers that an operator has set instead; empty if none are."""
    reason = ExactTextField(default="", blank=True)
    changed_by = ExactCharField(max_length=150, default="", blank=True)
    """The operator who set them."""
    changed_at = TimestampField(null=True, blank=True)

    def __str__(self) -> str:
        return str(self.name)


class LimitKey(models.Model):
    """A key of a limit whose jobs wait or run, or all keys of a limit together.

    Workers lock the row while they count and claim jobs of the key.
    """

    limit_key = ExactCharField(max_length=250, primary_key=True)
    """The limit's name, a colon and the key; the name alone for all keys together."""
    name = ExactCharField(max_length=128)
    """The name of the limit."""
    parent = ExactCharField(max_length=128, default="", blank=True)
    """The row for all keys together, if the limit has numbers for them; else empty."""
    backend = ExactCharField(max_length=64)
    queue_name = ExactCharField(max_length=64, default="", blank=True)
    """The queue of its jobs; empty for several."""
    is_async = models.BooleanField(null=True, blank=True)
    """Their kind; None for both."""
    max_running = models.IntegerField(null=True, blank=True)
    """This key's own number, instead of the limit's."""
    weight = models.SmallIntegerField(null=True, blank=True)
    """This key's own weight, instead of the limit's."""
    turn_left = models.SmallIntegerField(default=0)
    """How many more jobs it may start in the turn that it has begun; 0 before a turn."""
    free_at = models.BigIntegerField(default=0)
    """When the starts so far will have used up their share of the rate, in microseconds (GCRA:
    the theoretical arrival time)."""
    open_at = models.BigIntegerField(null=True, blank=True)
    """From when on jobs may start, in microseconds; also the order in which keys take turns. None
    while nothing waits, or nothing may start before another job finishes."""

    held_from = models.BigIntegerField(db_default=FIRST_MOMENT, default=FIRST_MOMENT)
    """No running job of the key has a smaller (`run_after`, `id`) than this and `held_from_id`;
    PostgreSQL counts them from here."""
    held_from_id = models.UUIDField(db_default=FIRST_ID, default=FIRST_ID)
    line_from = models.BigIntegerField(db_default=FIRST_MOMENT, default=FIRST_MOMENT)
    """No waiting job of the key has a smaller (`run_after`, `id`) than this and `line_from_id`;
    PostgreSQL looks for them from here."""
    line_from_id = models.UUIDField(db_default=FIRST_ID, default=FIRST_ID)

    class Meta:
        indexes = (
            PartialIndex(
                name="offload_limitkey_open",
                fields=["parent", "open_at"],
                where=Q(open_at__isnull=False),
                instead=["parent", "open_at"],
            ),
        )

    def __str__(self) -> str:
        return str(self.limit_key)


class LimitNotice(models.Model):
    """A message to workers: a key has a new job, or one of its jobs has finished.

    Enqueueing a job adds a row, and so does a task that finishes in a transaction of the project.
    Neither locks the row of the key. Workers delete the message.
    """

    limit_key = ExactCharField(max_length=250)
    details = ExactTextField(default="", blank=True)
    """JSON text: a `KeyDetails`; empty if the key's row exists."""

    def __str__(self) -> str:
        return str(self.limit_key)
