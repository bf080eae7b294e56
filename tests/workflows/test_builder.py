"""What the builder of workflows refuses, and what it says then."""

from __future__ import annotations

import asyncio
from collections import UserList
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.test import override_settings

from offload import InvalidArguments, InvalidWorkflow, chain, group, workflow
from offload.models import Job
from offload.workflows.builder import Workflow
from tests.workflows import tasks

pytestmark = pytest.mark.django_db


def build(add: Callable[[Workflow], Any]) -> None:
    with workflow("test") as flow:
        add(flow)


def cycle(flow: Workflow) -> None:
    first = flow.add(tasks.fetch, "x")
    second = flow.add(tasks.echo, first)
    first.after(second)


def long_cycle(flow: Workflow) -> None:
    first = flow.add(tasks.echo)
    last = flow.add(tasks.total, flow.map(tasks.double, [flow.add(tasks.echo).after(first)]))
    first.after(last)


def after_itself(flow: Workflow) -> None:
    node = flow.add(tasks.fetch, "x")
    node.after(node)


def same_name(flow: Workflow) -> None:
    flow.add(tasks.fetch, "x").named("fetch")
    flow.add(tasks.fetch, "y").named("fetch")


def two_conditions(flow: Workflow) -> None:
    first = flow.add(tasks.fetch, "x")
    flow.add(tasks.echo).after(first, when="ended").after(when="failed")


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (cycle, r"cannot wait for <Node tests\.workflows\.tasks\.echo>, which waits for it"),
        (long_cycle, r"cannot wait for <Node tests\.workflows\.tasks\.total>, which waits for it"),
        (after_itself, "cannot wait for itself"),
        (same_name, "has the name 'fetch' already"),
        (two_conditions, "has when='ended' already"),
        (lambda flow: None, "has no nodes"),
        (lambda flow: flow.add(tasks.echo).after(when="failed"), "waits for no other node"),
    ],
)
def test_nodes_that_do_not_fit_together(add: Callable[[Workflow], Any], message: str) -> None:
    with pytest.raises(InvalidWorkflow, match=message):
        build(add)
    assert not Job.objects.exists()


async def coroutine() -> None: ...


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (lambda: tasks.fetch.func, "decorator @task missing"),
        (coroutine, "without a call"),
        (lambda: tasks.fetch.enqueue("x"), "enqueued already"),
        (lambda: "fetch", "needs a task, not 'fetch'"),
        (lambda: None, "needs a task, not None"),
    ],
)
def test_something_else_than_a_task(value: Callable[[], Any], hint: str) -> None:
    with pytest.raises(TypeError, match=hint), workflow("test") as flow:
        flow.add(value())


def test_a_node_in_the_place_of_a_task() -> None:
    with pytest.raises(TypeError, match="after the task, as an argument"):
        build(lambda flow: flow.add(flow.add(tasks.fetch, "x")))


@pytest.mark.parametrize(
    ("add", "error", "message"),
    [
        (lambda flow: flow.add(tasks.fetch), TypeError, "missing 1 required positional"),
        (lambda flow: flow.add(tasks.fetch, "x", "y"), TypeError, "takes 1 positional"),
        (lambda flow: flow.add(tasks.echo, {1, 2}), TypeError, "as a list"),
        (lambda flow: flow.add(tasks.echo, float("nan")), InvalidArguments, "nan"),
        (lambda flow: flow.add(tasks.echo, {"offload:result": 1}), InvalidArguments, "another key"),
        (
            lambda flow: flow.add(tasks.echo, UserList([{b"offload:results": 1}])),
            InvalidArguments,
            "stand for the result",
        ),
        (lambda flow: flow.map(tasks.double, "abc"), TypeError, "list of items"),
        (lambda flow: flow.map(tasks.double, 3), TypeError, "list of items, not 3"),
        (lambda flow: flow.map(tasks.double, [1]).at_once(0), ValueError, "whole number from 1"),
        (lambda flow: flow.add(tasks.echo).after(), TypeError, "needs the nodes"),
        (lambda flow: flow.add(tasks.echo).after("fetch"), TypeError, "takes nodes"),
        (lambda flow: flow.add(tasks.echo).after(when="success"), ValueError, "'succeeded'"),
        (lambda flow: flow.add(tasks.echo).named(""), ValueError, "1 to 100"),
        (lambda flow: flow.add(tasks.echo).named(1), TypeError, "must be text"),
        (lambda flow: flow.returns("x"), TypeError, "returns.. takes nodes"),
    ],
)
def test_arguments_that_cannot_be_used(
    add: Callable[[Workflow], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build(add)


def test_a_node_of_another_workflow() -> None:
    with workflow("first") as first:
        node = first.add(tasks.fetch, "x")
    for add in (
        lambda flow: flow.add(tasks.echo, [node]),
        lambda flow: flow.add(tasks.echo).after(node),
        lambda flow: flow.returns(node),
    ):
        with pytest.raises(InvalidWorkflow, match="belongs to another workflow"):
            build(add)


def test_a_workflow_is_used_before_and_after_its_block() -> None:
    flow = workflow("test")
    with pytest.raises(InvalidWorkflow, match='with workflow\\("test"\\) as flow'):
        flow.add(tasks.fetch, "x")
    with flow:
        node = flow.add(tasks.fetch, "x")
        with pytest.raises(InvalidWorkflow, match="after the `with` block"):
            _ = flow.result
    for use in (lambda: flow.add(tasks.fetch, "x"), lambda: node.named("x"), node.after):
        with pytest.raises(InvalidWorkflow, match="after it has been enqueued"):
            use()


def test_one_block_for_each_workflow() -> None:
    with workflow("test") as flow:
        flow.add(tasks.fetch, "x")
        with pytest.raises(InvalidWorkflow, match="entered twice"), flow:
            pass


def test_workflows_in_each_others_blocks_are_independent() -> None:
    with workflow("outer") as outer:
        outer.add(tasks.fetch, "x")
        with workflow("inner") as inner:
            inner.add(tasks.fetch, "y")
    assert outer.result.id != inner.result.id


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb"])
def test_the_name_of_a_workflow_is_printable(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 100 printable"):
        workflow(name)


def test_chains_and_groups_need_tasks() -> None:
    with pytest.raises(TypeError, match=r"chain\(\) needs tasks"):
        chain()
    with pytest.raises(InvalidWorkflow, match="got no tasks"):
        group(tasks.fetch.partial(url) for url in ())
    with pytest.raises(TypeError, match=r"chain\(\) needs tasks, task.partial"):
        chain(tasks.fetch, "x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="to a task only"):
        chain(tasks.fetch).then(chain(tasks.echo), 1)


def test_a_coroutine_is_told_to_use_async_with() -> None:
    async def build() -> None:
        with workflow("test") as flow:
            flow.add(tasks.fetch, "x")

    with pytest.raises(SynchronousOnlyOperation, match="async with"):
        asyncio.run(build())


@override_settings(
    TASKS={"default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend", "QUEUES": []}}
)
def test_a_backend_of_django_has_no_workflows() -> None:
    with pytest.raises(InvalidWorkflow, match=r"DummyBackend\. Set its BACKEND"):
        build(lambda flow: flow.add(tasks.fetch, "x"))


@pytest.mark.django_db(transaction=True)
def test_a_coroutine_builds_a_workflow() -> None:
    async def build() -> str:
        async with workflow("test") as flow:
            flow.add(tasks.fetch, "x")
        await chain(tasks.fetch.partial("x"), tasks.echo).aenqueue()
        return flow.result.id

    assert Job.objects.filter(workflow=asyncio.run(build())).count() == 1


def test_a_unique_task_is_refused() -> None:
    with pytest.raises(InvalidWorkflow, match="as its jobs are unique"):
        build(lambda flow: flow.add(tasks.one_of_each, 1))
