"""Parts of workflows that code of the project deletes: nothing waits for them for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import transaction

from offload.lifecycle import JobState, released, succeeded
from offload.models import Job
from offload.store import deleted_parts
from offload.uuid7 import FIRST_ID
from tests.jobs import NO_CLAIM, claim, register_worker
from tests.workflow_rows import E, F, Flow, S, delete_by_sql, workflow_notices

pytestmark = pytest.mark.django_db

CANCELLED, FAILED, SUCCESSFUL = JobState.CANCELLED, JobState.FAILED, JobState.SUCCESSFUL
SKIPPED, READY, BLOCKED = JobState.SKIPPED, JobState.READY, JobState.BLOCKED

CHAIN = {"a": ((), S), "b": (("a",), S), "c": (("b",), S)}


def delete_by_query(flow: Flow, *names: str) -> None:
    Job.objects.filter(pk__in=[flow.ids[name] for name in names]).delete()


def delete_each(flow: Flow, *names: str) -> None:
    for name in names:
        flow.row(name).delete()


ORM = pytest.mark.parametrize("delete", [delete_by_query, delete_each])
type Delete = Callable[..., None]


def finish_one(flow: Flow, name: str) -> None:
    """Finish one of the parts that are ready; the others are ready again afterwards."""
    worker = register_worker()
    for job in claim(worker):
        outcome = succeeded("1") if flow.names[job.id] == name else released()
        flow.store.exchange(worker, [(job, outcome)], NO_CLAIM)


@ORM
def test_a_part_that_was_deleted_while_it_waited_counts_as_cancelled(delete: Delete) -> None:
    flow = Flow(CHAIN)

    delete(flow, "a")
    flow.step()

    assert flow.states == {"": FAILED, "b": CANCELLED, "c": CANCELLED}
    assert not workflow_notices()


@ORM
def test_a_workflow_ends_though_its_last_part_was_deleted(delete: Delete) -> None:
    flow = Flow({"a": ((), S), "b": ((), S)})
    finish_one(flow, "a")

    delete(flow, "b")
    flow.step()

    assert flow.states == {"": FAILED, "a": SUCCESSFUL}
    _, (attempt,) = flow.store.read(flow.id)
    assert attempt.message == "1 of 2 parts were deleted."


@ORM
def test_parts_that_run_in_any_case_wait_for_those_that_exist(delete: Delete) -> None:
    flow = Flow({"a": ((), S), "b": ((), S), "end": (("a", "b"), E), "fail": (("a", "b"), F)})

    delete(flow, "a")
    flow.step()
    assert flow.states == {"": BLOCKED, "b": READY, "end": BLOCKED, "fail": BLOCKED}
    assert flow.row("end").waiting_on == 1

    assert sorted(flow.run()) == ["b", "end"]
    assert flow.states == {"": FAILED, "b": SUCCESSFUL, "end": SUCCESSFUL, "fail": SKIPPED}


@ORM
def test_several_deletions_are_told_once_each(delete: Delete) -> None:
    names = ("a", "b", "c", "d")
    flow = Flow(dict.fromkeys(names, ((), S)) | {"end": (names, E)})

    delete(flow, "a")
    flow.step()
    delete(flow, "b", "c")
    flow.step()
    flow.store.add_workflow_notices([flow.store.key(flow.id)])  # as for any other reason
    flow.step()
    assert (flow.row("end").waiting_on, flow.row().waiting_on) == (1, 2)

    assert flow.run() == ["d", "end"]
    assert flow.state == FAILED


@ORM
def test_a_part_whose_end_is_not_told_yet_is_counted_once(delete: Delete) -> None:
    flow = Flow({"a": ((), S), "b": ((), S), "c": ((), S), "end": (("a", "b", "c"), E)})

    flow.store.cancel(flow.ids["a"])  # leaves a notice
    delete(flow, "b")
    flow.step()
    assert (flow.row("end").waiting_on, flow.row().waiting_on) == (1, 2)

    assert flow.run() == ["c", "end"]


@ORM
def test_a_deleted_part_that_runs_is_told_once(delete: Delete) -> None:
    flow = Flow({"a": ((), S), "b": ((), S), "end": (("a", "b"), E)})
    worker = register_worker()
    jobs = claim(worker)

    delete(flow, "a")
    flow.step()
    for job in jobs:
        flow.store.exchange(worker, [(job, succeeded("1"))], NO_CLAIM)
        assert flow.row().waiting_on >= 1
    flow.step()

    assert flow.run() == ["end"]
    assert flow.states == {"": FAILED, "b": SUCCESSFUL, "end": SUCCESSFUL}


@ORM
def test_finished_parts_may_be_deleted_while_others_wait(delete: Delete) -> None:
    flow = Flow({"a": ((), S), "b": ((), S), "c": ((), S), "end": (("a", "b", "c"), S)})
    finish_one(flow, "a")

    delete(flow, "a")
    flow.step()
    assert flow.row("end").waiting_on == 2

    delete(flow, "b")  # makes the numbers be counted again
    flow.step()
    assert flow.states["end"] == CANCELLED
    assert flow.run() == ["c"]
    assert flow.state == FAILED


@ORM
def test_nothing_happens_if_the_deletion_is_rolled_back(delete: Delete) -> None:
    flow = Flow(CHAIN)

    with transaction.atomic():
        delete(flow, "a")
        transaction.set_rollback(True)

    assert not workflow_notices()
    assert sorted(flow.run()) == ["a", "b", "c"]


def test_a_workflow_may_be_deleted_with_its_parts() -> None:
    flow = Flow(CHAIN)

    Job.objects.filter(pk__in=flow.ids.values()).delete()

    assert not workflow_notices()


def test_a_slice_is_refused_as_django_does() -> None:
    flow = Flow({"a": ((), S)})

    with pytest.raises(TypeError, match="limit"):
        Job.objects.all()[:1].delete()

    assert flow.states["a"] == READY


def test_parts_that_were_deleted_by_sql_are_found() -> None:
    flow = Flow({"a": ((), S), "b": ((), S), "c": (("a", "b"), S), "end": (("a", "b"), E)})
    delete_by_sql(flow, "a")

    last = flow.store.notice_incomplete(FIRST_ID)

    assert last == FIRST_ID
    assert workflow_notices() == [flow.id]
    assert flow.run().count("end") == 1
    assert flow.states == {"": FAILED, "b": SUCCESSFUL, "c": CANCELLED, "end": SUCCESSFUL}
    flow.store.notice_incomplete(FIRST_ID)
    assert not workflow_notices()  # it has ended


def test_workflows_that_lack_no_part_get_no_notice() -> None:
    flow = Flow(CHAIN)

    flow.store.notice_incomplete(FIRST_ID)

    assert not workflow_notices()


def test_a_workflow_is_found_of_which_only_finished_parts_are_left() -> None:
    flow = Flow({"a": ((), S), "b": ((), S)})
    finish_one(flow, "a")
    delete_by_sql(flow, "b")

    flow.store.notice_incomplete(FIRST_ID)
    flow.step()

    assert flow.states == {"": FAILED, "a": SUCCESSFUL}


def test_workflows_are_looked_at_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deleted_parts, "MAX_LOOKED_AT", 2)
    flows = [Flow({"a": ((), S), "b": (("a",), E)}) for _ in range(5)]
    for flow in flows:
        delete_by_sql(flow, "a")

    last, found = FIRST_ID, []
    for _ in range(3):
        last = flows[0].store.notice_incomplete(last)
        found.append(len(workflow_notices()))

    assert found == [2, 4, 5]
    assert last == FIRST_ID


def test_a_workflow_all_of_whose_parts_were_deleted_by_sql_can_be_ended() -> None:
    """No row leads to it, but somebody who sees the workflow wait can end it."""
    flow = Flow({"a": ((), S), "b": ((), S)})
    delete_by_sql(flow, "a", "b")
    flow.store.notice_incomplete(FIRST_ID)
    flow.step()
    assert flow.state == BLOCKED

    flow.store.cancel(flow.id)
    flow.step()

    assert flow.states == {"": FAILED}
