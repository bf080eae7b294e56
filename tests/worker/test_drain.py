"""A worker that drains leaves nothing behind that its last jobs have caused, if hints come late."""

from __future__ import annotations

from typing import Any

import pytest

from offload import JobState
from offload.models import Job
from tests import limited_tasks
from tests.worker import event_log, tasks
from tests.worker.conftest import StartWorker
from tests.worker.fake_notifier import FakeNotifier
from tests.workflow_rows import F, Flow, S

pytestmark = pytest.mark.usefixtures("no_hints")


@pytest.fixture
def no_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no hint arrive while a worker drains."""
    monkeypatch.setattr("offload.worker.engine.get_notifier", lambda _: FakeNotifier())


@pytest.mark.parametrize("task", [tasks.noop, tasks.anoop, limited_tasks.single])
def test_a_drain_runs_what_its_last_job_enqueues(
    start_worker: StartWorker, processes: int, task: Any
) -> None:
    tasks.enqueue_another.enqueue(task.module_path)

    start_worker(processes, drain=True).join()

    assert list(Job.objects.values_list("state", flat=True)) == [JobState.SUCCESSFUL] * 2


def test_a_drain_ends_a_workflow_whose_last_part_is_skipped(
    start_worker: StartWorker, processes: int
) -> None:
    flow = Flow({"ok": ((), S), "handler": (("ok",), F)})

    start_worker(processes, drain=True).join()

    assert flow.states["handler"] == JobState.SKIPPED
    assert flow.state == JobState.SUCCESSFUL


def test_a_drain_waits_for_the_process_that_sends_its_last_signal(
    start_worker: StartWorker,
) -> None:
    """The one that ran the last job has died."""
    result = tasks.die_at_most_once.enqueue()

    start_worker(1, drain=True, kill_grace_period=120.0).join()

    assert event_log.entries("finished", result.id)
