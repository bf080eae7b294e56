"""The hooks that a class of tasks may override."""

from __future__ import annotations

from typing import Any

NAMES = ("before_start", "on_success", "on_failure", "on_retry", "after_return")


class Hooks:
    """Methods that are called before and after a run; here they do nothing."""

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Before the task runs; an exception counts as one of the task."""

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """After the task has returned."""

    def on_failure(
        self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """After the task has raised, and is not retried."""

    def on_retry(
        self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """After the task has raised, and before it is retried."""

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """After `on_success` or `on_failure`: not for a retry, nor for a task without outcome."""


def overrides_hooks(task: Hooks) -> bool:
    """Return whether a task has hooks of its own."""
    kind = type(task)
    return any(getattr(kind, name) is not getattr(Hooks, name) for name in NAMES)
