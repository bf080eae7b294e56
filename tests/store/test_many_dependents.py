"""Parts for whose end very many jobs wait: they are told in steps, none twice, and none never."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from offload.lifecycle import JobState, Outcome, failed, succeeded
from offload.models import Job
from offload.store import part_ends
from tests.jobs import FAILURE, NO_CLAIM, claim, register_worker
from tests.workflow_rows import E, F, Flow, Graph, S, workflow_notices

pytestmark = pytest.mark.django_db

CANCELLED, FAILED, SUCCESSFUL = JobState.CANCELLED, JobState.FAILED, JobState.SUCCESSFUL
READY, BLOCKED, SKIPPED = JobState.READY, JobState.BLOCKED, JobState.SKIPPED


@pytest.fixture(autouse=True)
def max_told(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(part_ends, "MAX_TOLD", 3)
    return 3


def fan(width: int, when: object = S) -> Graph:
    return {"a": ((), S), **{f"p{number}": (("a",), when) for number in range(width)}}  # type: ignore[dict-item]


def finish(flow: Flow, name: str, outcome: Outcome) -> None:
    worker = register_worker()
    for job in claim(worker):
        assert flow.names[job.id] == name
        flow.store.exchange(worker, [(job, outcome)], NO_CLAIM)


def count(flow: Flow, state: JobState) -> int:
    return sum(each == state for each in flow.states.values())


def test_an_exchange_releases_some_jobs_and_steps_release_the_others() -> None:
    flow = Flow(fan(8))

    finish(flow, "a", succeeded("1"))
    assert count(flow, READY) == 3
    assert workflow_notices() == [flow.ids["a"]]
    assert flow.row().waiting_on == 9  # the part counts when all were told

    worker = register_worker()
    assert flow.store.step_workflows(worker).has_released
    assert (count(flow, READY), flow.row().waiting_on) == (6, 9)
    flow.step()
    assert (count(flow, READY), flow.row().waiting_on) == (8, 8)
    assert not workflow_notices()

    assert len(flow.run()) == 8
    assert flow.state == SUCCESSFUL


@pytest.mark.parametrize(("when", "state"), [(S, CANCELLED), (F, READY), (E, READY)])
def test_the_end_of_a_failed_part_is_told_in_steps_too(when: object, state: JobState) -> None:
    flow = Flow(fan(8, when))

    finish(flow, "a", failed(FAILURE))
    flow.step()

    assert count(flow, state) == 8
    flow.run()
    assert flow.state == FAILED
    assert flow.row().waiting_on == 0


def test_several_parts_share_the_jobs_that_a_step_tells() -> None:
    graph: dict[str, object] = {"a": ((), S), "b": ((), S)}
    graph |= {f"p{number}": (("a", "b"), S) for number in range(8)}
    flow = Flow(graph)  # type: ignore[arg-type]
    worker = register_worker()

    flow.store.exchange(worker, [(job, succeeded("1")) for job in claim(worker)], NO_CLAIM)
    while workflow_notices():
        assert count(flow, READY) <= 8
        flow.store.step_workflows(worker)

    assert {flow.row(f"p{number}").waiting_on for number in range(8)} == {0}
    assert count(flow, READY) == 8
    assert len(flow.run()) == 8
    assert flow.state == SUCCESSFUL


def test_a_workflow_that_is_cancelled_between_the_steps_ends() -> None:
    flow = Flow(fan(8))
    finish(flow, "a", succeeded("1"))

    flow.store.cancel(flow.id)
    flow.step()

    assert flow.state == CANCELLED
    assert count(flow, CANCELLED) == 9  # with the workflow


def test_a_retry_after_the_steps_waits_for_all() -> None:
    flow = Flow(fan(8))
    finish(flow, "a", failed(FAILURE))
    flow.step()

    assert flow.store.retry(flow.id)
    assert {flow.row(f"p{number}").waiting_on for number in range(8)} == {1}
    flow.run()

    assert flow.state == SUCCESSFUL


def test_a_part_that_is_deleted_between_the_steps_is_told_to_the_others() -> None:
    flow = Flow(fan(8, E))
    finish(flow, "a", succeeded("1"))

    Job.objects.filter(pk=flow.ids["a"]).delete()
    flow.step()

    assert (count(flow, READY), count(flow, BLOCKED)) == (8, 1)
    assert len(flow.run()) == 8
    assert flow.state == FAILED


def test_another_part_may_be_deleted_between_the_steps() -> None:
    graph: dict[str, object] = {"a": ((), S), "late": (("gone",), S), "gone": ((), S)}
    graph |= {f"p{number}": (("a", "gone"), E) for number in range(8)}
    flow = Flow(graph)  # type: ignore[arg-type]
    worker = register_worker()
    (job,) = [job for job in claim(worker) if flow.names[job.id] == "a"]
    flow.store.exchange(worker, [(job, succeeded("1"))], NO_CLAIM)

    Job.objects.filter(pk=flow.ids["gone"]).delete()
    flow.step()

    assert {flow.row(f"p{number}").waiting_on for number in range(8)} == {0}
    assert len(flow.run()) == 8
    assert (flow.state, flow.states["late"]) == (FAILED, CANCELLED)


def test_each_child_of_a_skipped_part_is_skipped() -> None:
    flow = Flow({**fan(1, F), **{f"q{number}": (("p0",), S) for number in range(8)}})

    finish(flow, "a", succeeded("1"))
    flow.step()

    assert count(flow, SKIPPED) == 9
    assert flow.state == SUCCESSFUL


def test_what_waits_for_a_cancelled_part_is_cancelled_in_steps() -> None:
    graph: dict[str, object] = {"a": ((), S), "b": (("a",), S)}
    graph |= {f"p{number}": (("b",), S) for number in range(8)}
    flow = Flow(graph)  # type: ignore[arg-type]

    finish(flow, "a", failed(FAILURE))
    assert count(flow, CANCELLED) == 1
    flow.step()

    assert count(flow, CANCELLED) == 9
    assert (flow.state, flow.row().waiting_on) == (FAILED, 0)
