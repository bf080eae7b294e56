"""`current_app` and `current_task`: proxies that look up the app and the task at each use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from offload.celery.tasks.request import running


class Proxy:
    """Stands for an object that is looked up at each use.

    Args:
        find: returns the object.
    """

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], Any]) -> None:
        object.__setattr__(self, "_find", find)

    def _get_current_object(self) -> Any:
        return object.__getattribute__(self, "_find")()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._get_current_object(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._get_current_object(), name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._get_current_object()(*args, **kwargs)

    def __bool__(self) -> bool:
        return bool(self._get_current_object())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Proxy):
            other = other._get_current_object()  # of this class
        return bool(self._get_current_object() == other)

    def __hash__(self) -> int:
        return hash(self._get_current_object())

    def __repr__(self) -> str:
        return repr(self._get_current_object())


_current: list[Any] = []
_make_default: list[Callable[[], Any]] = []


def set_current_app(app: Any) -> None:
    """Make an app the current one of this process."""
    _current[:] = [app]


def set_default_app(make: Callable[[], Any]) -> None:
    """Set what makes an app if a project has none."""
    _make_default[:] = [make]


def get_current_app() -> Any:
    """Return the app that was made last, or one with the settings `CELERY_...` of Django."""
    if not _current:
        _current.append(_make_default[0]())
    return _current[0]


def existing_app() -> Any:
    """Return the current app; None if there is none, which makes none."""
    return _current[0] if _current else None


def get_current_task() -> Any:
    """Return the running task; None outside one."""
    current = running()
    return None if current is None else current.task


current_app: Any = Proxy(get_current_app)
current_task: Any = Proxy(get_current_task)
