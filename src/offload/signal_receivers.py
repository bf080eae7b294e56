"""The receivers of Django's task signals: whether a signal has any that need it.

Django sends three signals for each job. Usually Django's own receivers are the only ones, and no
handler outputs the lines that they log. Then neither the signal nor the job's result is needed,
which saves 18 to 50 microseconds per job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ReferenceType

from django.tasks.signals import log_task_enqueued, log_task_finished, log_task_started

from offload.task_log import is_logged

if TYPE_CHECKING:
    from django.dispatch import Signal

_DJANGO_RECEIVERS = (log_task_enqueued, log_task_started, log_task_finished)
"""Django's own receivers, each of which logs a line."""


def has_no_receivers(signal: Signal, level: int) -> bool:
    """Return whether a signal has only Django's receiver, whose line at `level` is dropped."""
    return has_only_django_receivers(signal) and not is_logged(level)


def has_only_django_receivers(signal: Signal) -> bool:
    """Return whether a signal has no other receivers than Django's own."""
    for entry in signal.receivers:  # no generator: this runs several times for each job
        receiver = entry[1]  # or a weak reference to it
        if isinstance(receiver, ReferenceType):
            receiver = receiver()
        if receiver not in _DJANGO_RECEIVERS:
            return False
    return True
