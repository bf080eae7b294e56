"""A copy that a task makes by fork ends with the task's code, and runs nothing more."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest
from django.db import connections, transaction

from offload import JobState
from tests.models import Effect
from tests.worker import event_log, forking_tasks, tasks
from tests.worker.conftest import RunningWorker, StartWorker, until
from tests.worker.forking_tasks import ASYNC_WAYS, EXIT_CODES
from tests.worker.job_runs import claimed
from tests.worker.runners.harness import LIMIT, make_event_loop, make_threads


@pytest.mark.parametrize("make", [make_threads, make_event_loop], ids=["threads", "event loop"])
def test_a_copy_runs_none_of_the_jobs_that_wait_behind_its_task(start, make):
    harness = start(make)
    fork, log_word = (
        (forking_tasks.fork, tasks.log_word)
        if make is make_threads
        else (forking_tasks.afork, tasks.alog_word)
    )
    jobs = [claimed(log_word, f"{make.__name__}-{number}") for number in range(20)]
    forks = [claimed(fork, how) for how in EXIT_CODES]
    if make is make_event_loop:
        forks += [claimed(forking_tasks.afork_beneath, way) for way in ASYNC_WAYS]

    harness.submit(*forks, *jobs)
    reports = [harness.report() for _ in (*forks, *jobs)]

    assert [report.outcome.state for report in reports] == [JobState.SUCCESSFUL] * len(reports)
    for number in range(20):
        (entry,) = event_log.entries("word", f"{make.__name__}-{number}")
        assert entry.pid == os.getpid()


def test_a_copy_ends_with_the_exit_code_of_a_program(worker: RunningWorker):
    results = {
        (task.name, how): task.enqueue(how)
        for task in (forking_tasks.fork, forking_tasks.afork, forking_tasks.afork_in_thread)
        for how in EXIT_CODES
    }

    for (_, how), result in results.items():
        assert result.wait(LIMIT).return_value == EXIT_CODES[how]


def test_a_copy_ends_when_its_code_gives_control_back_to_the_event_loop(worker: RunningWorker):
    expected = {way: code for way, (_, code) in ASYNC_WAYS.items()}

    results = {way: forking_tasks.afork_beneath.enqueue(way) for way in ASYNC_WAYS}

    assert {way: r.wait(LIMIT).return_value for way, r in results.items()} == expected


def test_a_copy_made_in_a_thread_of_the_task_makes_no_other_call_of_it(worker: RunningWorker):
    token = f"processes-{worker.pool.processes}"
    result = forking_tasks.fork_in_pool.enqueue(token).wait(LIMIT)

    assert result.return_value == 3, result.errors
    assert len(_pids("pool", token)) == 1


def test_a_copy_made_by_code_without_a_name_ends_with_its_task(start):
    harness = start(make_threads)

    assert harness.run(forking_tasks.fork_in_code_without_name).outcome.return_value == "3"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this signal")
def test_a_copy_outlives_a_thread_of_the_task_that_made_it_and_not_the_process(start):
    harness = start(make_threads)

    outcome = harness.run(forking_tasks.fork_in_thread_that_ends).outcome

    assert outcome.return_value == f"[{signal.SIGKILL:d},0]"


def test_a_copy_made_after_the_commit_makes_no_other_call_of_the_transaction(
    worker: RunningWorker,
):
    token = f"processes-{worker.pool.processes}"
    result = forking_tasks.fork_on_commit.enqueue(token).wait(LIMIT)

    assert result.state == JobState.SUCCESSFUL, result.errors
    until(lambda: _pids("commit", token)[-1:] == [result.return_value])
    assert _pids("commit", token) == [result.return_value]


@pytest.mark.django_db(transaction=True)
def test_a_copy_leaves_the_connections_of_other_threads_alone(start):
    """Python frees them in the copy, and MariaDB's driver would log off."""
    harness = start(make_threads)
    is_connected, has_forked = threading.Event(), threading.Event()

    def write_twice() -> None:
        with transaction.atomic():
            Effect.objects.create(token="before")
            is_connected.set()
            has_forked.wait(LIMIT)
            Effect.objects.create(token="after")
        connections.close_all()

    thread = threading.Thread(target=write_twice)
    thread.start()
    assert is_connected.wait(LIMIT)
    assert harness.run(forking_tasks.fork, "collect garbage").outcome.return_value == "0"
    has_forked.set()
    thread.join()

    assert set(Effect.objects.values_list("token", flat=True)) == {"before", "after"}


@pytest.mark.parametrize("leave", ["return", "raise"])
def test_the_copy_of_an_atomic_task_neither_commits_nor_rolls_back(worker: RunningWorker, leave):
    result = forking_tasks.fork_in_transaction.enqueue(leave, "atomic").wait(LIMIT)

    assert result.return_value == EXIT_CODES[leave]
    assert set(Effect.objects.values_list("token", flat=True)) == {"atomic", "atomic after"}


def test_a_copy_that_leaves_a_transaction_of_the_task_does_not_roll_it_back(worker: RunningWorker):
    result = forking_tasks.fork_in_own_transaction.enqueue("own").wait(LIMIT)

    assert result.return_value == 3, result.errors
    assert set(Effect.objects.values_list("token", flat=True)) == {"own", "own after"}


@pytest.mark.parametrize(
    "task",
    [forking_tasks.fork_and_write, forking_tasks.fork_and_write_in_thread],
    ids=["of the task", "of a thread"],
)
def test_a_copy_uses_a_database_connection_of_its_own(start_worker: StartWorker, task):
    """In a child process, where no other thread uses the database at the moment of the fork.

    A copy would wait forever for a lock inside SQLite that another thread held then.
    """
    start_worker(1)

    result = task.enqueue("a").wait(LIMIT)

    assert result.return_value == 0, result.errors
    assert set(Effect.objects.values_list("token", flat=True)) == {"a", "a copy", "a after"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this signal")
def test_a_program_that_leads_a_session_of_its_own_outlives_the_process_of_its_task(start):
    harness = start(make_threads)

    harness.submit(claimed(forking_tasks.start_program_in_session))

    assert "c_int(0)" in harness.report().outcome.return_value


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the descriptors")
def test_a_program_inherits_no_connection_of_the_process_to_its_worker(start_worker: StartWorker):
    start_worker(1)

    result = forking_tasks.list_descriptors_of_program.enqueue().wait(LIMIT)

    assert result.return_value == "[]\n", result.errors


def test_copies_made_by_receivers_and_backoffs_end_with_them(worker: RunningWorker):
    received = forking_tasks.fork_in_receivers.enqueue()
    areceived = forking_tasks.afork_in_receivers.enqueue()
    backoff = forking_tasks.fail_and_fork_in_backoff.enqueue()

    assert received.wait(LIMIT).state == areceived.wait(LIMIT).state == JobState.SUCCESSFUL
    assert backoff.wait(LIMIT).attempts == 2
    for result in (received, areceived):
        until(lambda result=result: len(event_log.entries("receiver", result.id)) == 2)
        assert {entry.words[1] for entry in event_log.entries("receiver", result.id)} == {"3"}
    assert [entry.words[1] for entry in event_log.entries("backoff", backoff.id)] == ["3"]


def _pids(kind: str, token: str) -> list[int]:
    return [entry.pid for entry in event_log.entries(kind, token)]
