"""Helpers for the tests of projects that use django-offload: docs/howto/test-your-tasks.md."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offload.testing.assertions import (
        assert_enqueued,
        assert_enqueues,
        assert_not_enqueued,
        enqueued_jobs,
    )
    from offload.testing.backends import ImmediateBackend, RecordingBackend
    from offload.testing.overrides import immediate, recording
    from offload.testing.runner import arun_jobs, run_jobs

__all__ = [
    "ImmediateBackend",
    "RecordingBackend",
    "arun_jobs",
    "assert_enqueued",
    "assert_enqueues",
    "assert_not_enqueued",
    "enqueued_jobs",
    "immediate",
    "recording",
    "run_jobs",
]

_MODULES = {
    "ImmediateBackend": "backends",
    "RecordingBackend": "backends",
    "arun_jobs": "runner",
    "assert_enqueued": "assertions",
    "assert_enqueues": "assertions",
    "assert_not_enqueued": "assertions",
    "enqueued_jobs": "assertions",
    "immediate": "overrides",
    "recording": "overrides",
    "run_jobs": "runner",
}


def __getattr__(name: str) -> Any:
    """Import a name on first use: pytest imports the plugin in every project."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
