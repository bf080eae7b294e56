"""Tasks that are not attributes of their modules, by the path that rows have.

A module declares them while it is imported, also before the settings exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_declared: dict[str, Callable[[], Any]] = {}


def declare_task(path: str, make: Callable[[], Any]) -> None:
    """Let workers find a task at a path.

    Args:
        path: the dotted path of its function.
        make: returns the task, of Django's class.
    """
    _declared[path] = make


def declared_task(path: str) -> Any:
    """Return the task that is declared at a path; None without one."""
    make = _declared.get(path)
    return None if make is None else make()
