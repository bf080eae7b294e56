"""The columns of jobs that users make ready, or run again."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, CharField, Value, When
from django.db.models.functions import Concat

from offload.lifecycle import JobState
from offload.store.limit_records import WAITS

_WAITING_SLOT = Concat(Value(WAITS), "limit_key", output_field=CharField())
WAITING_VALUES: dict[str, Any] = {
    "state": Case(When(limit_key=None, then=JobState.READY), default=JobState.LIMITED),
    "limit_slot": Case(When(limit_key__isnull=False, then=_WAITING_SLOT)),
}
"""Columns of a job that is made ready, or waits in the line of its limit's key."""

RETRY_VALUES = {
    "attempt": 0,
    "worker_losses": 0,
    "expires_at": None,
    "finished_at": None,
    "cancel_requested_at": None,
    "return_value": None,
    "progress": None,
}
"""Columns of a job that is retried on request, which starts as if it had never run."""
