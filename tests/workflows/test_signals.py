"""Django's `task_finished` for the jobs of workflows, in each backend that a test may use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.tasks.signals import task_finished

from offload import JobState, current_job, workflow
from offload.models import Job
from offload.store.records import EndedJob
from offload.tasks import OffloadTask
from offload.testing import immediate, recording, run_jobs
from offload.worker.execution.announcements import announce_ended
from tests.workflows import tasks

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["database", "recording", "immediate"])
def run(request: pytest.FixtureRequest) -> Any:
    match request.param:
        case "recording":
            with recording():
                yield run_jobs
        case "immediate":
            with immediate():
                yield run_jobs
        case _:
            yield run_jobs


@pytest.fixture
def finished() -> Iterator[list[Any]]:
    """The results with which `task_finished` was sent."""
    results: list[Any] = []

    def note(task_result: Any, **_: Any) -> None:
        results.append(task_result)

    task_finished.connect(note)
    yield results
    task_finished.disconnect(note)


def states(finished: list[Any]) -> list[tuple[str, JobState]]:
    return sorted((result.task.name, result.state) for result in finished)


def test_each_job_of_a_workflow_sends_it_once(run, finished):
    with workflow("flow") as flow:
        broken = flow.add(tasks.fail)
        flow.add(tasks.double, flow.add(tasks.double, broken))
        flow.add(tasks.fetch, "x").after(flow.add(tasks.numbers, 1), when="failed")
        flow.add(tasks.echo).after(broken, when="ended")
    run()

    assert states(finished) == [
        ("double", JobState.CANCELLED),
        ("double", JobState.CANCELLED),
        ("echo", JobState.SUCCESSFUL),
        ("fail", JobState.FAILED),
        ("fetch", JobState.SKIPPED),
        ("numbers", JobState.SUCCESSFUL),
        ("workflow", JobState.FAILED),
    ]
    (whole,) = [result for result in finished if result.task.name == "workflow"]
    assert whole.id == flow.result.id
    assert [error.exception_class_path for error in whole.errors] == [
        "offload.exceptions.PartsFailed"
    ]
    assert all(result.finished_at for result in finished)


def test_the_result_of_a_workflow_has_its_return_value(run, finished):
    with workflow("flow") as flow:
        flow.returns(flow.add(tasks.double, 4))
    run()

    assert finished[-1].return_value == 8
    assert states(finished) == [
        ("double", JobState.SUCCESSFUL),
        ("workflow", JobState.SUCCESSFUL),
    ]


@pytest.mark.parametrize("context", [None, recording], ids=["database", "recording"])
def test_a_cancelled_workflow_sends_it_for_each_part(context: Any, finished: list[Any]) -> None:
    def cancel() -> None:
        with workflow("flow") as flow:
            flow.add(tasks.double, flow.add(tasks.double, 1))
        flow.result.cancel()
        run_jobs()

    if context is None:
        cancel()
    else:
        with context():
            cancel()

    assert states(finished) == [
        ("double", JobState.CANCELLED),
        ("double", JobState.CANCELLED),
        ("workflow", JobState.CANCELLED),
    ]


@pytest.mark.parametrize("task", [tasks.atomic_double, tasks.add_pages])
def test_a_job_that_stores_its_own_end_sends_it_for_those_that_end_with_it(
    finished: list[Any], task: OffloadTask[..., Any]
) -> None:
    with workflow("flow") as flow:
        first = flow.add(task, ["x"])
        flow.add(tasks.fetch, "x").after(first, when="failed")
    run_jobs()

    assert ("fetch", JobState.SKIPPED) in states(finished)
    assert len({result.id for result in finished}) == len(finished)


def test_a_receiver_runs_as_the_job_of_the_signal(finished: list[Any]) -> None:
    seen: list[tuple[str, str]] = []

    def enqueue(task_result: Any, **_: Any) -> None:
        if task_result.state == JobState.CANCELLED:
            job = Job.objects.get(pk=tasks.double.enqueue(1).id)
            seen.append((str(job.parent), current_job().id))

    with workflow("flow") as flow:
        flow.add(tasks.double, flow.add(tasks.fail)).named("second")
    task_finished.connect(enqueue)
    try:
        run_jobs(limit=10)
    finally:
        task_finished.disconnect(enqueue)

    second = flow.result.node("second").id
    assert seen == [(second, second)]


def test_the_rows_are_read_only_if_somebody_hears_the_signal(
    django_assert_num_queries: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("ERROR", "django.tasks")
    monkeypatch.setattr(task_finished, "receivers", [])  # those of other tests
    with workflow("flow") as flow:
        flow.add(tasks.double, 1)
    ended = [EndedJob(flow.result.id, int(JobState.SKIPPED))]

    with django_assert_num_queries(0):
        announce_ended(ended, "default")


def test_a_job_that_was_retried_meanwhile_is_left_out(finished: list[Any]) -> None:
    with workflow("flow") as flow:
        flow.add(tasks.double, 1)

    announce_ended([EndedJob(flow.result.id, int(JobState.SUCCESSFUL))], "default")

    assert finished == []
