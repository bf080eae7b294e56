"""Whether anybody hears Django's signals about tasks.

Three times in a job's life a signal is sent, and mostly Django's own receiver is the only one,
whose line no logger takes: then the result that it would get need not be made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ReferenceType

from django.tasks.signals import (
    log_task_enqueued,
    log_task_finished,
    log_task_started,
    logger,
)

if TYPE_CHECKING:
    from django.dispatch import Signal

_DJANGOS = (log_task_enqueued, log_task_started, log_task_finished)
"""Django's own receivers: each writes a log line."""


def is_unheard(signal: Signal, level: int) -> bool:
    """Tell whether only Django's receiver listens, and nobody wants what it logs at `level`."""
    return not logger.isEnabledFor(level) and has_only_djangos(signal)


def has_only_djangos(signal: Signal) -> bool:
    """Tell whether Django's own receivers are the only ones."""
    return all(_receiver(entry) in _DJANGOS for entry in signal.receivers)


def _receiver(entry: tuple[Any, ...]) -> Any:
    """Return the receiver of an entry: (its key, itself or a weak reference to it, ...)."""
    receiver = entry[1]
    return receiver() if isinstance(receiver, ReferenceType) else receiver
