"""Workflows: inserted as a whole, released part by part, and ended."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from offload.lifecycle import JobState, released, retried, succeeded
from offload.models import Attempt, Job, LimitNotice
from offload.store import get_store
from offload.store.limit_records import WAITS
from tests.jobs import FAILURE, NO_CLAIM, claim, claim_limited, register_worker
from tests.workflow_rows import E, F, Flow, S, step_workflows, workflow_notices

pytestmark = pytest.mark.django_db

READY, BLOCKED, CANCELLED = JobState.READY, JobState.BLOCKED, JobState.CANCELLED
SUCCESSFUL, FAILED, SKIPPED = JobState.SUCCESSFUL, JobState.FAILED, JobState.SKIPPED
EXPIRED = JobState.EXPIRED

CHAIN = {"a": ((), S), "b": (("a",), S), "c": (("b",), S)}
DIAMOND = {"a": ((), S), "b": (("a",), S), "c": (("a",), S), "d": (("b", "c"), S)}


def test_parts_wait_for_those_before_them() -> None:
    flow = Flow(DIAMOND)

    assert flow.states == {"": BLOCKED, "a": READY, "b": BLOCKED, "c": BLOCKED, "d": BLOCKED}
    assert (flow.row("d").waiting_on, flow.row("d").awaited) == (2, 2)
    assert (flow.row().waiting_on, flow.row().awaited) == (4, 4)
    assert flow.row().workflow is None
    assert flow.row("d").workflow == flow.id


def test_nothing_is_inserted_if_the_transaction_fails() -> None:
    with transaction.atomic():
        Flow(CHAIN)
        transaction.set_rollback(True)

    assert not Job.objects.exists()


def test_parts_run_after_those_before_them() -> None:
    flow = Flow(DIAMOND)

    order = flow.run()

    assert sorted(order) == ["a", "b", "c", "d"]
    assert (order[0], order[-1]) == ("a", "d")
    assert set(flow.states.values()) == {SUCCESSFUL}


def test_the_next_part_is_claimed_in_the_exchange_that_releases_it() -> None:
    flow = Flow(CHAIN)
    worker = register_worker()
    (job,) = claim(worker)
    request = NO_CLAIM.__class__("default", ("default",), 10, 10)

    result = flow.store.exchange(worker, [(job, succeeded("1"))], request)

    assert [flow.names[job.id] for job in result.claimed] == ["b"]
    assert result.has_released
    assert result.claimed[0].workflow == flow.store.key(flow.id)


def test_a_part_that_will_run_again_is_not_told() -> None:
    flow = Flow(CHAIN)
    worker = register_worker()

    for outcome in (released(), retried(FAILURE, 0.0)):
        (job,) = claim(worker)
        result = flow.store.exchange(worker, [(job, outcome)], NO_CLAIM)
        assert not result.has_released
        assert flow.states["b"] == BLOCKED


def test_an_outcome_of_a_lost_claim_is_not_told() -> None:
    flow = Flow(CHAIN)
    worker = register_worker()
    (job,) = claim(worker)
    late = (job._replace(fence=job.fence - 1), succeeded("1"))

    assert flow.store.exchange(worker, [late], NO_CLAIM).refused
    assert flow.states["b"] == BLOCKED


def test_a_part_that_was_deleted_while_it_ran_counts_as_cancelled() -> None:
    flow = Flow(CHAIN)
    worker = register_worker()
    (job,) = claim(worker)
    flow.row("a").delete()

    flow.store.exchange(worker, [(job, succeeded("1"))], NO_CLAIM)
    flow.step(worker)

    assert flow.states == {"": FAILED, "b": CANCELLED, "c": CANCELLED}


def test_an_atomic_task_tells_its_end_in_its_own_transaction() -> None:
    flow = Flow(CHAIN)
    (job,) = claim(register_worker())

    with transaction.atomic():
        assert flow.store.finish([(job, succeeded("1"))]).refused == []

    assert flow.states["b"] == READY


def test_what_waits_for_a_failed_part_is_cancelled_and_so_on() -> None:
    flow = Flow(CHAIN)

    flow.run(a=FAILED)

    assert flow.states == {"": FAILED, "a": FAILED, "b": CANCELLED, "c": CANCELLED}
    assert flow.row("b").finished_at is not None
    assert not workflow_notices()


@pytest.mark.parametrize("state", [FAILED, CANCELLED, EXPIRED])
def test_a_part_can_run_whatever_became_of_those_before(state: JobState) -> None:
    flow = Flow({"a": ((), S), "b": (("a",), S), "clean": (("a", "b"), E)})

    assert flow.run(a=state) == ["a", "clean"]
    assert flow.states == {"": FAILED, "a": state, "b": CANCELLED, "clean": SUCCESSFUL}


@pytest.mark.parametrize("state", [FAILED, EXPIRED])
def test_a_part_can_run_because_one_failed(state: JobState) -> None:
    flow = Flow({"a": ((), S), "b": ((), S), "refund": (("a", "b"), F), "mail": (("refund",), S)})

    assert set(flow.run(a=state)) == {"a", "b", "refund", "mail"}
    assert flow.states["refund"] == SUCCESSFUL


def test_a_part_for_a_failure_is_skipped_without_one_and_so_on() -> None:
    graph = {
        "a": ((), S),
        "refund": (("a",), F),
        "mail": (("refund",), S),
        "and_so_on": (("mail",), S),
        "end": (("mail", "a"), E),
    }
    flow = Flow(graph)

    assert flow.run() == ["a", "end"]
    assert flow.states == {
        "": SUCCESSFUL,
        "a": SUCCESSFUL,
        "refund": SKIPPED,
        "mail": SKIPPED,
        "and_so_on": SKIPPED,
        "end": SUCCESSFUL,
    }
    assert not workflow_notices()


def test_a_cancelled_part_is_no_failure() -> None:
    flow = Flow({"a": ((), S), "b": (("a",), F), "c": (("a",), S), "d": (("c",), F)})

    flow.run(a=CANCELLED)

    assert flow.states["b"] == SKIPPED
    assert flow.states["d"] == SKIPPED


def test_a_part_behind_a_failed_and_a_skipped_one_is_cancelled() -> None:
    flow = Flow({"a": ((), S), "b": ((), S), "skipped": (("b",), F), "c": (("skipped", "a"), S)})

    flow.run(a=FAILED)

    assert flow.states["c"] in {CANCELLED, SKIPPED}
    assert flow.states[""] == FAILED


def test_a_workflow_counts_its_parts_as_they_end() -> None:
    flow = Flow(DIAMOND)
    worker = register_worker()
    before = flow.row().version
    (job,) = claim(worker)

    flow.store.exchange(worker, [(job, succeeded("1"))], NO_CLAIM)

    assert flow.row().waiting_on == 3
    assert flow.row().version == before + 1


def test_a_failed_workflow_names_the_parts_that_failed() -> None:
    graph = {f"p{number:02}": ((), S) for number in range(12)}
    flow = Flow({**graph, "last": (tuple(graph), S)})

    flow.run(**dict.fromkeys(graph, FAILED))

    (error,) = Attempt.objects.filter(job_id=flow.id)
    assert error.exception_class_path == "offload.exceptions.PartsFailed"
    assert error.message.startswith("12 of 13 parts failed: add (ValueError: no), add (")
    assert error.message.endswith(", and 2 more.")
    assert error.fence == flow.row().fence
    assert error.message in error.traceback


def test_a_workflow_returns_results_of_its_parts() -> None:
    flow = Flow(
        DIAMOND,
        returns={"last": {"offload:result": -1}, "both": {"offload:results": -2}},
        dependencies=[("", "d", -1, 0), ("", "c", -2, 1), ("", "b", -2, 0)],
    )

    flow.run()

    assert json.loads(flow.row().return_value or "") == {"last": "d", "both": ["b", "c"]}


def test_a_workflow_that_returns_nothing_returns_none() -> None:
    flow = Flow(CHAIN)

    flow.run()

    assert flow.row().return_value == "null"


def test_a_workflow_fails_whose_return_value_is_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("offload.store.workflow_ends.MAX_RETURN_SIZE", 2)
    flow = Flow(CHAIN, returns={"offload:result": -1}, dependencies=[("", "c", -1, 0)])

    flow.run()

    assert flow.state == FAILED
    assert "are 3 bytes of JSON" in Attempt.objects.get(job_id=flow.id).message


def test_a_tolerant_workflow_succeeds_if_other_parts_follow_the_failed_ones() -> None:
    graph = {"a": ((), S), "b": (("a",), S), "clean": (("a",), E)}

    followed = Flow(graph, tolerant=True)
    followed.run(a=FAILED)
    unfollowed = Flow(CHAIN, tolerant=True)
    unfollowed.run(a=FAILED)

    assert (followed.state, unfollowed.state) == (SUCCESSFUL, FAILED)


def test_a_workflow_without_parts_succeeds_at_once() -> None:
    flow = Flow({})

    flow.step()

    assert flow.state == SUCCESSFUL


def test_a_released_part_waits_for_its_time() -> None:
    flow = Flow(CHAIN)
    Job.objects.filter(pk=flow.ids["b"]).update(run_after=timezone.now() + timedelta(hours=1))

    flow.run()

    assert flow.states["b"] == JobState.SCHEDULED


def test_the_time_until_a_part_expires_begins_when_it_can_run() -> None:
    flow = Flow(CHAIN)
    enqueued_at = timezone.now() - timedelta(hours=5)
    expires_at = enqueued_at + timedelta(hours=1)
    Job.objects.filter(pk=flow.ids["b"]).update(run_after=enqueued_at, expires_at=expires_at)

    claim_and_finish(flow)

    left = flow.row("b").expires_at - timezone.now()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


def test_a_released_part_with_a_limit_waits_in_its_line() -> None:
    flow = Flow(CHAIN, limit_keys={"b": "calls:5"})
    LimitNotice.objects.all().delete()

    claim_and_finish(flow)

    assert flow.states["b"] == JobState.LIMITED
    assert flow.row("b").limit_slot == f"{WAITS}calls:5"
    assert [notice.limit_key for notice in LimitNotice.objects.all()] == ["calls:5"]
    assert [flow.names[job.id] for job in claim_limited(register_worker())] == ["b"]


def test_a_first_part_with_a_limit_waits_in_its_line() -> None:
    flow = Flow(CHAIN, limit_keys={"a": "calls:5"})

    assert flow.row("a").limit_slot == f"{WAITS}calls:5"
    assert [flow.names[job.id] for job in claim_limited(register_worker())] == ["a"]


def claim_and_finish(flow: Flow) -> None:
    worker = register_worker()
    finished = [(job, succeeded("1")) for job in claim(worker)]
    flow.store.exchange(worker, finished, NO_CLAIM)


def test_a_rescued_part_that_failed_for_good_is_told() -> None:
    flow = Flow(CHAIN)
    claim(register_worker())
    Job.objects.filter(pk=flow.ids["a"]).update(max_worker_losses=0)
    worker = register_worker()
    for row in Job.objects.filter(state=JobState.RUNNING):
        flow.store.deregister(row.worker)

    flow.store.rescue()
    flow.step(worker)

    assert flow.states == {"": FAILED, "a": FAILED, "b": CANCELLED, "c": CANCELLED}


def test_workflows_are_told_apart() -> None:
    first, second = Flow(CHAIN), Flow(CHAIN)
    worker = register_worker()
    finished = [
        (job, succeeded("1")) for job in claim(worker) if job.workflow == first.store.key(first.id)
    ]

    first.store.exchange(worker, finished, NO_CLAIM)

    assert first.states["b"] == READY
    assert second.states["b"] == BLOCKED
    assert second.row().waiting_on == 3


def test_long_chains_and_wide_fans_are_cancelled_step_by_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("offload.store.part_ends.MAX_ROWS_PER_STATEMENT", 3)
    chain = {f"c{number}": ((f"c{number - 1}",) if number else (), S) for number in range(30)}
    fan = {f"f{number}": (("c0",), S) for number in range(30)}
    flow = Flow({**chain, **fan, "end": ((*chain, *fan), E)})

    assert flow.run(c0=FAILED) == ["c0", "end"]
    states = flow.states
    assert states.pop("") == states.pop("c0") == FAILED
    assert states.pop("end") == SUCCESSFUL
    assert set(states.values()) == {CANCELLED}


def test_the_parts_are_counted_by_state() -> None:
    flow = Flow(CHAIN)
    claim_and_finish(flow)

    counts = get_store("default").count_parts(flow.id)

    assert counts == {SUCCESSFUL: 1, READY: 1, BLOCKED: 1}


def test_a_step_without_notices_changes_nothing() -> None:
    step_workflows(register_worker())
    assert not Job.objects.exists()
