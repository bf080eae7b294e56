"""What the policies of tasks have in common: keys and names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

type Key = str | Callable[..., str | int]
"""A format string over the names of the task's arguments, such as "{customer_id}", or a callable
that takes the arguments and returns text or a whole number."""

MAX_NAME_LENGTH = 128
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def require_key(owner: str, key: Any) -> None:
    """Raise TypeError unless a policy can have a key."""
    is_valid = isinstance(key, str) or (callable(key) and not inspect.iscoroutinefunction(key))
    if not is_valid:
        raise TypeError(
            f'{owner}: key must be text such as "{{user_id}}", or a callable written with def, not '
            f"{key!r}."
        )


def require_name(owner: str, name: Any) -> None:
    """Raise ValueError unless a policy can have a name."""
    is_valid = isinstance(name, str) and len(name) <= MAX_NAME_LENGTH
    if not is_valid or (name and not _NAME.fullmatch(name)):
        raise ValueError(
            f"{owner}: name must be at most {MAX_NAME_LENGTH} letters, digits, dots, dashes and "
            f"underscores, not {name!r}."
        )
