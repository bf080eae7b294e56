"""Plain Celery tasks in a Celery worker; all tests share one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from celery import chain, chord, current_app, group
from celery.exceptions import ChordError, TaskRevokedError, TimeLimitExceeded, WorkerLostError
from django.contrib.auth.models import User
from django.db import connection, connections

from offload import acting_for
from offload.backends.base import get_backend
from offload.lifecycle import JobState
from offload.models import CeleryGroup, CeleryPart, Job
from tests.celery_apps import RESULTS_QUEUE, results
from tests.celery_results import tasks
from tests.celery_results.conftest import StartWorker
from tests.crash.processes import Process
from tests.models import Effect
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        connection.vendor == "sqlite", reason="Tasks in transactions hold SQLite's write lock."
    ),
]

LIMIT = 60


@pytest.fixture(autouse=True)
def current() -> Iterator[None]:
    """Let the application of the tasks be that of the project."""
    previous = current_app._get_current_object()
    results.set_current()
    yield
    previous.set_current()


def drop_connections_of_others() -> None:
    """Drop all connections to the database but this one, as a server or a firewall does."""
    if connection.vendor != "postgresql":
        pytest.skip("Only PostgreSQL lets a test drop connections of others.")
    # That of the thread in which async tests call the ORM would break one of them.
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def state_of(result: Any) -> JobState:
    return JobState(Job.objects.get(pk=result.id).state)


def test_results_and_exceptions_come_back(worker: Process) -> None:
    assert tasks.add.delay(2, 3).get(timeout=LIMIT) == 5
    values = tasks.values.delay().get(timeout=LIMIT)
    assert str(values["price"]) == "9.90"
    with pytest.raises(ValueError, match="no"):
        tasks.fail.delay("no").get(timeout=LIMIT)
    with pytest.raises(tasks.PaymentError) as caught:
        tasks.fail_with_keywords.delay("payment").get(timeout=LIMIT)
    assert caught.value.code == 7
    with pytest.raises(tasks.AmountError) as amount:
        tasks.fail_with_keywords.delay("amount").get(timeout=LIMIT)
    assert amount.value.amount == -1


def test_a_result_that_is_no_json_fails_the_task(worker: Process) -> None:
    result = tasks.no_json.delay()
    with pytest.raises(Exception, match="JSON serializable"):
        result.get(timeout=LIMIT)
    assert state_of(result) == JobState.FAILED


def test_a_task_that_is_replaced_in_a_later_attempt_has_a_result(worker: Process) -> None:
    result = tasks.replace_later.delay(2)
    assert result.get(timeout=LIMIT) == "replaced"
    assert Job.objects.get(pk=result.id).attempt == 4


@pytest.mark.parametrize("then", ["succeed", "fail"])
def test_no_late_retry_replaces_the_outcome(worker: Process, then: str) -> None:
    """Celery sends the message about the next attempt before it stores RETRY of this one."""
    called = [tasks.retry_at_once.delay(then=then) for _ in range(30)]
    wait_until(lambda: all(result.ready() for result in called), "all have ended", LIMIT)
    expected = JobState.SUCCESSFUL if then == "succeed" else JobState.FAILED
    # The worker may still be about to report RETRY: it has, when it has done what comes next.
    assert [tasks.add.delay(n, n).get(timeout=LIMIT) for n in range(4)] == [0, 2, 4, 6]
    jobs = Job.objects.filter(pk__in=[result.id for result in called])
    assert {job.state for job in jobs} == {expected}
    assert {job.attempt for job in jobs} == {2}


@pytest.mark.parametrize("then", ["return", "fail"])
def test_progress_is_visible_from_within_a_transaction(
    worker: Process, gate: Path, then: str
) -> None:
    user = User.objects.create(username="ann")
    with acting_for(user):
        result = tasks.report_in_transaction.delay(str(gate), then=then)
    wait_until(lambda: result.state == "PROGRESS", "the progress is visible", LIMIT)
    assert result.info == {"current": 3, "total": 10, "description": "Adding"}
    job = Job.objects.get(pk=result.id)
    assert (job.state, job.owner) == (JobState.RUNNING, f"user:{user.pk}")
    assert json.loads(job.progress or "")["done"] == 3
    assert not Effect.objects.exists()
    gate.touch()
    assert isinstance(result.get(timeout=LIMIT, propagate=False), str | ValueError)
    assert Effect.objects.exists() is (then == "return")


def test_a_task_in_a_transaction_that_is_rolled_back_calls_others(worker: Process) -> None:
    user = User.objects.create(username="ann")
    with acting_for(user):
        child = tasks.call_another.delay().get(timeout=LIMIT)
    assert results.AsyncResult(child).get(timeout=LIMIT) == 9
    job = Job.objects.get(pk=child)
    assert job.owner == f"user:{user.pk}"
    assert job.parent is not None


def test_states_of_a_task_s_own_are_kept(worker: Process) -> None:
    result = tasks.ignore_after.delay()
    wait_until(lambda: result.state == "SKIPPED", "the state is stored", LIMIT)
    assert result.info == {"why": "not needed"}


def test_the_parent_reports_what_its_processes_cannot(worker: Process, gate: Path) -> None:
    with pytest.raises(WorkerLostError):
        tasks.exit_process.delay().get(timeout=LIMIT)
    late = tasks.run_too_long.delay(str(gate))
    with pytest.raises(TimeLimitExceeded):
        late.get(timeout=LIMIT)
    assert state_of(late) == JobState.FAILED


def test_dropped_connections_lose_no_report(worker: Process, gate: Path) -> None:
    """Neither those of the processes, nor that of their parent, which reports seldom."""
    running = tasks.wait.delay(str(gate))
    wait_until(lambda: running.state == "STARTED", "it runs", LIMIT)
    with pytest.raises(WorkerLostError):  # the parent has a connection now
        tasks.exit_process.delay().get(timeout=LIMIT)
    for _ in range(2):
        drop_connections_of_others()
        with pytest.raises(WorkerLostError):
            tasks.exit_process.delay().get(timeout=LIMIT)
    drop_connections_of_others()
    gate.touch()
    assert running.get(timeout=LIMIT) == running.id


# --- chords and groups ----------------------------------------------------------------------------


def test_a_chord_gets_the_results_in_order(worker: Process) -> None:
    header = [tasks.add.s(n, n) for n in range(30)]
    result = chord(header)(tasks.echo.s())
    assert result.get(timeout=LIMIT) == [2 * n for n in range(30)]
    counted = CeleryGroup.objects.get(pk=result.parent.id)
    assert (counted.size, counted.done) == (30, 30)
    parts = CeleryPart.objects.filter(chord=counted.pk)
    wait_until(lambda: not parts.exists(), "the parts are deleted", LIMIT)


def test_a_header_of_groups_keeps_its_form(worker: Process) -> None:
    """Celery itself makes one group of groups; one that follows a task stays a list."""
    header = [tasks.add.s(1, 1) | group(tasks.add.s(1), tasks.add.s(2)), tasks.add.s(3, 3)]
    assert chord(header)(tasks.echo.s()).get(timeout=LIMIT) == [[3, 4], 6]


def test_a_chord_in_a_chain(worker: Process) -> None:
    canvas = chain(
        tasks.add.s(1, 1), group(tasks.add.s(10), tasks.add.s(20)), tasks.total.s(), tasks.add.s(1)
    )
    assert canvas.apply_async().get(timeout=LIMIT) == 35


def test_a_failed_part_fails_the_body_and_is_its_cause(worker: Process) -> None:
    result = chord([tasks.add.s(1, 1), tasks.fail.s("part")])(tasks.total.s())
    with pytest.raises((ChordError, ValueError), match="part"):
        result.get(timeout=LIMIT)
    wait_until(lambda: Job.objects.filter(pk=result.id).exists(), "the body has a row", LIMIT)
    assert isinstance(results.AsyncResult(result.id).result, ChordError)
    assert state_of(result) == JobState.FAILED


def test_a_failed_step_fails_what_follows(worker: Process) -> None:
    result = chain(tasks.fail.s("step"), tasks.echo.s(), tasks.echo.s()).apply_async()
    with pytest.raises(ValueError, match="step"):
        result.get(timeout=LIMIT)
    steps = (result, result.parent)
    wait_until(lambda: {step.state for step in steps} == {"FAILURE"}, "both have failed", LIMIT)


def test_a_group_is_joined_by_one_query_each_time(worker: Process) -> None:
    result = group(tasks.add.s(n, 1) for n in range(10)).apply_async()
    assert result.get(timeout=LIMIT) == [n + 1 for n in range(10)]
    assert result.completed_count() == 10


# --- revoking -------------------------------------------------------------------------------------


def test_cancelling_ends_a_running_task(worker: Process, gate: Path) -> None:
    result = tasks.wait.delay(str(gate))
    wait_until(lambda: result.state == "STARTED", "it runs", LIMIT)
    get_backend("default").cancel(result.id)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=LIMIT)
    assert state_of(result) == JobState.CANCELLED


def test_a_waiting_task_is_cancelled_at_once(worker: Process, gate: Path) -> None:
    holding = [tasks.wait.delay(str(gate)) for _ in range(2)]
    wait_until(lambda: all(r.state == "STARTED" for r in holding), "both are busy", LIMIT)
    waiting = tasks.add.delay(1, 1)
    get_backend("default").cancel(waiting.id)
    wait_until(lambda: state_of(waiting) == JobState.CANCELLED, "it is cancelled", LIMIT)
    gate.touch()
    assert [result.get(timeout=LIMIT) for result in holding] == [r.id for r in holding]
    assert waiting.state == "REVOKED"


# --- other pools ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_other_pools_do_the_same(
    start_worker: StartWorker, worker: Process, gate: Path, pool: str
) -> None:
    """Only the body of the chord may run in the other worker, which serves the usual queue."""
    queue = f"{RESULTS_QUEUE}-{pool}"
    start_worker(pool, queue=queue)
    reporting = tasks.report_in_transaction.apply_async((str(gate),), queue=queue)
    wait_until(lambda: reporting.state == "PROGRESS", "the progress is visible", LIMIT)
    gate.touch()
    assert reporting.get(timeout=LIMIT) == "done"
    retried = [
        tasks.retry_at_once.apply_async(kwargs={"then": "succeed"}, queue=queue) for _ in range(5)
    ]
    assert [result.get(timeout=LIMIT) for result in retried] == ["second"] * 5
    header = [tasks.add.s(n, n).set(queue=queue) for n in range(8)]
    assert chord(header)(tasks.total.s()).get(timeout=LIMIT) == 56
