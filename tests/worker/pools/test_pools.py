"""Every pool with a worker around it: jobs run in this process, or in child processes."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.transaction import TransactionManagementError

from offload import InvalidJobState, JobState
from offload.models import Attempt, Job
from tests.models import Effect
from tests.tasks import aadd, add, fail_thrice, snooze_once, succeed_on_second
from tests.worker import event_log, tasks
from tests.worker.conftest import RunningWorker, StartWorker, has_started, until

TIMEOUT = "offload.exceptions.JobTimeout"
CANCELLED = "offload.exceptions.JobCancelled"


def value(result: Any) -> Any:
    result.wait(30)
    assert result.state == JobState.SUCCESSFUL, (result.state, result.errors)
    return result.return_value


def path_of_error(result: Any) -> str:
    result.wait(30)
    return last_error_path(result)


def last_error_path(result: Any) -> str:
    return str(result.errors[-1].exception_class_path)


# --- running ------------------------------------------------------------------------------


@pytest.mark.usefixtures("takes_nothing_back")
@pytest.mark.parametrize("task", [add, aadd])
def test_many_jobs_run_once_each(worker, task):
    results = task.enqueue_many([((n,), {"b": 1}) for n in range(300)])

    assert [value(result) for result in results] == list(range(1, 301))
    assert not Job.objects.exclude(fence=1, attempt=1).exists()


def test_jobs_enqueued_before_the_worker_started_run(start_worker, processes):
    results = add.enqueue_many([((n,), {}) for n in range(20)])

    start_worker(processes)

    assert [value(result) for result in results] == list(range(20))


@pytest.mark.usefixtures("takes_nothing_back")
def test_one_thread_runs_by_priority_then_age(start_worker, processes):
    words = {"low": -10, "first": 0, "second": 0, "high": 50, "highest": 100}
    results = [tasks.log_word.using(priority=p).enqueue(f"order{w}") for w, p in words.items()]

    start_worker(processes, threads=1)
    for result in results:
        value(result)

    noted = [entry.words[0] for entry in event_log.entries("word") if "order" in entry.words[0]][
        -5:
    ]
    assert noted == [f"order{w}" for w in ("highest", "high", "first", "second", "low")]


def test_a_hundred_async_tasks_run_at_once(worker, gate):
    results = tasks.ahold.enqueue_many([((str(gate),), {})] * 100)

    until(lambda: all(has_started(result) for result in results))
    gate.touch()

    assert len({value(result) for result in results}) == 1


def test_as_many_tasks_run_at_once_as_there_are_threads(start_worker, processes, gate):
    start_worker(processes, threads=3)
    results = tasks.hold.enqueue_many([((str(gate),), {})] * 4)

    until(lambda: sum(has_started(result) for result in results) == 3)
    gate.touch()

    for result in results:
        value(result)


def test_no_job_waits_for_a_poll_although_hints_are_coalesced(start_worker, processes):
    """One after the other, some while PostgreSQL's notifier suppresses further hints."""
    start_worker(processes, threads=1, async_slots=1)

    for _ in range(100):
        assert tasks.anoop.enqueue().wait(5).state == JobState.SUCCESSFUL


def test_a_job_is_retried_until_it_succeeds(worker):
    result = succeed_on_second.enqueue()

    assert value(result) == "done"
    assert (result.attempts, len(result.errors)) == (2, 1)


def test_a_job_fails_after_its_last_attempt(worker):
    result = fail_thrice.enqueue().wait(30)

    assert (result.state, len(result.errors)) == (JobState.FAILED, 3)
    assert list(Attempt.objects.order_by("fence").values_list("number", flat=True)) == [1, 2, 3]


def test_a_snoozed_job_runs_again(worker):
    result = snooze_once.enqueue()

    assert value(result) == "rested"
    assert Job.objects.get().attempt == 1


def test_a_deferred_job_runs_when_it_is_due(worker):
    result = add.using(run_after=timedelta(seconds=0.5)).enqueue(1)

    assert value(result) == 1
    assert result.started_at - result.enqueued_at >= timedelta(seconds=0.5)


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "memory"])
@pytest.mark.parametrize("task", [tasks.throw, tasks.athrow, tasks.athrow_nested])
def test_whatever_a_task_raises_the_next_job_runs(worker, task, name):
    failing = task.enqueue(name).wait(30)

    assert failing.state == JobState.FAILED
    assert value(add.enqueue(1)) == 1
    assert value(aadd.enqueue(2)) == 2


# --- effects of one task on the next ------------------------------------------------------


def test_what_a_job_sets_in_its_context_does_not_reach_the_next_job(start_worker, processes):
    start_worker(processes, threads=1)
    before = value(tasks.read_context.enqueue())

    assert value(tasks.change_context.enqueue("fr")) != before

    assert value(tasks.read_context.enqueue()) == before


@pytest.mark.parametrize(
    ("task", "arguments"),
    [
        (tasks.leave_transaction_open, ("open",)),
        (tasks.leave_autocommit_off, ("manual",)),
        (tasks.close_in_transaction, ("closed",)),
        (tasks.break_transaction, ()),
        (tasks.break_connection, ()),
        (tasks.lose_connection, ()),
    ],
)
def test_a_connection_left_in_any_state_does_not_harm_the_next_job(
    start_worker, processes, task, arguments
):
    start_worker(processes, threads=1)

    task.enqueue(*arguments).wait(30)

    _, one, in_atomic_block, autocommit = value(tasks.use_database.enqueue())
    assert (one, in_atomic_block, autocommit) == (1, False, True)
    assert not Effect.objects.exists()


def test_an_atomic_task_that_closes_its_connection_fails_once_and_says_why(start_worker, processes):
    start_worker(processes, threads=1)

    result = tasks.close_in_atomic_task.enqueue("closed").wait(30)

    (error,) = result.errors
    assert (result.state, error.exception_class) == (JobState.FAILED, TransactionManagementError)
    assert "Remove the call of close()" in error.traceback
    assert value(tasks.use_database.enqueue())[1:] == [1, False, True]
    assert not Effect.objects.exists()


def test_connections_are_closed_between_jobs_as_between_requests(start_worker, processes):
    assert connection.settings_dict["CONN_MAX_AGE"] == 0
    start_worker(processes, threads=1)

    for _ in range(3):
        was_open, *_ = value(tasks.use_database.enqueue())
        assert not was_open


def test_a_job_that_needs_no_database_opens_no_connection(start_worker, processes):
    start_worker(processes, threads=1)
    value(tasks.use_database.enqueue())
    value(tasks.noop.enqueue())

    before = tasks.count_connections.enqueue()
    assert value(before) == value(tasks.count_connections.enqueue())


@pytest.mark.skipif(connection.vendor == "sqlite", reason="a file has no connection to lose")
def test_async_tasks_use_the_orm_after_their_connection_broke(worker, gate):
    """Also while another async task keeps the event loop from ever being idle."""
    other = tasks.ahold.enqueue(str(gate))
    until(lambda: has_started(other))
    value(tasks.ause_database.enqueue())
    tasks.alose_connection.enqueue().wait(30)

    until(lambda: tasks.ause_database.enqueue().wait(30).state == JobState.SUCCESSFUL)

    gate.touch()
    value(other)


# --- time limits --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task", [tasks.loop_forever, tasks.swallow_exceptions, tasks.sleep_forever]
)
def test_a_task_is_stopped_at_its_time_limit(worker, task):
    result = task.using(timeout=0.3, max_attempts=1).enqueue().wait(30)

    assert result.state == JobState.FAILED
    assert path_of_error(result) == TIMEOUT
    assert value(add.enqueue(1)) == 1
    assert value(aadd.enqueue(1)) == 1


def test_a_job_stopped_at_its_time_limit_is_retried(worker):
    result = tasks.loop_forever.using(timeout=0.2).enqueue()

    until(lambda: Attempt.objects.filter(job_id=result.id).exists())
    result.refresh()

    assert result.state == JobState.SCHEDULED
    assert last_error_path(result) == TIMEOUT


STUBBORN = [
    (tasks.swallow_everything, "gate"),
    (tasks.block_thread, "fifo"),
    (tasks.swallow_cancellation, "gate"),
    (tasks.block_loop, "fifo"),
]


@pytest.mark.parametrize(("task", "fixture"), STUBBORN)
def test_a_job_fails_although_its_task_does_not_stop(worker, request, task, fixture):
    path = request.getfixturevalue(fixture)
    result = task.using(timeout=0.3, max_attempts=1).enqueue(str(path)).wait(30)

    assert result.state == JobState.FAILED
    assert path_of_error(result) == TIMEOUT
    assert value(add.enqueue(1)) == 1
    until(lambda: event_log.entries("finished", result.id))
    assert event_log.entries("finished", result.id)[0].words[2:] == ("FAILED", "JobTimeout")


def test_a_task_that_finishes_in_time_is_not_interrupted(worker, gate):
    result = tasks.hold.using(timeout=30).enqueue(str(gate))
    until(lambda: has_started(result))
    gate.touch()

    assert value(result)


# --- cancelling ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task", [tasks.loop_forever, tasks.swallow_exceptions, tasks.sleep_forever]
)
def test_a_running_job_is_cancelled(worker, task):
    result = task.enqueue()
    until(lambda: has_started(result))

    result.cancel()
    result.wait(30)

    assert result.state == JobState.CANCELLED
    assert path_of_error(result) == CANCELLED
    (finished,) = until(lambda: event_log.entries("finished", result.id))
    assert finished.words[2:] == ("FAILED", "JobCancelled")


@pytest.mark.parametrize(("task", "fixture"), STUBBORN)
def test_a_running_job_that_does_not_stop_is_cancelled_anyway(worker, request, task, fixture):
    result = task.enqueue(str(request.getfixturevalue(fixture)))
    until(lambda: has_started(result))

    result.cancel()
    result.wait(30)

    assert result.state == JobState.CANCELLED
    assert value(add.enqueue(1)) == 1


def test_several_running_jobs_are_cancelled_one_after_the_other(start_worker, processes):
    start_worker(processes, threads=4, lease=120)
    results = tasks.loop_forever.enqueue_many([((), {})] * 4)
    until(lambda: all(has_started(result) for result in results))

    for result in results:
        result.cancel()

    for result in results:
        assert result.wait(10).state == JobState.CANCELLED


def test_a_waiting_job_is_cancelled_at_once(worker):
    result = add.using(run_after=timedelta(hours=1)).enqueue(1)

    result.cancel()

    assert result.state == JobState.CANCELLED
    assert Job.objects.get().fence == 0


def test_a_finished_job_cannot_be_cancelled(worker):
    result = add.enqueue(1)
    value(result)

    with pytest.raises(InvalidJobState, match="is successful"):
        result.cancel()


def test_a_task_can_check_whether_it_is_cancelled(worker):
    result = tasks.poll_is_cancelled.enqueue()
    until(lambda: has_started(result))

    result.cancel()

    assert result.wait(30).state in {JobState.CANCELLED, JobState.SUCCESSFUL}
    assert event_log.entries("cancelled", result.id)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_job_cancelled_while_it_waits_for_a_slot_is_stopped_once_it_runs(
    start_worker, processes, gate, is_async
):
    start_worker(processes, threads=1, async_slots=1)
    blocker, task = (
        (tasks.ahold, tasks.sleep_forever) if is_async else (tasks.hold, tasks.loop_forever)
    )
    for _ in range(30):  # so that the worker claims jobs ahead
        value((tasks.alog_word if is_async else tasks.log_word).enqueue("quick"))
    first, second = blocker.enqueue(str(gate)), task.enqueue()
    until(lambda: has_started(first))

    second.cancel()
    gate.touch()

    assert second.wait(30).state == JobState.CANCELLED
    value(first)


# --- claiming ahead -----------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
def test_jobs_behind_a_long_one_are_run_by_another_worker(start_worker, processes, gate, is_async):
    quick = tasks.ahold_if_given if is_async else tasks.hold_if_given
    start_worker(processes, threads=1, async_slots=1)
    for result in quick.enqueue_many([(("",), {})] * 300):
        value(result)
    # One batch: the first job is long, but its task was short so far, so others wait behind it.
    first, *others = quick.enqueue_many([((str(gate) if not n else "",), {}) for n in range(50)])
    until(lambda: has_started(first))

    start_worker(processes, threads=1, async_slots=1)
    for result in others:
        value(result)

    gate.touch()
    value(first)


# --- several workers, and stopping --------------------------------------------------------


@pytest.mark.usefixtures("takes_nothing_back")
def test_two_workers_share_the_jobs_and_run_none_twice(start_worker, processes):
    words = [f"shared{processes}-{n}" for n in range(400)]
    for _ in range(2):
        start_worker(processes)
    results = tasks.log_word.enqueue_many([((word,), {}) for word in words])

    for result in results:
        value(result)

    noted = [entry.words[0] for entry in event_log.entries("word")]
    assert sorted(set(words) & set(noted)) == sorted(words)
    assert sum(word.startswith(f"shared{processes}-") for word in noted) == 400
    assert not Job.objects.exclude(fence=1).exists()


def test_a_draining_worker_exits_when_no_job_is_ready(start_worker, processes):
    results = add.enqueue_many([((n,), {}) for n in range(50)])
    deferred = add.using(run_after=timedelta(hours=1)).enqueue(1)

    running = start_worker(processes, drain=True)
    running.join()

    assert Job.objects.filter(state=JobState.SUCCESSFUL).count() == len(results)
    deferred.refresh()
    assert deferred.state == JobState.SCHEDULED


def test_a_stopping_worker_finishes_running_jobs_and_releases_the_others(
    start_worker, processes, gate
):
    running = start_worker(processes, threads=1)
    first = tasks.hold.enqueue(str(gate))
    until(lambda: has_started(first))
    others = tasks.hold.enqueue_many([((str(gate),), {})] * 5)

    running.engine.stop()
    until(lambda: Job.objects.filter(state=JobState.READY).count() == len(others))
    gate.touch()
    running.join()

    first.refresh()
    assert first.state == JobState.SUCCESSFUL
    assert set(Job.objects.filter(state=JobState.READY).values_list("attempt", flat=True)) == {0}


def test_a_second_stop_releases_running_jobs(start_worker, processes, gate):
    running = start_worker(processes)
    results = [tasks.hold.enqueue(str(gate)), tasks.ahold.enqueue(str(gate))]
    until(lambda: all(has_started(result) for result in results))

    running.stop(at_once=True)

    assert list(Job.objects.values_list("state", "attempt")) == [(JobState.READY, 0)] * 2


def test_a_stop_finishes_after_its_timeout_although_jobs_run(start_worker, processes, gate):
    running = start_worker(processes, shutdown_timeout=0.2)
    result = tasks.hold.enqueue(str(gate))
    until(lambda: has_started(result))

    running.stop()

    assert Job.objects.get().state == JobState.READY


def test_a_worker_serves_only_its_queues(start_worker, processes):
    start_worker(processes, queues=["mail", "slow"], excluded=["slow"])
    other = add.enqueue(1)
    excluded = add.using(queue_name="slow").enqueue(2)

    assert value(add.using(queue_name="mail").enqueue(3)) == 3

    for result in (other, excluded):
        result.refresh()
        assert result.state == JobState.READY


def test_threads_exit_with_the_worker(start_worker, processes):
    before = set(threading.enumerate())
    running = start_worker(processes)
    value(add.enqueue(1))
    value(aadd.enqueue(1))

    running.stop()

    # The thread in which async tasks use the ORM belongs to asgiref, and stays.
    ours = {thread for thread in threading.enumerate() if thread.name.startswith("offload-")}
    left = {thread for thread in ours if "watch" not in thread.name} - before
    until(lambda: not any(thread.is_alive() for thread in left))


# --- where user code runs -----------------------------------------------------------------


def test_embedded_tasks_run_in_this_process(start_worker: StartWorker):
    start_worker(0)

    assert value(tasks.process_and_thread.enqueue())[0] == os.getpid()
    assert value(tasks.aprocess_and_thread.enqueue())[0] == os.getpid()


def test_with_child_processes_the_worker_runs_no_user_code(start_worker: StartWorker):
    start_worker(1)
    results = [
        tasks.log_word.enqueue("child"),
        tasks.throw.enqueue("group"),
        tasks.athrow.enqueue("group"),
        tasks.hold_interpreter.using(timeout=0.2).enqueue(),
    ]
    backing_off = tasks.fail_with_backoff.enqueue()
    until(lambda: event_log.entries("backoff", backing_off.id))
    until(lambda: all(event_log.entries("finished", result.id) for result in results))
    results.append(tasks.die_at_most_once.enqueue())
    until(lambda: event_log.entries("finished", results[-1].id))

    for kind in ("started", "finished", "backoff", "word"):
        words = {entry.words[0]: entry.pid for entry in event_log.entries(kind)}
        logged = {result.id for result in results} | {backing_off.id, "child"}
        for word in logged & words.keys():
            assert words[word] != os.getpid()


# --- only with child processes ------------------------------------------------------------


def test_a_child_that_holds_its_interpreter_is_killed_and_its_other_jobs_are_released(
    start_worker: StartWorker, gate
):
    start_worker(1, threads=2)
    neighbour = tasks.hold.enqueue(str(gate))
    until(lambda: has_started(neighbour))
    stuck = tasks.hold_interpreter.using(timeout=0.2).enqueue()

    stuck.wait(30)
    gate.touch()

    assert path_of_error(stuck) == TIMEOUT
    value(neighbour)
    row = Job.objects.get(pk=neighbour.id)
    assert (row.attempt, row.worker_losses) == (1, 0)


def test_a_job_in_c_code_that_holds_the_interpreter_is_cancelled(start_worker: StartWorker):
    start_worker(1)
    result = tasks.hold_interpreter.enqueue()
    until(lambda: has_started(result))

    result.cancel()

    assert result.wait(30).state == JobState.CANCELLED
    assert value(add.enqueue(1)) == 1


def test_the_jobs_of_a_child_that_died_run_again(start_worker: StartWorker):
    start_worker(1)
    result = tasks.die.enqueue()

    until(lambda: Job.objects.get(pk=result.id).worker_losses == 2)

    result.refresh()
    assert last_error_path(result) == "offload.exceptions.WorkerLost"
    result.cancel()


def test_a_worker_keeps_nothing_of_finished_jobs(start_worker: StartWorker):
    running: RunningWorker = start_worker(1)
    tasks.noop.enqueue_many([((), {})] * 2000)
    until(lambda: not Job.objects.filter(finished_at=None).exists(), seconds=60)

    # The rows are committed before the worker forgets the jobs.
    until(lambda: not running.pool.held_jobs() and not running.engine.completer)


def test_children_share_preloaded_objects_also_after_a_garbage_collection(
    start_worker: StartWorker,
):
    start_worker(1)

    assert value(tasks.shared_objects.enqueue()) > 10_000
