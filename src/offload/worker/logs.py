"""What a worker's terminal shows: Django's line for each job's start and end."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from django.conf import settings


def show_job_lines() -> None:
    """Print the lines of Django's and our task loggers, unless the project logs them itself.

    With Django's default logging they reach the terminal only if DEBUG is on.
    """
    configured = settings.LOGGING.get("loggers", {}) if settings.LOGGING else {}
    for name in ("django.tasks", "offload"):
        logger = logging.getLogger(name)
        shown_from = _shown_from(logger)
        if name in configured or (shown_from <= logging.INFO and logger.isEnabledFor(logging.INFO)):
            continue
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handler.addFilter(_below(shown_from))
        logger.addHandler(handler)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)


def _below(level: float) -> Callable[[logging.LogRecord], bool]:
    return lambda record: record.levelno < level


def _shown_from(logger: logging.Logger) -> float:
    """Return the level from which the logger's records reach some stream already."""
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, "", (), None)
    levels = [math.inf]
    current: logging.Logger | None = logger
    while current is not None:
        levels += [
            handler.level
            for handler in current.handlers
            if isinstance(handler, logging.StreamHandler) and handler.filter(record)
        ]
        current = current.parent if current.propagate else None
    return min(levels)
