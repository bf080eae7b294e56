"""Nodes that a running node adds to its workflow."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from offload import JobState, chain, workflow
from offload.models import LimitKey
from tests.workflows import tasks
from tests.workflows.test_runs import run, value_of  # noqa: F401  # a fixture

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("task", [tasks.add_pages, tasks.aadd_pages])
def test_what_waits_for_a_node_gets_the_results_of_those_that_it_adds(run: Any, task: Any) -> None:  # noqa: F811
    result = chain(task.partial(["a", "bbb"]), tasks.echo).enqueue()

    expected: Any = [2, 6] if task is tasks.aadd_pages else {"pages": [2, 6]}
    assert value_of(run(result)) == [[expected], {}]
    assert result.progress.total == 4


def test_nodes_can_be_added_again_and_again(run: Any) -> None:  # noqa: F811
    assert value_of(run(chain(tasks.add_nested, tasks.plain).enqueue(3))) == [0]


def test_a_node_that_adds_none_returns_its_value(run: Any) -> None:  # noqa: F811
    result = chain(tasks.aadd_pages.partial([]), tasks.plain).enqueue()
    assert value_of(run(result)) == [[]]


def test_a_node_that_fails_adds_nothing(run: Any) -> None:  # noqa: F811
    with workflow("x") as flow:
        flow.add(tasks.add_and_fail)
    result = run(flow.result)
    assert result.state == JobState.FAILED
    assert result.parts == {JobState.FAILED: 1}


@pytest.mark.parametrize("task", [tasks.cancel_and_add, tasks.acancel_and_add])
def test_a_node_that_cannot_add_nodes_to_a_cancelled_workflow_is_cancelled(
    run: Any,  # noqa: F811
    task: Any,
) -> None:
    with workflow("x") as flow:
        flow.returns(flow.add(task))
    result = run(flow.result)
    assert result.state == JobState.CANCELLED
    assert result.parts == {JobState.CANCELLED: 1}


def test_the_result_of_a_node_is_made_of_those_that_it_has_added(run: Any) -> None:  # noqa: F811
    with workflow("x") as flow:
        pages = flow.add(tasks.add_pages, ["a", "bbb"]).named("pages")
        flow.returns(flow.add(tasks.result_of, "pages", pages))
    result = run(flow.result)
    assert value_of(result) == {"pages": [2, 6]}
    assert result.node("pages").return_value == {"pages": [2, 6]}


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (tasks.name_added, "cannot have the name 'x'"),
        (tasks.add_too_many, "can add at most 10,000 nodes to its workflow, not 10,001"),
    ],
)
def test_what_cannot_be_added_fails_the_node(run: Any, task: Any, message: str) -> None:  # noqa: F811
    with workflow("x") as flow:
        flow.add(task)
    (failure,) = run(flow.result).failures()
    assert message in failure.errors[0].traceback


def test_added_nodes_run_a_few_at_once(run: Any) -> None:  # noqa: F811
    with workflow("x") as flow:
        flow.returns(flow.add(tasks.add_pages, ["a", "bb", "ccc"], width=2))
    assert value_of(run(flow.result)) == {"pages": [2, 4, 6]}
    if LimitKey.objects.exists():
        assert LimitKey.objects.get().name == "at_once/2"
    assert connection.is_usable()
