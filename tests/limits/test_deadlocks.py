"""A task cannot wait for a job that may need the slot which its own job holds."""

from __future__ import annotations

from typing import Any

import pytest

from offload.lifecycle import JobState, Outcome, succeeded
from tests import tasks as unlimited
from tests.jobs import register_worker
from tests.limits import tasks
from tests.limits.claims import claim
from tests.worker.job_runs import run

pytestmark = pytest.mark.django_db(transaction=True)


def run_waiting(task: Any, customer: str, other: str, *, ends: bool = False) -> Outcome:
    """Run a job that waits for another one of its task.

    Args:
        task: of both jobs.
        customer: the key of the job that waits.
        other: the key of the one for which it waits.
        ends: whether this one has finished.
    """
    worker = register_worker()
    awaited = task.enqueue(other, "")
    if ends:
        (job,) = claim(worker)
        claim(worker, (job, succeeded("null")))
        task.enqueue(customer, awaited.id)
        (job,) = claim(worker)
        return run(job)
    task.enqueue(customer, awaited.id)
    jobs = claim(worker)
    return run(next(job for job in jobs if awaited.id in job.arguments))


@pytest.mark.parametrize(
    ("task", "other"),
    [(tasks.wait_for, "a"), (tasks.await_for, "a"), (tasks.wait_beside_total, "b")],
    ids=["sync", "async", "other key of a limit with a total"],
)
def test_a_wait_that_might_never_end_is_refused_at_once(task: Any, other: str) -> None:
    outcome = run_waiting(task, "a", other)

    assert outcome.failure is not None
    path, message, _ = outcome.failure
    assert path == "offload.exceptions.OffloadError"
    assert "holds a slot that the other one may need" in message
    assert "let the other one enqueue what comes next" in message


@pytest.mark.parametrize(
    ("task", "other"),
    [(tasks.wait_for, "b"), (tasks.wait_in_turn, "a")],
    ids=["other key", "no numbers of running jobs"],
)
def test_a_job_may_wait_for_one_that_needs_no_slot_of_it(task: Any, other: str) -> None:
    outcome = run_waiting(task, "a", other)

    assert outcome.failure is not None
    assert outcome.failure[0] == "builtins.TimeoutError"


@pytest.mark.parametrize("task", [tasks.wait_for, tasks.await_for], ids=["sync", "async"])
def test_a_job_that_has_finished_is_returned(task: Any) -> None:
    assert run_waiting(task, "a", "a", ends=True).state == JobState.SUCCESSFUL


def test_a_job_with_a_limit_may_wait_for_one_without() -> None:
    worker = register_worker()
    tasks.wait_for.enqueue("a", unlimited.add.enqueue(1).id)
    (job,) = claim(worker)

    outcome = run(job)

    assert outcome.failure is not None
    assert outcome.failure[0] == "builtins.TimeoutError"
