"""Workflows and their parts are cancelled, run again and deleted."""

from __future__ import annotations

from typing import Any

import pytest

from offload.lifecycle import JobState, succeeded
from offload.models import Attempt, Dependency, Job
from offload.store import get_store
from tests.jobs import NO_CLAIM, claim, register_worker
from tests.workflow_rows import E, F, Flow, S, workflow_notices

pytestmark = pytest.mark.django_db

READY, BLOCKED, CANCELLED = JobState.READY, JobState.BLOCKED, JobState.CANCELLED
SUCCESSFUL, FAILED, SKIPPED = JobState.SUCCESSFUL, JobState.FAILED, JobState.SKIPPED
RUNNING = JobState.RUNNING

CHAIN = {"a": ((), S), "b": (("a",), S), "c": (("b",), S)}


# --- cancelling -------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["a", "b"])
def test_a_waiting_part_is_cancelled_and_what_waits_for_it(part: str) -> None:
    flow = Flow(CHAIN)

    assert flow.store.cancel(flow.ids[part]) == CANCELLED
    assert workflow_notices() == [flow.ids[part]]
    flow.run()

    assert flow.states["c"] == CANCELLED
    assert flow.state == FAILED
    assert "parts were cancelled: add (cancelled), add" in Attempt.objects.get().message


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_part", [True, False], ids=["part", "workflow"])
def test_nothing_is_cancelled_without_a_notice(
    monkeypatch: pytest.MonkeyPatch, is_part: bool
) -> None:
    flow = Flow(CHAIN)
    job = flow.ids["b"] if is_part else flow.id

    def fail(*_: Any) -> None:
        raise OSError

    monkeypatch.setattr(flow.store, "add_workflow_notices", fail)
    with pytest.raises(OSError):  # noqa: PT011
        flow.store.cancel(job)

    row = Job.objects.get(pk=job)
    assert (row.state, row.cancel_requested_at) == (BLOCKED, None)


def test_a_part_is_cancelled_once() -> None:
    flow = Flow(CHAIN)

    assert flow.store.cancel(flow.ids["b"]) == CANCELLED
    assert flow.store.cancel(flow.ids["b"]) is None
    assert len(workflow_notices()) == 1


def test_a_running_part_is_asked_to_stop() -> None:
    flow = Flow(CHAIN)
    claim(register_worker())

    assert flow.store.cancel(flow.ids["a"]) == RUNNING
    assert not workflow_notices()


def test_a_workflow_is_cancelled_with_all_its_parts() -> None:
    graph = {**CHAIN, "d": ((), S), "e": (("a",), E), "f": (("a",), F)}
    flow = Flow(graph)
    worker = register_worker()
    claim(worker)

    assert flow.store.cancel(flow.id) == BLOCKED
    assert flow.row().cancel_requested_at is not None
    flow.step(worker)

    assert {flow.states[name] for name in "bcef"} == {CANCELLED}
    assert flow.row("a").cancel_requested_at is not None
    assert flow.state == BLOCKED
    finished = [
        flow.finished(job, {"a": CANCELLED, "d": CANCELLED})
        for job in flow.store.claimed_by(worker)
    ]
    flow.store.exchange(worker, finished, NO_CLAIM)
    assert flow.state == CANCELLED
    assert flow.row().waiting_on == 0
    assert not Attempt.objects.filter(job_id=flow.id).exists()


def test_no_part_is_released_once_the_workflow_is_to_be_cancelled() -> None:
    flow = Flow({**CHAIN, "e": (("a",), E)})
    worker = register_worker()
    (job,) = claim(worker)

    flow.store.cancel(flow.id)
    result = flow.store.exchange(worker, [(job, succeeded("1"))], NO_CLAIM)
    assert not result.has_released
    assert claim(worker) == []
    flow.step(worker)

    assert flow.states == {
        "": CANCELLED,
        "a": SUCCESSFUL,
        "b": CANCELLED,
        "c": CANCELLED,
        "e": CANCELLED,
    }


def test_a_large_workflow_is_cancelled_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offload.store.workflow_steps.MAX_ROWS_PER_STATEMENT", 3)
    flow = Flow({f"p{number}": ((), S) for number in range(10)})

    flow.store.cancel(flow.id)
    flow.step()

    assert set(flow.states.values()) == {CANCELLED}


def test_a_workflow_whose_parts_all_succeeded_is_not_cancelled() -> None:
    flow = Flow({"a": ((), S)})
    worker = register_worker()
    (job,) = claim(worker)

    flow.store.cancel(flow.id)
    flow.store.exchange(worker, [(job, succeeded("1"))], NO_CLAIM)

    assert flow.state == SUCCESSFUL


def test_two_workflows_are_cancelled_at_once() -> None:
    flows = [Flow(CHAIN), Flow(CHAIN)]

    for flow in flows:
        flow.store.cancel(flow.id)
    flow.step()

    assert [flow.state for flow in flows] == [CANCELLED, CANCELLED]


def test_an_ended_workflow_cannot_be_cancelled() -> None:
    flow = Flow(CHAIN)
    flow.run()

    assert flow.store.cancel(flow.id) is None


@pytest.mark.parametrize("arguments", ["{", "[]", '[["x"], []]'])
@pytest.mark.parametrize("last", [SUCCESSFUL, FAILED])
def test_a_workflow_ends_although_its_row_is_damaged(arguments: str, last: JobState) -> None:
    flow = Flow(CHAIN)
    Job.objects.filter(pk=flow.id).update(arguments=arguments)

    flow.run(**({"c": FAILED} if last == FAILED else {}))

    assert flow.state == FAILED
    assert Attempt.objects.filter(job_id=flow.id).count() == 1


# --- retrying ---------------------------------------------------------------------------------


def test_a_retry_runs_all_parts_again_that_did_not_succeed() -> None:
    graph = {
        **CHAIN,
        "other": ((), S),
        "clean": (("a", "b"), E),
        "refund": (("other", "b"), F),
        "unused": (("other",), F),
    }
    flow = Flow(graph)
    first = flow.run(b=FAILED)
    assert set(first) == {"a", "b", "other", "clean", "refund"}
    assert flow.state == FAILED

    assert flow.store.retry(flow.id)
    states = flow.states
    assert (states["a"], states["b"], states["c"]) == (SUCCESSFUL, READY, BLOCKED)
    assert (states["clean"], states["refund"]) == (SUCCESSFUL, SUCCESSFUL)
    assert states["unused"] == SKIPPED
    assert (flow.row().waiting_on, flow.row().awaited) == (2, 7)
    assert flow.run() == ["b", "c"]
    assert flow.state == SUCCESSFUL


def test_a_part_for_a_failure_is_decided_anew() -> None:
    flow = Flow({"a": ((), S), "b": (("a",), S), "refund": (("b",), F), "mail": (("refund",), S)})
    flow.run(a=FAILED)
    assert flow.states["refund"] == flow.states["mail"] == SKIPPED

    flow.store.retry(flow.id)
    assert flow.states["refund"] == flow.states["mail"] == BLOCKED
    assert flow.run(b=FAILED) == ["a", "b", "refund", "mail"]


def test_a_part_for_a_failure_that_failed_itself_is_skipped_if_all_is_well_now() -> None:
    flow = Flow({"a": ((), S), "refund": (("a",), F)})
    flow.run(a=FAILED, refund=FAILED)

    flow.store.retry(flow.id)

    assert flow.run() == ["a"]
    assert flow.states == {"": SUCCESSFUL, "a": SUCCESSFUL, "refund": SKIPPED}


def test_a_cancelled_workflow_can_be_retried() -> None:
    flow = Flow(CHAIN)
    flow.store.cancel(flow.id)
    flow.step()

    assert flow.store.retry(flow.id)

    assert flow.row().cancel_requested_at is None
    assert flow.run() == ["a", "b", "c"]
    assert flow.state == SUCCESSFUL


def test_an_old_notice_does_not_cancel_a_retried_workflow() -> None:
    flow = Flow(CHAIN)
    flow.store.cancel(flow.id)
    flow.store.cancel(flow.id)
    while flow.state != CANCELLED:
        flow.store.step_workflows(register_worker())
    flow.store.retry(flow.id)

    assert flow.run() == ["a", "b", "c"]


def test_a_workflow_that_lives_or_succeeded_cannot_be_retried() -> None:
    flow = Flow(CHAIN)
    assert not flow.store.retry(flow.id)
    flow.run()
    assert not flow.store.retry(flow.id)


def test_a_part_is_not_retried_while_its_workflow_lives() -> None:
    flow = Flow({"a": ((), S), "b": ((), S), "c": (("a",), S)})
    worker = register_worker()
    finished = [flow.finished(job, {"a": FAILED}) for job in claim(worker)]
    first = [pair for pair in finished if flow.names[pair[0].id] == "a"]
    flow.store.exchange(worker, first, NO_CLAIM)

    assert not flow.store.retry(flow.ids["a"])
    assert flow.states["a"] == FAILED


def test_a_part_of_an_ended_workflow_is_retried_with_what_follows() -> None:
    flow = Flow({**CHAIN, "x": ((), S), "y": (("x",), S), "both": (("x", "c"), S)})
    flow.run(a=FAILED, x=FAILED)

    assert flow.store.retry(flow.ids["a"])
    assert flow.states["x"] == FAILED
    assert flow.states["both"] == CANCELLED
    assert flow.run() == ["a", "b", "c"]
    assert flow.states == {
        "": FAILED,
        "a": SUCCESSFUL,
        "b": SUCCESSFUL,
        "c": SUCCESSFUL,
        "x": FAILED,
        "y": CANCELLED,
        "both": CANCELLED,
    }


def test_a_retried_workflow_without_parts_to_run_ends_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = Flow(CHAIN, returns={"offload:result": -1}, dependencies=[("", "c", -1, 0)])
    with monkeypatch.context() as context:
        context.setattr("offload.store.workflow_ends.MAX_RETURN_SIZE", 2)
        flow.run()
    assert flow.state == FAILED

    flow.store.retry(flow.id)
    flow.step()

    assert (flow.state, flow.row().return_value) == (SUCCESSFUL, '"c"')


# --- deleting ---------------------------------------------------------------------------------


def prune() -> int:
    store = get_store("default")
    total = 0
    for state in (SUCCESSFUL, FAILED):
        old = store.finished_before("default", state, before=store.now(after=1))
        total += sum(store.prune(old))
    return total


def test_parts_are_pruned_with_their_workflow_only() -> None:
    flow = Flow(CHAIN)
    worker = register_worker()
    flow.store.exchange(worker, [(job, succeeded("1")) for job in claim(worker)], NO_CLAIM)

    assert prune() == 0
    flow.run(b=FAILED)

    assert prune() == 4
    assert not Job.objects.exists()
    assert not Dependency.objects.exists()
    assert not Attempt.objects.exists()


def test_a_workflow_that_is_being_pruned_is_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offload.store.retention.MAX_ROWS_PER_STATEMENT", 2)
    flow = Flow({f"p{number}": ((), S) for number in range(7)})
    flow.run(p0=FAILED, p6=FAILED)
    batches = flow.store.prune(
        flow.store.finished_before("default", FAILED, before=flow.store.now(after=1))
    )
    assert next(batches) == 2

    assert not flow.store.retry(flow.id)
    assert not flow.store.retry(flow.ids["p6"])

    assert sum(batches) == 6


def test_a_large_workflow_is_pruned_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offload.store.retention.MAX_ROWS_PER_STATEMENT", 2)
    flow = Flow({f"p{number}": ((), S) for number in range(7)})
    flow.run()

    assert prune() == 8
    assert not Job.objects.exists()
