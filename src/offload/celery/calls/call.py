"""`Call`: one call of a task, as `apply_async` describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(slots=True)
class Call:
    """One call of a task.

    Attributes:
        args, kwargs: its arguments.
        task_id: the id that the caller has chosen; None for a new one.
        options: those of `apply_async`.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    task_id: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, args: Any, kwargs: Any, task_id: str | None, options: dict[str, Any]) -> Self:
        """Return the call that arguments of `apply_async` describe.

        Raises:
            TypeError: for text in place of several arguments, and for kwargs that are no mapping.
        """
        return cls(*checked_arguments(args, kwargs), task_id, options)


def checked_arguments(args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call; none for None.

    Raises:
        TypeError: for text in place of several arguments, and for kwargs that are no mapping.
    """
    if isinstance(args, str | bytes | Mapping):
        raise TypeError(f"task args must be a list or tuple, not {args!r}.")
    if not isinstance(kwargs, Mapping | None):
        raise TypeError(f"task keyword arguments must be a mapping, not {kwargs!r}.")
    return tuple(args or ()), dict(kwargs or {})
