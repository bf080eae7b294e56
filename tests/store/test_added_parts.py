"""Parts that a running part adds to its workflow."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from offload.exceptions import InvalidWorkflow, JobCancelled
from offload.lifecycle import JobState, failed, succeeded
from offload.models import Job
from offload.store.records import ClaimedJob
from tests.adding_tasks import NamedParts
from tests.jobs import FAILURE, NO_CLAIM, claim, register_worker
from tests.workflow_rows import E, F, Flow, S

pytestmark = pytest.mark.django_db

CANCELLED, SUCCESSFUL = JobState.CANCELLED, JobState.SUCCESSFUL
BEFORE_B = {"a": ((), S), "b": (("a",), S)}


def add(flow: Flow, graph: Any, job: ClaimedJob | None = None) -> NamedParts:
    """Finish the one running part, which adds others."""
    if job is None:
        (job,) = claim(register_worker())
    added = NamedParts(job.id, graph)
    with transaction.atomic():
        assert (
            flow.store.finish([(job, succeeded('{"offload:results": -1}'))], added.new).refused
            == []
        )
    flow.ids |= {name: Job.objects.get(pk=pk).pk for name, pk in added.ids.items()}
    flow.names |= {pk: name for name, pk in added.ids.items()}
    return added


def test_what_waits_for_the_part_waits_for_all_that_it_adds() -> None:
    flow = Flow(BEFORE_B)
    add(flow, {"x": ((), S), "y": (("x",), S)})

    assert flow.states == {
        "": JobState.BLOCKED,
        "a": SUCCESSFUL,
        "b": JobState.BLOCKED,
        "x": JobState.READY,
        "y": JobState.BLOCKED,
    }
    assert (flow.row("b").waiting_on, flow.row("b").awaited) == (2, 3)
    assert (flow.row().waiting_on, flow.row().awaited) == (3, 4)
    assert flow.run() == ["x", "y", "b"]
    assert flow.state == SUCCESSFUL


def test_added_parts_can_add_parts() -> None:
    flow = Flow(BEFORE_B)
    add(flow, {"x": ((), S)})
    add(flow, {"y": ((), S)})
    add(flow, {"z": ((), S)})

    assert flow.states["b"] == JobState.BLOCKED
    assert flow.run() == ["z", "b"]
    assert flow.row().awaited == 5


def test_the_last_part_can_add_parts() -> None:
    flow = Flow({"a": ((), S)})
    add(flow, {"x": ((), S)})

    assert flow.state == JobState.BLOCKED
    assert flow.run() == ["x"]
    assert flow.state == SUCCESSFUL


def test_a_part_hands_its_result_over_to_those_that_it_adds() -> None:
    flow = Flow(
        BEFORE_B,
        returns={"offload:result": -1},
        dependencies=[("b", "a", 1, 0), ("", "a", -1, 0)],
    )
    add(flow, {"x": ((), S), "y": ((), S)})

    flow.run()

    value = flow.store.fill_in(
        flow.store.key(flow.ids["b"]), {"offload:result": 1}, max_size=99, of_arguments=True
    )
    assert value == ["x", "y"]
    assert flow.row().return_value == '["x","y"]'


def test_a_failed_part_that_was_added_is_one_before_those_that_wait() -> None:
    flow = Flow({**BEFORE_B, "clean": (("a",), E), "refund": (("a",), F)})
    add(flow, {"x": ((), S)})

    assert set(flow.run(x=JobState.FAILED)) == {"x", "clean", "refund"}
    assert flow.states["b"] == CANCELLED
    assert flow.state == JobState.FAILED


def test_a_skipped_part_that_was_added_lets_those_run_that_wait() -> None:
    flow = Flow(BEFORE_B)
    add(flow, {"x": ((), S), "only_if_x_fails": (("x",), F)})

    assert flow.run() == ["x", "b"]
    assert flow.states["only_if_x_fails"] == JobState.SKIPPED


def test_nothing_is_added_by_an_outcome_that_is_refused() -> None:
    flow = Flow(BEFORE_B)
    (job,) = claim(register_worker())
    late = job._replace(fence=0)
    added = NamedParts(job.id, {"x": ((), S)})

    with transaction.atomic():
        assert flow.store.finish([(late, succeeded("1"))], added.new).refused == [late]

    assert Job.objects.count() == 3


def test_a_part_cannot_succeed_if_its_parts_cannot_be_added_as_the_workflow_is_cancelled() -> None:
    flow = Flow(BEFORE_B)
    (job,) = claim(register_worker())
    flow.store.cancel(flow.id)
    added = NamedParts(job.id, {"x": ((), S)})

    with pytest.raises(JobCancelled, match="before the job could add parts"), transaction.atomic():
        flow.store.finish([(job, succeeded('{"offload:results": -1}'))], added.new)

    assert Job.objects.count() == 3
    assert flow.states["a"] == JobState.RUNNING


def test_many_parts_cannot_wait_for_many_that_one_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offload.store.workflow_records.MAX_IMPLIED", 3)
    flow = Flow({"a": ((), S), "b": (("a",), S), "c": (("a",), S)})
    (job,) = claim(register_worker())
    added = NamedParts(job.id, {"x": ((), S), "y": ((), S)})

    with pytest.raises(InvalidWorkflow, match="4 dependencies, at most 3"), transaction.atomic():
        flow.store.finish([(job, succeeded("1"))], added.new)


def test_a_retried_part_that_was_cancelled_waits_for_what_was_added_meanwhile() -> None:
    flow = Flow({"a": ((), S), "z": ((), S), "b": (("a", "z"), S)})
    worker = register_worker()
    adder, failing = sorted(claim(worker), key=lambda job: flow.names[job.id])
    flow.store.exchange(worker, [flow.finished(failing, {"z": JobState.FAILED})], NO_CLAIM)
    assert flow.states["b"] == CANCELLED
    add(flow, {"x": ((), S)}, adder)
    flow.run(x=JobState.FAILED)

    flow.store.retry(flow.id)

    assert (flow.row("b").waiting_on, flow.row("b").awaited) == (2, 3)
    order = flow.run()
    assert set(order[:2]) == {"x", "z"}
    assert order[2:] == ["b"]


def test_a_retry_runs_added_parts_again_that_did_not_succeed() -> None:
    flow = Flow(BEFORE_B)
    add(flow, {"x": ((), S), "y": ((), S), "only_if_x_fails": (("y",), F)})
    flow.run(x=JobState.FAILED)
    assert flow.state == JobState.FAILED

    flow.store.retry(flow.id)

    assert flow.run() == ["x", "b"]
    assert flow.states["a"] == SUCCESSFUL
    assert flow.state == SUCCESSFUL


def test_a_part_that_failed_adds_others_when_it_is_retried() -> None:
    flow = Flow(BEFORE_B)
    worker = register_worker()
    finished = [(job, failed(FAILURE)) for job in claim(worker)]
    flow.store.exchange(worker, finished, NO_CLAIM)
    flow.step()
    flow.store.retry(flow.id)

    add(flow, {"x": ((), S)})

    assert flow.run() == ["x", "b"]
