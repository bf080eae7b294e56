"""Exceptions as JSON, and back to their own classes, also those that need keywords."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import FunctionType
from typing import Any

from offload.celery_results.library import UnpickleableExceptionWrapper
from offload.imported import find_imported_class

MAX_TEXT_CHARS = 20_000
"""Characters kept of the text of an exception, and of an argument that is no JSON."""


def original(error: BaseException) -> BaseException:
    """Return the exception that a task has raised, in place of Celery's substitute for it.

    Celery replaces one that cannot be pickled, such as one whose class needs keywords, by one of
    a base class or by a wrapper. It is still being handled when Celery stores the substitute.
    """
    raised = sys.exc_info()[1]
    if raised is None or raised is error:
        return error
    if isinstance(error, UnpickleableExceptionWrapper):
        name = type(raised).__name__
        return raised if error.exc_cls_name == name else error
    is_substitute = isinstance(raised, type(error)) and error.__traceback__ is not None
    return raised if is_substitute and error.__traceback__ is raised.__traceback__ else error


def describe(error: BaseException, encode: Callable[[Any], Any]) -> dict[str, Any]:
    """Return what is stored of an exception, with Celery's names.

    Args:
        error: the exception.
        encode: raises an exception for values that the serializer does not carry.
    """
    name, module, args = type(error).__qualname__, type(error).__module__, error.args
    if isinstance(error, UnpickleableExceptionWrapper):
        name, module, args = error.exc_cls_name, error.exc_module, error.exc_args
    attributes = {}
    for key, value in vars(error).items():
        with suppress(Exception):  # only what can be stored
            encode({key: value})
            attributes[key] = value
    return {
        "exc_type": name,
        "exc_module": module,
        "exc_message": [_storable(value, encode) for value in args],
        "exc_text": _text(error),
        "exc_attributes": attributes,
    }


def rebuild(stored: Mapping[str, Any]) -> BaseException:
    """Return an exception of the class that is named, without importing modules.

    A class that is not imported here is replaced by one of the same name.
    """
    name, module = str(stored.get("exc_type") or "Exception"), stored.get("exc_module")
    path = f"{module or 'builtins'}.{name}"
    kind = find_imported_class(path)
    if kind is None or not issubclass(kind, BaseException):
        module_name = str(module or "celery.exceptions")
        kind = type(name.rpartition(".")[2], (Exception,), {"__module__": module_name})
    message = stored.get("exc_message", "")
    args = tuple(message) if isinstance(message, list | tuple) else (message,)
    attributes = stored.get("exc_attributes") or {}
    with suppress(Exception):  # the class needs more than it stores
        if isinstance(
            getattr(kind, "__init__", None), FunctionType
        ):  # which may need other arguments
            error: BaseException = kind.__new__(kind, *args)
            error.args = args
        else:
            error = kind(*args)
        error.__dict__.update(attributes)
        return error
    error = Exception.__new__(Exception)
    error.args = (f"{path}: {stored.get('exc_text', message)}",)
    return error


def _storable(value: Any, encode: Callable[[Any], Any]) -> Any:
    try:
        encode(value)
    except Exception:  # noqa: BLE001  # raised by an object's own `__json__`
        return _text(value)
    return value


def _text(value: Any) -> str:
    try:
        return str(value)[:MAX_TEXT_CHARS]
    except Exception:  # noqa: BLE001  # of the object's own class
        return f"<{type(value).__qualname__}>"
