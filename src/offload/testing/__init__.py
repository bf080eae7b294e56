"""For the tests of projects that use django-offload: docs/howto/test-your-tasks.md."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offload.testing.asserting import (
        assert_enqueued,
        assert_enqueues,
        assert_not_enqueued,
        enqueued_jobs,
    )
    from offload.testing.backends import ImmediateBackend, RecordingBackend
    from offload.testing.memory import forget_jobs
    from offload.testing.running import arun_jobs, run_jobs
    from offload.testing.switching import immediate, recording

__all__ = [
    "ImmediateBackend",
    "RecordingBackend",
    "arun_jobs",
    "assert_enqueued",
    "assert_enqueues",
    "assert_not_enqueued",
    "enqueued_jobs",
    "forget_jobs",
    "immediate",
    "recording",
    "run_jobs",
]

_HOMES = {
    "ImmediateBackend": "backends",
    "RecordingBackend": "backends",
    "arun_jobs": "running",
    "assert_enqueued": "asserting",
    "assert_enqueues": "asserting",
    "assert_not_enqueued": "asserting",
    "enqueued_jobs": "asserting",
    "forget_jobs": "memory",
    "immediate": "switching",
    "recording": "switching",
    "run_jobs": "running",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, because pytest imports the plugin also where nobody uses it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
