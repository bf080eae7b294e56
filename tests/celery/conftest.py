"""Fixtures of the tests with workers, and what runs the tasks of a canvas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from offload.testing import run_jobs
from tests.celery import tasks
from tests.worker.conftest import child_environment, fifo, gate, start_worker

__all__ = ["child_environment", "fifo", "gate", "start_worker"]


@pytest.fixture(params=["jobs", "eager"])
def finish(request: pytest.FixtureRequest, settings: Any) -> Callable[[], None]:
    """What runs the tasks that were called; eagerly they have run already."""
    tasks.events.clear()
    if request.param == "eager":
        settings.CELERY_TASK_ALWAYS_EAGER = True
        return lambda: None

    def run() -> None:
        run_jobs(include_scheduled=True)

    return run
