"""Describes the exceptions of tasks as JSON, and makes exceptions of their classes again."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from types import FunctionType
from typing import Any

from offload.celery import exceptions
from offload.celery.encoding.values import decode, encode
from offload.imported import find_imported_class

MAX_CAUSES = 5
"""How many exceptions of a chain are kept as objects; the traceback has all of them."""
MAX_DETAILS_CHARS = 20_000
"""Characters of the arguments of an exception, as text."""


def path_of(error: BaseException) -> str:
    """Return the path of an exception's class, as rows have it."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def describe(error: BaseException, depth: int = 0) -> dict[str, Any]:
    """Return what is stored of an exception beside its message and traceback, as exact JSON."""
    details: dict[str, Any] = {
        "path": path_of(error),
        "args": [_storable(value) for value in error.args],
    }
    attributes = {}
    for name, value in vars(error).items():
        if not name.startswith("__"):
            with suppress(Exception):
                attributes[name] = encode(value, name)
    if attributes:
        details["attributes"] = attributes
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and depth < MAX_CAUSES:
        kind = "cause" if error.__cause__ is not None else "context"
        details[kind] = {"message": _text(cause), **describe(cause, depth + 1)}
    return details


def rebuild(path: str, message: str, details: Mapping[str, Any] | None = None) -> BaseException:
    """Return an exception of a class, without running the code of the class.

    Args:
        path: of its class; only imported modules are searched. If it is not found, a class of
            that name stands for it.
        message: its text.
        details: as `describe` returns them; those of another exception are not used.
    """
    if details is not None and details.get("path") != path:
        details = None
    kind = find_imported_class(path)
    if kind is None or not issubclass(kind, BaseException):
        kind = _stand_in(path)
    error = _build(kind, message, details or {})
    for name in ("cause", "context"):
        earlier = (details or {}).get(name)
        if isinstance(earlier, dict):
            other = rebuild(str(earlier.get("path")), str(earlier.get("message")), earlier)
            setattr(error, f"__{name}__", other)
    return error


def engine_failure(path: str, message: str, task_name: str) -> BaseException | None:
    """Return Celery's exception for one that the worker raised; None for one of a task."""
    match path.removeprefix("offload.exceptions."):
        case "JobTimeout":
            return exceptions.TimeLimitExceeded(message)
        case "WorkerLost":
            return exceptions.WorkerLostError(message)
        case "JobCancelled":
            return exceptions.TaskRevokedError("revoked")
        case "JobExpired":
            return exceptions.TaskRevokedError("expired")
        case "TaskNotFound":
            return exceptions.NotRegistered(task_name)
    return None


def _build(kind: type[BaseException], message: str, details: Mapping[str, Any]) -> BaseException:
    values = details.get("args", [message])
    args = tuple(map(decode, values)) if isinstance(values, list) else (message,)
    with suppress(Exception):  # the class needs more than it stores
        if isinstance(kind.__init__, FunctionType):  # which may need other arguments
            error: BaseException = kind.__new__(kind, *args)
            error.args = args
        else:
            error = kind(*args)
        error.__dict__.update(decode(details.get("attributes", {})))
        if not message or str(error) == message:
            return error
    with_text: Any = _with_text(kind)  # type: ignore[arg-type]  # classes have a hash
    error = with_text.__new__(with_text)
    error.args = (message,)
    return error


@lru_cache(maxsize=100)
def _with_text(kind: type[BaseException]) -> type[BaseException]:
    """Return a class that is one of `kind`, and whose text is its only argument."""
    attributes = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
        "__init__": BaseException.__init__,
        "__str__": BaseException.__str__,
        "__repr__": BaseException.__repr__,
    }
    return type(kind.__name__, (kind,), attributes)


@lru_cache(maxsize=100)
def _stand_in(path: str) -> type[BaseException]:
    module, _, name = path.rpartition(".")
    return type(name or path, (Exception,), {"__module__": module or "builtins"})


def _storable(value: Any) -> Any:
    try:
        encoded = encode(value, "args")
    except Exception:  # noqa: BLE001  # raised by an object's own `__json__`
        return _text(value)
    return encoded[:MAX_DETAILS_CHARS] if isinstance(encoded, str) else encoded


def _text(value: Any) -> str:
    try:
        return str(value)[:MAX_DETAILS_CHARS]
    except Exception:  # noqa: BLE001  # of the object's own class
        return f"<{type(value).__qualname__}>"
