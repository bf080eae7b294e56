"""Let another backend take the place of those in TASKS, for a test."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.test.utils import override_settings
from django.utils.module_loading import import_string

from offload.backends.base import OffloadBackend
from offload.testing.memory import MemoryJob, forget_jobs, swap_jobs


def immediate(*, raise_errors: bool = False) -> override_settings:
    """Run each job where it is enqueued: for a `with` block, a test, or a TestCase class.

    Args:
        raise_errors: let `enqueue` raise what a task raises that fails for good.
    """
    extra = {"raise_errors": True} if raise_errors else {}
    return _Switched(TASKS=_tasks("offload.testing.ImmediateBackend", extra))


def recording() -> override_settings:
    """Record each job and run none: for a `with` block, a test, or a TestCase class."""
    return _Switched(TASKS=_tasks("offload.testing.RecordingBackend", {}))


class _Switched(override_settings):
    """Also sets aside the jobs in memory: who enters finds none, and leaves none behind."""

    def enable(self) -> None:
        self._outer: dict[UUID, MemoryJob] = swap_jobs({})
        super().enable()

    def disable(self) -> None:
        super().disable()
        swap_jobs(self._outer)

    def decorate_class(self, cls: type) -> type:
        decorated: Any = super().decorate_class(cls)
        set_up = decorated.setUp

        def forget_and_set_up(test: Any) -> None:
            forget_jobs()
            set_up(test)

        decorated.setUp = forget_and_set_up
        return decorated  # type: ignore[no-any-return]


def _tasks(backend: str, extra: dict[str, Any]) -> dict[str, Any]:
    """Return TASKS with another backend; queues stay, and options if they are ours."""
    return {
        alias: {**params, "BACKEND": backend, "OPTIONS": {**_own_options(params), **extra}}
        for alias, params in settings.TASKS.items()
    }


def _own_options(params: dict[str, Any]) -> dict[str, Any]:
    if not issubclass(import_string(params["BACKEND"]), OffloadBackend):
        return {}
    options = params.get("OPTIONS", {})
    return {name: value for name, value in options.items() if name != "raise_errors"}
