"""A canvas that replaces a task, with the backends for tests, which keep jobs in memory."""

from __future__ import annotations

from typing import Any

import pytest

from offload.celery import chain, group
from offload.testing import run_jobs
from tests.celery.tasks import add, listed, replace_by

pytestmark = pytest.mark.django_db

STEPS = group(add.s(1, 1), add.s(2, 2))


@pytest.mark.parametrize("kind", ["ImmediateBackend", "RecordingBackend"])
@pytest.mark.parametrize("follows", [False, True])
def test_a_canvas_replaces_a_task(settings: Any, kind: str, follows: bool):
    settings.TASKS = {"default": {"BACKEND": f"offload.testing.{kind}", "QUEUES": []}}
    task = replace_by.s(by=STEPS)
    result = (chain(task, listed.s("last")) if follows else task).apply_async()
    if kind == "RecordingBackend":
        run_jobs()

    assert result.get() == ([[2, 4], "last"] if follows else [2, 4])


@pytest.mark.parametrize("kind", ["ImmediateBackend", "RecordingBackend"])
def test_a_step_with_a_countdown_follows(settings: Any, kind: str):
    settings.TASKS = {"default": {"BACKEND": f"offload.testing.{kind}", "QUEUES": []}}
    result = chain(add.s(1, 1), add.s(1).set(countdown=1000))()
    if kind == "RecordingBackend":
        run_jobs(include_scheduled=True)

    assert result.get() == 3
