"""A call that Python would refuse is refused with Python's words, and no other call is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from offload.backends.signatures import require_matching_call


def none() -> None: ...
def two(a, b): ...
def default(a, b=1): ...
def positional(a, /, b, c=2): ...
def named(a, *, b, c=3): ...
def rest(a, *args, b=1, **kwargs): ...
async def coroutine(a): ...


@functools.wraps(two)
def decorated(*args: Any, **kwargs: Any) -> None:
    """Add an argument, as many decorators do."""
    two(1, *args, **kwargs)


decorated.__name__ = "decorated"


CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((1,), {}),
    ((1, 2), {}),
    ((1, 2, 3), {}),
    ((1, 2, 3, 4), {}),
    ((1,), {"b": 2}),
    ((1,), {"a": 2}),
    ((), {"a": 1, "b": 2}),
    ((1,), {"b": 2, "z": 3}),
]


def error_of(action: Callable[[], Any]) -> str | None:
    try:
        action()
    except TypeError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "function", [none, two, default, positional, named, rest, coroutine, decorated, print]
)
@pytest.mark.parametrize("takes_context", [False, True])
def test_it_refuses_what_a_call_refuses(function, takes_context):
    task: Any = SimpleNamespace(func=function, takes_context=takes_context)
    context = (None,) if takes_context else ()

    for args, kwargs in CALLS:
        found = error_of(lambda: require_matching_call(task, args, kwargs))  # noqa: B023
        if function in (decorated, print):
            assert found is None
        else:
            called = error_of(lambda: close(function(*context, *args, **kwargs)))  # noqa: B023
            assert found == (called and f"{__name__}.{called}")


def close(returned: Any) -> None:
    if returned is not None:
        returned.close()
