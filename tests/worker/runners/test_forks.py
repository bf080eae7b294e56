"""A copy that a task makes by fork ends with the task's code, and runs nothing more."""

from __future__ import annotations

import os
import sys

import pytest

from offload import JobState
from tests.models import Effect
from tests.worker import event_log, forking_tasks, tasks
from tests.worker.conftest import RunningWorker, StartWorker, until
from tests.worker.forking_tasks import EXIT_CODES
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

    harness.submit(*(claimed(fork, how) for how in EXIT_CODES), *jobs)
    reports = [harness.report() for _ in (*EXIT_CODES, *jobs)]

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


@pytest.mark.parametrize("leave", ["return", "raise"])
def test_the_copy_of_an_atomic_task_neither_commits_nor_rolls_back(worker: RunningWorker, leave):
    result = forking_tasks.fork_in_transaction.enqueue(leave, "atomic").wait(LIMIT)

    assert result.return_value == EXIT_CODES[leave]
    assert set(Effect.objects.values_list("token", flat=True)) == {"atomic", "atomic after"}


def test_a_copy_that_leaves_a_transaction_of_the_task_does_not_roll_it_back(worker: RunningWorker):
    result = forking_tasks.fork_in_own_transaction.enqueue("own").wait(LIMIT)

    assert result.return_value == 3, result.errors
    assert set(Effect.objects.values_list("token", flat=True)) == {"own", "own after"}


def test_a_copy_uses_a_database_connection_of_its_own(start_worker: StartWorker):
    """In a child process, where no other thread uses the database at the moment of the fork.

    A copy would wait forever for a lock inside SQLite that another thread held then.
    """
    start_worker(1)

    result = forking_tasks.fork_and_write.enqueue("a").wait(LIMIT)

    assert result.return_value == 0, result.errors
    assert set(Effect.objects.values_list("token", flat=True)) == {"a", "a copy", "a after"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this signal")
def test_a_program_that_leads_a_session_of_its_own_outlives_the_process_of_its_task(start):
    harness = start(make_threads)

    harness.submit(claimed(forking_tasks.start_program_in_session))

    assert "c_int(0)" in harness.report().outcome.return_value


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
