"""The backends whose tasks can be paused: those of django-offload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Unpack, runtime_checkable

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from django.tasks import Task

    from offload.operators import PauseOptions


@runtime_checkable
class PausingBackend(Protocol):
    """A backend of which tasks can be paused."""

    def pause_task(self, path: str, **options: Unpack[PauseOptions]) -> None: ...

    def resume_task(self, path: str) -> None: ...


def pausing_backend(task: Task[..., Any]) -> PausingBackend:
    """Return the backend of a task.

    Raises:
        ImproperlyConfigured: if it is not django-offload's.
    """
    backend: object = task.get_backend()
    if not isinstance(backend, PausingBackend):
        raise ImproperlyConfigured(
            f"TASKS[{task.backend!r}] is not a backend of django-offload, so its tasks cannot be "
            "paused. Set its BACKEND to 'offload.backends.database.DatabaseBackend'."
        )
    return backend
