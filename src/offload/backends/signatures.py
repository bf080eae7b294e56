"""Checks that a call fits the signature of a task, before its job exists."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import FunctionType
from typing import Any

from django.tasks import Task


def require_matching_call(
    task: Task[..., Any], args: Iterable[Any], kwargs: Mapping[str, Any]
) -> None:
    """Raise Python's own TypeError if the task's function does not take these arguments.

    Args:
        task: the task.
        args, kwargs: the arguments of the call, without the context that some tasks take.
    """
    stand_in = _stand_in(task.func)
    if stand_in is None:
        return
    if task.takes_context:
        stand_in(None, *args, **kwargs)
    else:
        stand_in(*args, **kwargs)


@lru_cache(maxsize=1000)
def _stand_in(function: Callable[..., Any]) -> Callable[..., None] | None:
    """Return a function that takes the same arguments and does nothing.

    Calling it raises Python's own errors, which `inspect.Signature.bind` does not, and is faster.
    Like a call, it looks neither through decorators at the function they wrap, as they may pass
    other arguments, nor at `__signature__`.

    Args:
        function: the task's function; for a callable of another type None is returned.
    """
    if not isinstance(function, FunctionType):
        return None
    bare = FunctionType(function.__code__, {}, "", function.__defaults__, function.__closure__)
    bare.__kwdefaults__ = function.__kwdefaults__
    parameters = [
        parameter if parameter.default is parameter.empty else parameter.replace(default=None)
        for parameter in inspect.signature(bare).parameters.values()
    ]
    text = str(inspect.Signature(parameters))[1:-1]
    stand_in: Callable[..., None] = eval(f"lambda {text}: None")  # noqa: S307
    # Python's errors name it; a task has this path too.
    stand_in.__qualname__ = f"{function.__module__}.{function.__qualname__}"
    return stand_in
