"""What a worker's terminal shows: Django's line for each job's start and end."""

from __future__ import annotations

import logging

from django.conf import settings


def show_job_lines() -> None:
    """Print the lines of Django's and our task loggers, unless the project logs them itself.

    With Django's default logging they reach the terminal only if DEBUG is on.
    """
    configured = settings.LOGGING.get("loggers", {}) if settings.LOGGING else {}
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in ("django.tasks", "offload"):
        logger = logging.getLogger(name)
        if name in configured or _is_shown(logger):
            continue
        logger.addHandler(handler)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)


def _is_shown(logger: logging.Logger) -> bool:
    """Tell whether an INFO record of the logger reaches some stream already."""
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, "", (), None)
    current: logging.Logger | None = logger
    while current is not None:
        for handler in current.handlers:
            is_stream = isinstance(handler, logging.StreamHandler)
            if is_stream and handler.level <= logging.INFO and handler.filter(record):
                return logger.isEnabledFor(logging.INFO)
        current = current.parent if current.propagate else None
    return False
