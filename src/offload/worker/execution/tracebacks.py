"""The class path, message and traceback of an exception, as stored. Nothing here raises."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from offload.lifecycle import JobFailure
from offload.text import to_storable_text

MAX_MESSAGE_CHARS = 2_000
"""Length of a stored exception message."""
MAX_TRACEBACK_CHARS = 32_000
"""Length of a stored traceback."""
MAX_PATH_CHARS = 255
"""Length of a stored class path."""

_PACKAGE = Path(__file__).parents[2]
_FOLDERS = (f"{_PACKAGE / 'worker'}/", f"{_PACKAGE / 'celery'}/")
"""Folders of this package through which a task is called."""
_CALLERS = ("django/tasks/base.py", "asgiref/sync.py", "contextlib.py", "/transaction.py")
"""Files of other packages through which the worker calls a task."""


def describe_exception(error: BaseException) -> JobFailure:
    """Return class path, message and traceback of an exception, storable on every database."""
    return JobFailure(
        class_path_of(error)[:MAX_PATH_CHARS],
        to_storable_text(_message(error), max_chars=MAX_MESSAGE_CHARS),
        to_storable_text(_traceback(error), max_chars=MAX_TRACEBACK_CHARS),
    )


def class_path_of(error: BaseException) -> str:
    """Return the dotted path of an exception's class, even if the class has no module."""
    kind = type(error)
    module, name = getattr(kind, "__module__", None), getattr(kind, "__qualname__", None)
    return to_storable_text(f"{module}.{name}", max_chars=MAX_PATH_CHARS)


def failed_before_call(error: BaseException, function: Callable[..., Any]) -> bool:
    """Return True if an error means that the arguments do not fit the function's signature.

    The traceback of such a TypeError has no frame of the function.
    """
    if not isinstance(error, TypeError):
        return False
    code = getattr(function, "__code__", None)
    return all(frame.f_code is not code for frame, _ in traceback.walk_tb(error.__traceback__))


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # from `__str__` of the task's own class
        return f"<the message of {type(error).__name__} cannot be shown>"


def _traceback(error: BaseException) -> str:
    try:
        first = _skip_own_frames(error.__traceback__)
        return "".join(traceback.format_exception(type(error), error, first))
    except Exception:  # noqa: BLE001  # from the task's own class, or too deep a recursion
        return f"{class_path_of(error)}: <the traceback cannot be shown>"


def _skip_own_frames(first: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the task's first frame on; all of it if no task was called."""
    current = first
    while current is not None:
        filename = current.tb_frame.f_code.co_filename
        if not filename.startswith(_FOLDERS) and not filename.endswith(_CALLERS):
            return current
        current = current.tb_next
    return first
