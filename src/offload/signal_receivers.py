"""Whether anybody hears Django's signals about tasks.

Three times in a job's life a signal is sent, and mostly Django's own receiver is the only one,
whose line no logger takes: then the result that it would get need not be made.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType

from django.conf import settings
from django.tasks.signals import (
    log_task_enqueued,
    log_task_finished,
    log_task_started,
    logger,
)
from django.utils.log import RequireDebugTrue

if TYPE_CHECKING:
    from django.dispatch import Signal

_DJANGOS = (log_task_enqueued, log_task_started, log_task_finished)
"""Django's own receivers: each writes a log line."""


def has_no_receivers(signal: Signal, level: int) -> bool:
    """Tell whether only Django's receiver listens, and nobody takes what it logs at `level`."""
    return has_only_django_receivers(signal) and not _is_taken(level)


def has_only_django_receivers(signal: Signal) -> bool:
    """Tell whether Django's own receivers are the only ones."""
    return all(_receiver(entry) in _DJANGOS for entry in signal.receivers)


def _is_taken(level: int) -> bool:
    """Tell whether a line of Django's reaches a handler, however `logging` is configured.

    With Django's own configuration it does not: outside of DEBUG each line is made, and dropped
    by the filter of the only handler that would take it.
    """
    if not logger.isEnabledFor(level):
        return False
    handlers = list(effective_handlers(logger))
    if not handlers and logging.lastResort is not None:
        handlers.append(logging.lastResort)
    return bool(logger.filters) or any(
        level >= handler.level and not _is_for_debug(handler) for handler in handlers
    )


def effective_handlers(logger: logging.Logger) -> Iterator[logging.Handler]:
    """Yield the handlers that the logger's records are passed to."""
    current: logging.Logger | None = logger
    while current is not None:
        yield from current.handlers
        current = current.parent if current.propagate else None


def _is_for_debug(handler: logging.Handler) -> bool:
    """Tell whether a handler takes lines only in DEBUG, which is off."""
    return not settings.DEBUG and any(isinstance(f, RequireDebugTrue) for f in handler.filters)


def _receiver(entry: tuple[Any, ...]) -> Any:
    """Return the receiver of an entry: (its key, itself or a weak reference to it, ...)."""
    receiver = entry[1]
    return receiver() if isinstance(receiver, ReferenceType) else receiver
