"""Workflows that run, in the order and with the results that their nodes ask for."""

from __future__ import annotations

from typing import Any

import pytest

from offload import (
    InvalidWorkflow,
    JobState,
    WorkflowResult,
    chain,
    current_workflow,
    group,
    workflow,
)
from offload.exceptions import InvalidJobState
from offload.testing import immediate, recording, run_jobs
from offload.workflows import joints
from tests.workflows import tasks

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["database", "recording", "immediate"])
def run(request: pytest.FixtureRequest) -> Any:
    """Run what was enqueued, in each backend that a test may use."""

    def finish(result: WorkflowResult[Any]) -> WorkflowResult[Any]:
        run_jobs()
        result.refresh()
        return result

    match request.param:
        case "recording":
            with recording():
                yield finish
        case "immediate":
            with immediate():
                yield finish
        case _:
            yield finish


def value_of(result: WorkflowResult[Any]) -> Any:
    assert result.state == JobState.SUCCESSFUL, result.errors
    return result.return_value


def test_results_are_passed_on(run):
    with workflow("sum") as flow:
        doubled = flow.map(tasks.double, [1, 2, 3], plus=1).at_once(2)
        adoubled = flow.map(tasks.adouble, doubled)
        flow.returns(flow.add(tasks.echo, adoubled, {"first": doubled[0]}, rest=[adoubled[1]]))
    assert value_of(run(flow.result)) == [[[6, 10, 14], {"first": 3}], {"rest": [10]}]


def test_a_chain_of_groups(run):
    result = chain(
        group(chain(tasks.double, tasks.double), tasks.double), tasks.total.partial(title="all")
    ).enqueue(3)
    assert value_of(run(result)) == "all: 18"


def test_a_group_then_a_task(run):
    result = group(tasks.double.partial(n) for n in range(3)).then(tasks.total).enqueue()
    assert value_of(run(result)) == 6


def test_a_group_returns_a_list(run):
    assert value_of(run(group(tasks.double, tasks.adouble).enqueue(2))) == [4, 4]


def test_tasks_of_django_are_nodes(run):
    result = chain(tasks.plain, tasks.echo).enqueue("x")
    assert value_of(run(result)) == [[["x"]], {}]


def test_a_workflow_without_nodes_has_a_result(run):
    with workflow("nothing") as flow:
        flow.returns(flow.map(tasks.double, []))
    assert value_of(run(flow.result)) == []


def test_results_pass_through_joints(run, monkeypatch):
    monkeypatch.setattr(joints, "MAX_DIRECT", 3)
    with workflow("layers") as flow:
        first = flow.map(tasks.double, [1, 2])
        second = [flow.add(tasks.total, first), flow.add(tasks.total, first)]
        flow.returns(flow.add(tasks.echo, second))
    result = run(flow.result)
    assert value_of(result) == [[[6, 6]], {}]
    assert len(result.nodes()) == 5


def test_the_parts_and_the_progress_of_the_whole(run):
    with workflow("parts") as flow:
        flow.map(tasks.double, [1, 2]).named("doubles")
        flow.add(tasks.fetch, "x")
    result = run(flow.result)
    assert result.parts == {JobState.SUCCESSFUL: 3}
    assert (result.progress.done, result.progress.total) == (3, 3)
    assert [part.task.name for part in result.nodes()] == ["double", "double", "fetch"]
    assert result.node("doubles[1]").return_value == 4
    assert result.node("fetch").return_value == "page of x"
    with pytest.raises(KeyError, match="has 2 parts of the task 'double'"):
        result.node("double")
    with pytest.raises(KeyError, match=r"has no part 'fetsch'\. Did you mean 'fetch'"):
        result.node("fetsch")


def test_what_follows_a_failure(run):
    with workflow("order") as flow:
        pay = flow.add(tasks.fail)
        send = flow.add(tasks.echo, "send").after(pay)
        flow.add(tasks.echo, "pack").after(send)
        flow.add(tasks.echo, "refund", pay).after(when="failed").named("refund")
        flow.add(tasks.echo, "tidy", [pay]).after(send, when="ended").named("tidy")
    result = run(flow.result)
    assert result.state == JobState.FAILED
    states = [part.state for part in result.nodes()]
    assert states == [
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.CANCELLED,
        JobState.SUCCESSFUL,
        JobState.SUCCESSFUL,
    ]
    assert result.node("refund").return_value == [["refund", None], {}]
    assert result.node("tidy").return_value == [["tidy", [None]], {}]
    assert [part.task.name for part in result.failures()] == ["fail"]
    (error,) = result.errors
    assert error.exception_class_path == "offload.exceptions.PartsFailed"
    assert "1 of 5 parts failed: fail (ValueError: no)." in error.traceback


def test_what_follows_a_success(run):
    with workflow("order") as flow:
        pay = flow.add(tasks.echo)
        refund = flow.add(tasks.echo, "refund").after(pay, when="failed").named("refund")
        report = flow.add(tasks.echo).after(refund).named("after refund")
        flow.add(tasks.echo).after(report, when="ended").named("tidy")
    result = run(flow.result)
    assert result.state == JobState.SUCCESSFUL
    assert result.node("refund").state == JobState.SKIPPED
    assert result.node("after refund").state == JobState.SKIPPED
    assert result.node("tidy").state == JobState.SUCCESSFUL


def test_a_tolerant_workflow_succeeds_if_failures_are_dealt_with(run):
    with workflow("tolerant", tolerant=True) as flow:
        first = flow.add(tasks.fail)
        flow.returns(flow.add(tasks.echo, first).after(when="ended"))
    assert value_of(run(flow.result)) == [[None], {}]


def test_a_tolerant_workflow_fails_for_a_failure_that_nothing_follows(run):
    with workflow("tolerant", tolerant=True) as flow:
        flow.add(tasks.fail)
    assert run(flow.result).state == JobState.FAILED


def test_a_limit_holds_within_a_workflow(run):
    with workflow("limits") as flow:
        flow.returns(flow.map(tasks.two_at_once, range(5)))
    assert value_of(run(flow.result)) == [0, 1, 2, 3, 4]


def test_a_retry_runs_only_what_did_not_succeed(run, tmp_path):
    switch = tmp_path / "switch"
    with workflow("retry") as flow:
        first = flow.add(tasks.count_run, str(tmp_path / "first"))
        second = flow.add(tasks.fail_unless, str(switch), first)
        flow.returns(flow.add(tasks.echo, second))
    result = run(flow.result)
    assert result.state == JobState.FAILED
    switch.touch()
    result.retry()
    assert value_of(run(result)) == [["on"], {}]
    assert result.node("count_run").return_value == 1
    with pytest.raises(InvalidJobState):
        result.retry()


def test_a_workflow_is_cancelled_as_a_whole():
    with workflow("cancel") as flow:
        first = flow.add(tasks.fetch, "x")
        flow.add(tasks.echo).after(first, when="ended")
    flow.result.cancel()
    run_jobs()
    flow.result.refresh()
    assert flow.result.state == JobState.CANCELLED
    assert flow.result.parts == {JobState.CANCELLED: 2}


def test_a_recorded_workflow_is_cancelled_as_a_whole():
    with recording():
        with workflow("cancel") as flow:
            first = flow.add(tasks.fetch, "x")
            flow.add(tasks.echo).after(first, when="ended")
        flow.result.cancel()
        assert flow.result.state == JobState.CANCELLED
        assert flow.result.parts == {JobState.CANCELLED: 2}
        assert run_jobs() == []


def test_raise_errors_raises_what_a_part_raised():
    with immediate(raise_errors=True), pytest.raises(ValueError, match="no"):
        chain(tasks.fail, tasks.echo).enqueue()


def test_run_jobs_returns_the_parts_in_their_order():
    result = chain(tasks.fetch.partial("x"), tasks.echo).enqueue()
    assert [job.task.name for job in run_jobs()] == ["fetch", "echo"]
    result.refresh()
    assert result.is_finished


def test_a_node_sees_its_workflow(run, monkeypatch):
    monkeypatch.setattr(joints, "MAX_DIRECT", 3)
    with workflow("look", tolerant=True) as flow:
        doubled = flow.map(tasks.double, [1, 2])
        first = flow.add(tasks.fetch, "x").named("first")
        broken = flow.add(tasks.fail).named("broken")
        flow.add(tasks.total, doubled).after(when="ended")
        flow.returns(flow.add(tasks.look_around).after(doubled, first, broken, when="ended"))
    assert value_of(run(flow.result)) == {
        "name": "look",
        "first": "page of x",
        "broken": None,
        "failures": ["fail"],
        "results": ["page of x", None, 2, 4],
    }


def test_a_job_without_a_workflow_has_no_current_one(run):
    with pytest.raises(InvalidWorkflow, match="outside a running task"):
        current_workflow()
    result = tasks.look_around.enqueue()
    run_jobs()
    result.refresh()
    assert "no part of a workflow" in result.errors[0].traceback
