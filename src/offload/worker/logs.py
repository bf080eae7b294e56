"""Log output of a worker in a terminal: a line when each job starts and finishes."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

from django.conf import settings

from offload.task_log import effective_handlers
from offload.text import format_exception, to_terminal_text


def show_job_lines() -> None:
    """Print the records of Django's and our task loggers, unless LOGGING handles them.

    Django's default logging configuration prints them only if DEBUG is on. Tasks that come from
    Celery have loggers below "celery".
    """
    configured = settings.LOGGING.get("loggers", {}) if settings.LOGGING else {}
    for name in ("django.tasks", "offload", "celery"):
        logger = logging.getLogger(name)
        printed_level = _printed_level(logger)
        is_printed = printed_level <= logging.INFO and logger.isEnabledFor(logging.INFO)
        if name in configured or is_printed or logger.disabled:
            continue
        handler = logging.StreamHandler()
        handler.setFormatter(TerminalFormatter("%(asctime)s %(levelname)s %(message)s"))
        handler.addFilter(_below(printed_level))
        logger.addHandler(handler)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)


class TerminalFormatter(logging.Formatter):
    """Formats a record as one line, and its traceback as indented lines, for a terminal.

    The text of an exception can then neither control the terminal nor forge a record.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        return to_terminal_text(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return format_exception(ei)


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
