"""What `offload_jobs` says about workflows and their parts."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.tasks.signals import task_enqueued

from offload import InvalidJobState, JobState, WorkflowResult, workflow
from offload.models import Job
from offload.testing import run_jobs
from tests.workflows import tasks

pytestmark = pytest.mark.django_db


def run_command(*args: str) -> str:
    output = StringIO()
    call_command("offload_jobs", *args, stdout=output)
    return output.getvalue().strip()


def start(width: int = 2) -> WorkflowResult[int]:
    with workflow("Monthly import") as flow:
        flow.add(tasks.total, flow.map(tasks.double, range(width)))
    return flow.result


def test_a_workflow_shows_its_name_and_counts_its_parts():
    shown = run_command("show", start().id)

    assert "name:               Monthly import" in shown
    assert "parts:              1 blocked, 2 ready" in shown


def test_a_part_names_its_workflow_and_what_it_waits_for():
    result = start()
    first, second, part = Job.objects.filter(workflow=result.id).order_by("pk")

    shown = run_command("show", str(part.pk))

    assert f"part of workflow:   {result.id}" in shown
    others = f"double {first.pk.hex[-8:]} (ready), double {second.pk.hex[-8:]} (ready)"
    assert f"waits for:          2 of 2 others: {others}\n" in shown


def test_only_the_first_others_are_named():
    part = Job.objects.filter(workflow=start(9).id).order_by("pk").last()
    assert part is not None

    shown = run_command("show", str(part.pk))

    assert "waits for:          9 of 9 others: double" in shown
    assert "(ready), ..." in shown


def test_a_job_without_a_workflow_has_no_such_lines():
    shown = run_command("show", tasks.fetch.enqueue("x").id)

    assert "of workflow" not in shown
    assert "parts:" not in shown


def test_the_parts_of_a_workflow_are_listed_in_their_order():
    other, result = start(), start()

    listed = json.loads(run_command("list", "--workflow", result.id, "--json"))

    assert [job["task"].rpartition(".")[2] for job in listed] == ["double", "double", "total"]
    assert {job["workflow"] for job in listed} == {result.id}
    assert [job["waiting_on"] for job in listed] == [0, 0, 2]
    assert other.id not in str(listed)


def test_failed_workflows_are_retried_with_their_parts():
    with workflow("Two") as flow:
        flow.add(tasks.fail)
        flow.add(tasks.fail)
    run_jobs()

    assert run_command("retry", "--state", "failed", "--yes") == "1 retried."

    assert set(Job.objects.values_list("state", flat=True)) == {JobState.BLOCKED, JobState.READY}


def test_several_parts_of_one_workflow_are_retried_together():
    with workflow("Three") as flow:
        broken = flow.map(tasks.fail, [1, 2])
        flow.add(tasks.total, broken)
        flow.add(tasks.double, flow.add(tasks.give, "x")).named("other")
    run_jobs()
    flow.result.refresh()
    other = flow.result.node("other")
    assert flow.result.state == other.state == JobState.FAILED

    assert run_command("retry", "--task", "fail", "--yes") == "2 retried."

    assert flow.result.parts == {
        JobState.READY: 2,
        JobState.BLOCKED: 1,
        JobState.SUCCESSFUL: 1,
        JobState.FAILED: 1,
    }
    assert Job.objects.get(pk=flow.result.id).waiting_on == 3


def test_parts_of_several_workflows_and_other_jobs_are_retried_at_once():
    flows = []
    for _ in range(2):
        with workflow("Two") as flow:
            flow.map(tasks.fail, [1, 2])
        flows.append(flow)
    alone = tasks.fail.enqueue()
    run_jobs()
    parts = [part.id for flow in flows for part in flow.result.nodes()]

    assert run_command("retry", alone.id, *parts) == "5 retried."

    assert [flow.result.state for flow in flows] == [JobState.BLOCKED] * 2
    assert set(Job.objects.filter(awaited=0).values_list("state", flat=True)) == {JobState.READY}


def test_each_part_that_is_retried_with_others_sends_its_signal(
    django_capture_on_commit_callbacks: Any,
) -> None:
    with workflow("Two") as flow:
        flow.map(tasks.fail, [1, 2])
    run_jobs()
    sent: list[str] = []

    def note(task_result: Any, **_: Any) -> None:
        sent.append(task_result.id)

    task_enqueued.connect(note)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            run_command("retry", "--task", "fail", "--yes")
    finally:
        task_enqueued.disconnect(note)

    assert sorted(sent) == sorted(part.id for part in flow.result.nodes())


def test_parts_that_succeeded_are_refused_though_others_are_retried():
    with workflow("Two") as flow:
        flow.map(tasks.fail, [1, 2])
        flow.add(tasks.fetch, "x")
    run_jobs()

    with pytest.raises(CommandError, match="is successful; it cannot be retried"):
        run_command("retry", *(part.id for part in flow.result.nodes()))

    assert flow.result.parts == {JobState.READY: 2, JobState.SUCCESSFUL: 1}


def test_a_part_is_not_retried_before_its_workflow_has_ended():
    with workflow("Two") as flow:
        flow.add(tasks.fail)
        flow.add(tasks.fetch.using(run_after=timedelta(hours=1)), "x")
    run_jobs()

    (failed,) = flow.result.failures()
    with pytest.raises(CommandError, match="cannot be retried before its workflow has ended"):
        run_command("retry", failed.id)
    with pytest.raises(InvalidJobState, match="cannot be retried before its workflow has ended"):
        failed.retry()


def test_blocked_jobs_are_listed():
    result = start()

    listed = json.loads(run_command("list", "--state", "blocked", "--json"))

    assert [job["title"] for job in listed] == ["Total", "Monthly import"]
    assert listed[1]["id"] == result.id
