"""Helpers for the tests of projects that use django-offload: docs/howto/test-your-tasks.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.lazy_names import lazy_names

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
    from offload.testing.schedules import assert_scheduled, run_schedules

__all__ = [
    "ImmediateBackend",
    "RecordingBackend",
    "arun_jobs",
    "assert_enqueued",
    "assert_enqueues",
    "assert_not_enqueued",
    "assert_scheduled",
    "enqueued_jobs",
    "immediate",
    "recording",
    "run_jobs",
    "run_schedules",
]

__getattr__ = lazy_names(
    __name__,
    {
        "ImmediateBackend": "backends",
        "RecordingBackend": "backends",
        "arun_jobs": "runner",
        "assert_enqueued": "assertions",
        "assert_enqueues": "assertions",
        "assert_not_enqueued": "assertions",
        "assert_scheduled": "schedules",
        "enqueued_jobs": "assertions",
        "immediate": "overrides",
        "recording": "overrides",
        "run_jobs": "runner",
        "run_schedules": "schedules",
    },
)
