"""The lines that Django's receivers log for each job: their level, their text, their handlers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.conf import settings
from django.tasks.signals import logger
from django.utils.log import RequireDebugTrue

from offload.text import format_exception, to_terminal_text

_is_foreseen = ContextVar("is_foreseen", default=False)


@contextmanager
def foreseen() -> Iterator[None]:
    """Give the lines that Django's receivers log in this block the level INFO, not ERROR.

    Django's status of a cancelled job is FAILED, but somebody wanted it; and a UserFacingError
    tells the user what to do. Nobody else needs an email.
    """
    token = _is_foreseen.set(True)
    try:
        yield
    finally:
        _is_foreseen.reset(token)


def is_logged(level: int) -> bool:
    """Return whether a line of Django's receivers reaches a handler.

    With Django's default configuration it does not unless DEBUG is on: the filter of the only
    handler drops each line.
    """
    if not logger.isEnabledFor(level):
        return False
    if logger.filters != [_adapt]:
        return True
    has_handlers = False
    for handler in effective_handlers(logger):
        has_handlers = True
        if level >= handler.level and not _is_for_debug(handler):
            return True
    last = logging.lastResort
    return not has_handlers and last is not None and level >= last.level


def effective_handlers(logger: logging.Logger) -> Iterator[logging.Handler]:
    """Yield the handlers that the logger's records are passed to."""
    current: logging.Logger | None = logger
    while current is not None:
        yield from current.handlers
        current = current.parent if current.propagate else None


def _adapt(record: logging.LogRecord) -> bool:
    """Prepare a record of Django's receivers for every handler that may print it.

    The path of a task and the text of an exception may contain anything.
    """
    if _is_foreseen.get() and record.levelno > logging.INFO:
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
    if isinstance(record.args, tuple):
        record.args = tuple(map(to_terminal_text, record.args))
    if record.exc_info and record.exc_info[0] and not record.exc_text:
        record.exc_text = format_exception(record.exc_info)  # formatters use it if it is set
    return True


logger.addFilter(_adapt)


def _is_for_debug(handler: logging.Handler) -> bool:
    """Return whether a handler outputs lines only with DEBUG, which is off."""
    for log_filter in handler.filters:
        if isinstance(log_filter, RequireDebugTrue):
            return not settings.DEBUG
    return False
