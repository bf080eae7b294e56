"""`map` over the list that a node returns."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from offload import InvalidWorkflow, JobState, chain, group, workflow
from offload.models import Job
from offload.testing import run_jobs
from offload.workflows import current
from tests.workflows import tasks
from tests.workflows.test_runs import run, value_of  # noqa: F401  # a fixture

pytestmark = pytest.mark.django_db


def failure_of(result: Any) -> Any:
    """Return the only failure of a workflow: its class and its text."""
    (part,) = result.failures()
    return part.errors[0]


def test_it_makes_a_job_of_each_item(run: Any) -> None:  # noqa: F811
    with workflow("x") as flow:
        doubled = flow.map(tasks.double, flow.add(tasks.numbers, 3), plus=1)
        flow.returns(flow.add(tasks.total, doubled, title="sum"))
    result = run(flow.result)

    assert value_of(result) == "sum: 9"
    assert [part.args for part in result.nodes() if part.task.name == "double"] == [[0], [1], [2]]
    assert result.progress.done == result.progress.total == 6


def test_the_jobs_run_a_few_at_once() -> None:
    with workflow("x") as flow:
        flow.returns(flow.map(tasks.double, flow.add(tasks.numbers, 3)).at_once(2))
    assert value_of(run_it(flow)) == [0, 2, 4]
    keys = Job.objects.filter(task_path=tasks.double.module_path).values_list(
        "limit_key", flat=True
    )
    (key,) = set(keys)
    assert key.startswith("at_once/2:")


def run_it(flow: Any) -> Any:
    run_jobs()
    flow.result.refresh()
    return flow.result


def test_an_empty_list_makes_none(run: Any) -> None:  # noqa: F811
    with workflow("x") as flow:
        doubled = flow.map(tasks.double, flow.add(tasks.numbers, 0)).at_once(2)
        flow.returns(flow.add(tasks.plain, doubled))
    assert value_of(run(flow.result)) == [[]]


def test_maps_can_follow_each_other(run: Any) -> None:  # noqa: F811
    with workflow("x") as flow:
        first = flow.map(tasks.double, flow.add(tasks.numbers, 3))
        flow.returns(flow.map(tasks.adouble, first))
    assert value_of(run(flow.result)) == [0, 4, 8]


def test_further_arguments_may_be_results_too(run: Any) -> None:  # noqa: F811
    with workflow("x") as flow:
        page = flow.add(tasks.fetch, "x")
        flow.returns(flow.map(tasks.echo, flow.add(tasks.numbers, 2), pages=[page]))
    assert value_of(run(flow.result)) == [
        [[0], {"pages": ["page of x"]}],
        [[1], {"pages": ["page of x"]}],
    ]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (chain(tasks.double, tasks.double), [0, 4]),
        (chain(tasks.double, tasks.double.partial(plus=7)), [7, 11]),
        (group(tasks.double, chain(tasks.double, tasks.plain)), [[0, [0]], [2, [2]]]),
        (tasks.echo.partial("rest", key=1), None),
    ],
)
def test_it_takes_chains_groups_and_partials(run: Any, step: Any, expected: Any) -> None:  # noqa: F811
    with workflow("x") as flow:
        flow.returns(flow.map(step, flow.add(tasks.numbers, 2)))
    if expected is None:
        expected = [[[0, "rest"], {"key": 1}], [[1, "rest"], {"key": 1}]]
    assert value_of(run(flow.result)) == expected


def test_a_running_job_may_map_over_a_node_too(run: Any) -> None:  # noqa: F811
    with workflow("x") as flow:
        flow.returns(flow.add(tasks.add_map, 3))
    assert value_of(run(flow.result)) == [0, 2, 4]


def test_the_jobs_have_the_options_of_their_task() -> None:
    tomorrow = timedelta(days=1)
    task = tasks.configured.using(
        priority=3, max_attempts=5, timeout=timedelta(seconds=9), expires=90, run_after=tomorrow
    )
    with workflow("x") as flow:
        mapped = flow.map(task, flow.add(tasks.numbers, 1)).named("mapped")
        flow.add(tasks.echo).after(mapped, when="ended")
    run_it(flow)

    own = Job.objects.get(pk=flow.result.node("mapped").id)
    assert (own.queue_name, own.priority, own.state) == ("slow", 3, JobState.SUCCESSFUL)
    (job,) = Job.objects.filter(task_path=tasks.configured.module_path)
    assert (job.queue_name, job.priority, job.max_attempts, job.timeout) == ("slow", 3, 5, 9.0)
    assert job.state == JobState.SCHEDULED
    assert timedelta(hours=23) < job.run_after - timezone.now() <= tomorrow
    assert job.expires_at == job.run_after + timedelta(seconds=90)


def test_the_task_of_the_jobs_decides_who_sees_the_result() -> None:
    with workflow("x") as flow:
        flow.returns(flow.map(tasks.shown, flow.add(tasks.numbers, 1)))
    assert tasks.shown.module_path in Job.objects.get(pk=flow.result.id).arguments


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("text", "needs a list of items, but tests.workflows.tasks.give returned 'text'."),
        ({"a": 1}, "tests.workflows.tasks.give returned {'a': 1}."),
        (None, "tests.workflows.tasks.give returned None."),
        (7, "tests.workflows.tasks.give returned 7."),
    ],
)
def test_what_is_no_list_fails_the_map(run: Any, value: Any, message: str) -> None:  # noqa: F811
    with workflow("x") as flow:
        flow.map(tasks.double, flow.add(tasks.give, value))
    error = failure_of(run(flow.result))
    assert error.exception_class_path == "offload.exceptions.InvalidWorkflow"
    assert message in error.traceback


def test_too_many_items_fail_the_map(run: Any, monkeypatch: Any) -> None:  # noqa: F811
    monkeypatch.setattr(current, "MAX_ADDED", 3)
    with workflow("x") as flow:
        flow.map(tasks.double, flow.add(tasks.numbers, 4))
    error = failure_of(run(flow.result))
    assert "at most 3 jobs of one result, but tests.workflows.tasks.numbers returned 4" in str(
        error.traceback
    )


def test_a_failed_map_is_tried_once_only(run: Any) -> None:  # noqa: F811
    with workflow("x") as flow:
        flow.map(tasks.double, flow.add(tasks.give, 1)).named("map")
    assert run(flow.result).node("map").attempts == 1


def test_the_key_of_a_limit_can_be_made_of_an_item(run: Any) -> None:  # noqa: F811
    with workflow("x") as flow:
        flow.returns(flow.map(tasks.call_api, flow.add(tasks.numbers, 2), path="x"))
    assert value_of(run(flow.result)) == ["0 x", "1 x"]


def test_an_item_of_which_no_key_can_be_made_fails_the_map(run: Any) -> None:  # noqa: F811
    with workflow("x") as flow:
        flow.map(tasks.keyed_by_name, flow.add(tasks.give, [{"name": "a"}, {}]))
    result = run(flow.result)
    assert result.state == JobState.FAILED
    assert result.parts == {JobState.SUCCESSFUL: 1, JobState.FAILED: 1}
    assert "keyed_by_name" in failure_of(result).traceback


def test_what_waits_for_a_map_of_a_failed_node_is_cancelled(run: Any) -> None:  # noqa: F811
    with workflow("x") as flow:
        flow.add(tasks.total, flow.map(tasks.double, flow.add(tasks.fail)))
    result = run(flow.result)
    assert result.parts == {JobState.FAILED: 1, JobState.CANCELLED: 2}


@pytest.mark.parametrize(
    ("add", "error", "message"),
    [
        (lambda flow, node: flow.map(tasks.one_of_each, node), InvalidWorkflow, "are unique"),
        (lambda flow, node: flow.map(tasks.double, node, nonsense=1), TypeError, "nonsense"),
        (lambda flow, node: flow.map(tasks.double, node, plus={1}), TypeError, "set"),
        (lambda flow, node: flow.map("double", node), TypeError, "needs a task"),
        (lambda flow, node: flow.map(tasks.double, node).at_once(0), ValueError, "from 1"),
        (
            lambda flow, node: flow.map(tasks.double, node).at_once(1).at_once(2),
            InvalidWorkflow,
            "has at_once(1) already",
        ),
        (
            lambda flow, node: flow.map(tasks.two_at_once, node).at_once(1),
            InvalidWorkflow,
            "has a limit already",
        ),
    ],
)
def test_mistakes_are_errors_where_the_node_is_added(
    add: Any, error: type[Exception], message: str
) -> None:
    with workflow("x") as flow:
        node = flow.add(tasks.numbers, 1)
        with pytest.raises(error, match=message.replace("(", r"\(").replace(")", r"\)")):
            add(flow, node)
        nodes = list(flow.nodes)
    assert len(nodes) <= 2  # what was tried is no part of the workflow


def test_a_node_of_another_workflow_is_refused() -> None:
    with workflow("x") as flow:
        node = flow.add(tasks.numbers, 1)
    with workflow("y") as other:
        with pytest.raises(InvalidWorkflow, match="belongs to another workflow"):
            other.map(tasks.double, node)
        other.add(tasks.numbers, 1)


def test_a_retry_of_the_workflow_makes_each_job_once(run: Any, tmp_path: Any) -> None:  # noqa: F811
    gate = tmp_path / "gate"
    with workflow("x") as flow:
        mapped = flow.map(tasks.double, flow.add(tasks.numbers, 2))
        flow.returns(flow.add(tasks.fail_unless, str(gate), mapped))
    result = run(flow.result)
    assert result.state == JobState.FAILED

    gate.touch()
    result.retry()
    result = run(result)

    assert result.state == JobState.SUCCESSFUL
    assert result.parts == {JobState.SUCCESSFUL: 5}
