"""Workers run workflows: each part with the results of those before it, also when some fail."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone

from offload.lifecycle import JobState, succeeded
from offload.models import Job
from offload.store import get_store
from tests import adding_tasks, tasks
from tests.jobs import NO_CLAIM, claim, register_worker
from tests.worker import tasks as worker_tasks
from tests.worker.conftest import RunningWorker, StartWorker, until
from tests.worker.job_runs import run
from tests.workflow_rows import E, Flow, S
from tests.workflows import tasks as workflow_tasks

ONE, BOTH = '{"offload:result": 1}', '{"offload:results": 2}'


def wait_for_end(flow: Flow) -> JobState:
    until(lambda: flow.state.is_finished)
    return flow.state


def test_parts_get_the_results_of_those_before_them(worker: RunningWorker) -> None:
    flow = Flow(
        {"a": ((), S), "b": ((), S), "sum": ((), S), "all": ((), S)}
        | {"sum": (("a", "b"), S), "all": (("sum",), S)},
        arguments={
            "a": "[[1, 1], {}]",
            "b": "[[20, 3], {}]",
            "sum": f'[[{ONE}], {{"b": {ONE.replace("1", "3")}}}]',
            "all": f"[[{BOTH}], {{}}]",
        },
        tasks={"all": tasks.plain},
        returns={"offload:result": -1},
        dependencies=[
            *[("sum", "a", 1, 0), ("sum", "b", 3, 0)],
            *[("all", "b", 2, 0), ("all", "sum", 2, 1), ("", "all", -1, 0)],
        ],
    )

    assert wait_for_end(flow) == JobState.SUCCESSFUL
    assert flow.row("sum").return_value == "25"
    assert flow.row("all").return_value == flow.row().return_value


def test_async_and_atomic_parts_get_results_too(worker: RunningWorker) -> None:
    flow = Flow(
        {"a": ((), S), "b": (("a",), S), "c": (("b",), S)},
        arguments={"b": f"[[{ONE}], {{}}]", "c": f"[[{ONE}], {{}}]"},
        tasks={"b": tasks.aadd, "c": worker_tasks.atomic_add},
        dependencies=[("b", "a", 1, 0), ("c", "b", 1, 0)],
    )

    assert wait_for_end(flow) == JobState.SUCCESSFUL
    assert flow.row("c").return_value == "4"


def test_a_workflow_ends_although_a_part_fails(worker: RunningWorker) -> None:
    graph = {"a": ((), S), "b": (("a",), S), "c": (("b",), S), "clean": (("c",), E)}
    flow = Flow(
        graph,
        tasks={"a": tasks.fail, "clean": tasks.plain},
        arguments={"a": '[["no"], {}]', "clean": f"[[{ONE}], {{}}]"},
        dependencies=[("clean", "c", 1, 0)],
    )

    assert wait_for_end(flow) == JobState.FAILED
    assert flow.states["b"] == flow.states["c"] == JobState.CANCELLED
    assert flow.row("clean").return_value == "null"


def test_a_workflow_is_cancelled_while_a_part_runs(
    start_worker: StartWorker, processes: int, gate: Path
) -> None:
    start_worker(processes)
    flow = Flow(
        {"a": ((), S), "b": (("a",), S)},
        tasks={"a": worker_tasks.hold},
        arguments={"a": f'[["{gate}"], {{}}]'},
    )
    until(lambda: flow.states["a"] == JobState.RUNNING)

    get_store("default").cancel(flow.id)

    assert wait_for_end(flow) == JobState.CANCELLED
    assert set(flow.states.values()) == {JobState.CANCELLED}


def test_a_cancelled_part_ends_what_waits_for_it(start_worker: StartWorker) -> None:
    start_worker(0)
    flow = Flow({"a": ((), S), "b": (("a",), S)})
    Job.objects.filter(pk=flow.ids["a"]).update(
        state=JobState.SCHEDULED, run_after=timezone.now() + timedelta(days=1)
    )

    get_store("default").cancel(flow.ids["a"])

    assert wait_for_end(flow) == JobState.FAILED


def test_a_part_waits_for_its_time(start_worker: StartWorker) -> None:
    flow = Flow({"a": ((), S), "b": (("a",), S)})
    in_a_moment = timezone.now() + timedelta(seconds=0.5)
    Job.objects.filter(pk=flow.ids["b"]).update(run_after=in_a_moment)
    start_worker(0)

    assert wait_for_end(flow) == JobState.SUCCESSFUL
    assert flow.row("b").started_at > in_a_moment


def test_a_drain_runs_workflows_to_their_end(start_worker: StartWorker) -> None:
    graph = {f"p{number}": ((f"p{number - 1}",) if number else (), S) for number in range(20)}
    flow, failing = Flow(graph), Flow(graph, tasks={"p0": tasks.fail}, arguments={"p0": "[[], {}]"})
    cancelled = Flow(graph)
    cancelled.store.cancel(cancelled.id)

    start_worker(0, drain=True).join()

    assert flow.state == JobState.SUCCESSFUL
    assert failing.state == JobState.FAILED
    assert cancelled.state == JobState.CANCELLED


def test_results_that_are_too_large_fail_the_part_that_takes_them(
    transactional_db: None, settings: Any
) -> None:
    settings.TASKS = {
        "default": {**settings.TASKS["default"], "OPTIONS": {"max_arguments_size": 1024}}
    }
    flow = Flow(
        {"a": ((), S), "b": ((), S)},
        arguments={"b": f"[[{ONE}], {{}}]"},
        dependencies=[("b", "a", 1, 0)],
    )
    worker = register_worker()
    finished = [(job, succeeded(f'"{"x" * 2000}"')) for job in claim(worker)]
    flow.store.exchange(worker, finished, NO_CLAIM)
    (job,) = claim(worker)

    outcome = run(job)

    assert outcome.state == JobState.FAILED
    assert outcome.failure is not None
    assert "are 2,002 bytes of JSON; at most 1,024 are allowed" in outcome.failure[1]


def test_a_part_cannot_wait_for_its_own_workflow(transactional_db: None) -> None:
    Flow({"a": ((), S)}, task=workflow_tasks.wait_for_whole, arguments={"a": "[[], {}]"})
    (job,) = claim(register_worker())

    outcome = run(job)

    assert outcome.failure is not None
    assert "which ends only after this job" in outcome.failure[1]


def test_a_part_runs_again_if_the_database_fails_while_it_reads_results(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(get_store("default"), "read_sources", fail)
    Flow(
        {"a": ((), S)},
        arguments={"a": f"[[{ONE}], {{}}]"},
    )
    (job,) = claim(register_worker())

    outcome = run(job)

    assert (outcome.state, outcome.counts) == (JobState.SCHEDULED, False)


@pytest.mark.parametrize("name", ["split", "asplit", "split_atomically"])
def test_a_part_adds_others_before_those_that_wait_for_it(worker: RunningWorker, name: str) -> None:
    flow = Flow(
        {"a": ((), S), "b": (("a",), S)},
        tasks={"a": getattr(adding_tasks, name), "b": tasks.plain},
        arguments={"a": '[[["x", "y"]], {}]', "b": f"[[{ONE}], {{}}]"},
        dependencies=[("b", "a", 1, 0)],
    )

    assert wait_for_end(flow) == JobState.SUCCESSFUL
    assert flow.row("b").return_value == '["x","y"]'
    assert flow.row().awaited == 4


def test_a_part_that_fails_adds_nothing(worker: RunningWorker) -> None:
    flow = Flow(
        {"a": ((), S)}, tasks={"a": adding_tasks.split_and_fail}, arguments={"a": '[[["x"]], {}]'}
    )

    assert wait_for_end(flow) == JobState.FAILED
    assert Job.objects.count() == 2
