"""From an exception to the text that is kept of it. Nothing here may fail."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from offload.lifecycle import JobFailure
from offload.text import to_storable_text

MAX_MESSAGE_CHARS = 2_000
MAX_TRACEBACK_CHARS = 32_000
MAX_PATH_CHARS = 255
"""Characters kept."""

_OWN_FOLDER = str(Path(__file__).parents[1])


def describe_exception(error: BaseException) -> JobFailure:
    """Return class path, message and traceback of an exception, storable on every database."""
    return JobFailure(
        class_path_of(error)[:MAX_PATH_CHARS],
        to_storable_text(_message(error), max_chars=MAX_MESSAGE_CHARS),
        to_storable_text(_traceback(error), max_chars=MAX_TRACEBACK_CHARS),
    )


def class_path_of(error: BaseException) -> str:
    """Return the dotted path of an exception's class, however oddly it was made."""
    kind = type(error)
    module, name = getattr(kind, "__module__", None), getattr(kind, "__qualname__", None)
    return to_storable_text(f"{module}.{name}", max_chars=MAX_PATH_CHARS)


def failed_before_call(error: BaseException, function: Callable[..., Any]) -> bool:
    """Tell whether a TypeError came from arguments that do not fit the function's signature.

    Then no frame of the function is in the traceback.
    """
    if not isinstance(error, TypeError):
        return False
    code = getattr(function, "__code__", None)
    return all(frame.f_code is not code for frame, _ in traceback.walk_tb(error.__traceback__))


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # the task's own class
        return f"<the message of {type(error).__name__} cannot be shown>"


def _traceback(error: BaseException) -> str:
    try:
        begin = _skip_own_frames(error.__traceback__)
        return "".join(traceback.format_exception(type(error), error, begin))
    except Exception:  # noqa: BLE001  # the task's own class, or recursion too deep to show
        return f"{class_path_of(error)}: <the traceback cannot be shown>"


def _skip_own_frames(begin: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the task's first frame on; all of it if it never came so far."""
    current = begin
    while current is not None:
        filename = current.tb_frame.f_code.co_filename
        if not filename.startswith(_OWN_FOLDER) and not filename.endswith(_CALLERS):
            return current
        current = current.tb_next
    return begin


_CALLERS = ("django/tasks/base.py", "asgiref/sync.py", "contextlib.py", "/transaction.py")
