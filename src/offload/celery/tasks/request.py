"""What a task knows of its call: `self.request`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple


class Context:
    """The call of a task.

    Headers of one's own are attributes too: `self.request.get("tenant")`.

    Attributes:
        id: of the task, as text; None for a plain call.
        task: its name.
        args, kwargs: its arguments.
        asked_retry: the Retry that `retry` has raised or returned.
        retries: how often it was retried.
        called_directly: whether it was called as a function.
        is_eager: whether it runs in the caller's process.
        hostname: of the worker.
        delivery_info: queue and priority.
        headers: those that `apply_async` was given.
        root_id, parent_id: of the first task, and of the one that called it.
        group, chord: ids of the group and the chord to which the task belongs.
        timelimit: hard and soft limit.
    """

    args: Any = None
    asked_retry: Any = None
    callbacks: Any = None
    called_directly: bool = True
    chain: Any = None
    chord: Any = None
    correlation_id: str | None = None
    delivery_info: dict[str, Any] | None = None
    errbacks: Any = None
    eta: Any = None
    expires: Any = None
    group: str | None = None
    group_index: int | None = None
    headers: dict[str, Any] | None = None
    hostname: str | None = None
    id: str | None = None
    ignore_result: bool = False
    is_eager: bool = False
    kwargs: Any = None
    origin: str | None = None
    parent_id: str | None = None
    properties: dict[str, Any] | None = None
    reply_to: str | None = None
    retries: int = 0
    root_id: str | None = None
    shadow: str | None = None
    task: str | None = None
    timelimit: Any = (None, None)
    time_limit: float | None = None
    soft_time_limit: float | None = None
    utc: bool = True

    def __init__(self, **values: Any) -> None:
        self.children: list[Any] = []
        self.__dict__.update(values)

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute, or a header."""
        return getattr(self, name, default)

    def update(self, *args: Any, **values: Any) -> None:
        """Set attributes."""
        self.__dict__.update(*args, **values)

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except AttributeError:
            raise KeyError(name) from None

    def __repr__(self) -> str:
        return f"<Context: {vars(self)!r}>"


class Running(NamedTuple):
    """A task that runs in this thread or coroutine, and its call."""

    task: Any
    request: Context


_stack: ContextVar[tuple[Running, ...]] = ContextVar("offload_celery_stack", default=())
_may_join: ContextVar[bool] = ContextVar("offload_celery_may_join", default=False)


def running() -> Running | None:
    """Return the innermost running task."""
    stack = _stack.get()
    return stack[-1] if stack else None


def running_call() -> Running | None:
    """Return the innermost task that was not called as a function: what calls other tasks."""
    calls = (entry for entry in reversed(_stack.get()) if not entry.request.called_directly)
    return next(calls, None)


def request_of(task: Any) -> Context | None:
    """Return the current call of a task; None outside of it."""
    requests = (entry.request for entry in reversed(_stack.get()) if entry.task is task)
    return next(requests, None)


def push(task: Any, request: Context) -> None:
    """Make a call the current one."""
    _stack.set((*_stack.get(), Running(task, request)))


def pop() -> None:
    """End the current call."""
    _stack.set(_stack.get()[:-1])


@contextmanager
def entered(task: Any, request: Context) -> Iterator[Context]:
    """Make a call the current one within a `with` block."""
    push(task, request)
    try:
        yield request
    finally:
        pop()


def join_would_block() -> bool:
    """Return whether this code runs in a task of a worker, which must not wait for others."""
    current = running_call()
    return current is not None and not (_may_join.get() or current.request.is_eager)


@contextmanager
def allow_join_result() -> Iterator[None]:
    """Allow `get()` in a task within a `with` block."""
    token = _may_join.set(True)
    try:
        yield
    finally:
        _may_join.reset(token)
