"""What else declares schedules, besides `@schedule` and TASKS.

A module says so while it is imported, also before the settings exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

type Source = Callable[[], Iterable[tuple[Any, str]]]
"""Returns the columns of each schedule, and where it is defined."""

_sources: list[Source] = []


def add_schedules(source: Source) -> None:
    """Let workers write the schedules that a function returns."""
    _sources.append(source)


def added_schedules() -> list[tuple[Any, str]]:
    """Return the columns of all schedules of these functions, and where each is defined."""
    return [found for source in _sources for found in source()]
