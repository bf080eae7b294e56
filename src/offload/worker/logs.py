"""Log output of a worker in a terminal: a line when each job starts and finishes."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from django.conf import settings

from offload.signal_receivers import effective_handlers


def show_job_lines() -> None:
    """Print the records of Django's and our task loggers, unless LOGGING handles them.

    Django's default logging configuration prints them only if DEBUG is on.
    """
    configured = settings.LOGGING.get("loggers", {}) if settings.LOGGING else {}
    for name in ("django.tasks", "offload"):
        logger = logging.getLogger(name)
        printed_level = _printed_level(logger)
        is_printed = printed_level <= logging.INFO and logger.isEnabledFor(logging.INFO)
        if name in configured or is_printed:
            continue
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handler.addFilter(_below(printed_level))
        logger.addHandler(handler)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)


def _below(level: float) -> Callable[[logging.LogRecord], bool]:
    return lambda record: record.levelno < level


def _printed_level(logger: logging.Logger) -> float:
    """Return the level from which a stream handler prints the logger's records already."""
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, "", (), None)
    levels = [
        handler.level
        for handler in effective_handlers(logger)
        if isinstance(handler, logging.StreamHandler) and handler.filter(record)
    ]
    return min(levels, default=math.inf)
