"""The jobs of workflows that end because others do: returned, so that their signals are sent."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from django.db import transaction

from offload.lifecycle import JobState, Outcome, failed, succeeded
from offload.store import get_store
from offload.store.records import EndedJob
from tests.jobs import FAILURE, NO_CLAIM, claim, register_worker
from tests.tasks import add
from tests.workflow_rows import E, F, Flow, S

pytestmark = pytest.mark.django_db

CANCELLED, FAILED, SUCCESSFUL = JobState.CANCELLED, JobState.FAILED, JobState.SUCCESSFUL
SKIPPED = JobState.SKIPPED

CHAIN = {"a": ((), S), "b": (("a",), S), "c": (("b",), S)}


def ended_in(flow: Flow, ended: Sequence[EndedJob]) -> dict[str, JobState]:
    """Return the states of ended jobs by their names, each of which must be there once."""
    names = [flow.names[job.id] for job in ended]
    assert len(names) == len(set(names))
    return {flow.names[job.id]: JobState(job.state) for job in ended}


def exchange_first(flow: Flow, outcome: Outcome) -> Sequence[EndedJob]:
    worker = register_worker()
    finished = [(job, outcome) for job in claim(worker)]
    return flow.store.exchange(worker, finished, NO_CLAIM).ended


def take_notices(flow: Flow) -> list[EndedJob]:
    worker = register_worker()
    ended: list[EndedJob] = []
    while (step := flow.store.step_workflows(worker)).next_in is not None:
        ended += step.ended
    return ended


def test_an_exchange_returns_the_jobs_that_end_because_others_do() -> None:
    flow = Flow(CHAIN | {"skipped": (("a",), F), "clean": (("c",), E)})

    ended = exchange_first(flow, succeeded("1"))
    assert ended_in(flow, ended) == {"skipped": SKIPPED}
    take_notices(flow)

    ended = exchange_first(flow, failed(FAILURE))
    assert ended_in(flow, ended) == {"c": CANCELLED}

    ended = exchange_first(flow, succeeded("1"))
    assert ended_in(flow, ended) == {"": FAILED}


def test_a_task_that_stores_its_own_end_gets_the_jobs_that_end_because_of_it() -> None:
    flow = Flow({"a": ((), S), "b": (("a",), F)})
    (job,) = claim(register_worker())

    with transaction.atomic():
        ended = flow.store.finish([(job, succeeded("1"))]).ended

    assert ended_in(flow, ended) == {"b": SKIPPED}
    assert ended_in(flow, take_notices(flow)) == {"": SUCCESSFUL}


def test_a_cancelled_workflow_returns_each_of_its_parts_once() -> None:
    flow = Flow(CHAIN)

    flow.store.cancel(flow.id)

    expected = {"": CANCELLED, **dict.fromkeys("abc", CANCELLED)}
    assert ended_in(flow, take_notices(flow)) == expected


def test_a_rescued_part_that_failed_returns_what_ends_because_of_it() -> None:
    flow = Flow(CHAIN)
    (job,) = claim(register_worker())
    flow.row("a").__class__.objects.filter(pk=flow.ids["a"]).update(max_worker_losses=0)
    flow.store.deregister(flow.row("a").worker)

    ((rescued, _),) = flow.store.rescue()

    assert rescued.id == job.id
    assert ended_in(flow, take_notices(flow)) == {"": FAILED, "b": CANCELLED, "c": CANCELLED}


def test_each_end_is_returned_once_though_several_steps_tell_of_them() -> None:
    graph = {"a": ((), S)} | {f"p{number}": (("a",), S) for number in range(1500)}
    graph["last"] = ([f"p{number}" for number in range(1500)], S)
    flow = Flow(graph)

    ended = [*exchange_first(flow, failed(FAILURE)), *take_notices(flow)]

    states = ended_in(flow, ended)
    assert states.pop("") == FAILED
    assert states.keys() == graph.keys() - {"a"}
    assert set(states.values()) == {CANCELLED}


def test_jobs_without_workflows_end_nothing() -> None:
    add.enqueue(1)
    worker = register_worker()
    (job,) = claim(worker)

    assert get_store("default").exchange(worker, [(job, failed(FAILURE))], NO_CLAIM).ended == []
