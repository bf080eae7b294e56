"""Replaces the backends in TASKS for a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.test.utils import override_settings
from django.utils.module_loading import import_string

from offload.backends.base import OffloadBackend
from offload.testing.unused import MustBeEntered

if TYPE_CHECKING:
    from offload.testing.recorded import RecordedJob


def immediate(*, raise_errors: bool = False) -> override_settings:
    """Run each job when it is enqueued: for a `with` block, a test, or a TestCase class.

    Args:
        raise_errors: `enqueue` raises the exception of a job that fails.
    """
    extra_options = {"raise_errors": True} if raise_errors else {}
    return _override("immediate()", "offload.testing.ImmediateBackend", extra_options)


def recording() -> override_settings:
    """Record each job without running it: for a `with` block, a test, or a TestCase class."""
    return _override("recording()", "offload.testing.RecordingBackend", {})


class _OverriddenTasks(MustBeEntered, override_settings):
    """An override of TASKS, in which each block and each test has its own recorded jobs."""

    def __call__(self, decorated: Any) -> Any:
        self.is_used = True
        return super().__call__(decorated)

    def enable(self) -> None:
        from offload.testing.recorded import replace_jobs  # noqa: PLC0415  # app registry

        self.is_used = True
        self._outer_jobs: dict[UUID, RecordedJob] = replace_jobs({})
        super().enable()

    def disable(self) -> None:
        from offload.testing.recorded import replace_jobs  # noqa: PLC0415  # app registry

        super().disable()
        replace_jobs(self._outer_jobs)

    def decorate_class(self, cls: type) -> type:
        from offload.testing.recorded import clear_jobs  # noqa: PLC0415  # app registry

        decorated: Any = super().decorate_class(cls)
        set_up = decorated.setUp

        def clear_and_set_up(test: Any) -> None:
            clear_jobs()
            set_up(test)

        decorated.setUp = clear_and_set_up
        return decorated  # type: ignore[no-any-return]


def _override(call: str, backend: str, extra_options: dict[str, Any]) -> override_settings:
    """Return an override of TASKS with another backend, and the same queues and options."""
    tasks = {}
    for alias, params in settings.TASKS.items():
        options = {**_offload_options(params), **extra_options}
        tasks[alias] = {**params, "BACKEND": backend, "OPTIONS": options}
    override = _OverriddenTasks(TASKS=tasks)
    override.call = call
    return override


def _offload_options(params: dict[str, Any]) -> dict[str, Any]:
    """Return the OPTIONS that all backends of django-offload take."""
    if not issubclass(import_string(params["BACKEND"]), OffloadBackend):
        return {}
    options = params.get("OPTIONS", {})
    return {name: value for name, value in options.items() if name != "raise_errors"}
