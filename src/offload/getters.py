"""The callables that options name, which take a request: of its user, tenant or address."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest


@cache
def import_getter(path: str) -> Callable[[HttpRequest], Any]:
    """Return the callable at a path in the options.

    Raises:
        ImportError: if it cannot be imported.
    """
    getter: Callable[[HttpRequest], Any] = import_string(path)
    return getter
