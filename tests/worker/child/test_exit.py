"""Exit handlers of child processes."""

from __future__ import annotations

import logging
from typing import Any

from offload import JobState
from tests.worker import event_log
from tests.worker.child import exit_tasks
from tests.worker.conftest import StartWorker, until


def has_logged(result: Any) -> bool:
    return bool(event_log.entries("exited", result.id))


def test_a_child_that_is_replaced_runs_its_exit_handlers(start_worker: StartWorker):
    start_worker(1, max_jobs_per_child=1, kill_grace_period=20.0)
    first, second = exit_tasks.log_at_exit.enqueue(), exit_tasks.log_at_exit.enqueue()

    until(lambda: has_logged(first) and has_logged(second))

    assert len({result.wait(30).return_value for result in (first, second)}) == 2


def test_a_child_whose_exit_handlers_hang_is_killed(start_worker: StartWorker, caplog):
    caplog.set_level(logging.WARNING, logger="offload.worker")
    worker = start_worker(1, kill_grace_period=0.3)
    assert exit_tasks.hang_at_exit.enqueue().wait(30).state == JobState.SUCCESSFUL

    worker.stop()

    assert any("exit handlers of child process" in message for message in caplog.messages)


def test_a_killed_child_runs_no_exit_handlers(start_worker: StartWorker):
    worker = start_worker(1, kill_grace_period=20.0)
    killed = exit_tasks.log_at_exit_and_die.enqueue()
    until(lambda: killed.refresh() or killed.is_finished)
    stopped = exit_tasks.log_at_exit.enqueue()
    stopped.wait(30)

    worker.stop()

    assert has_logged(stopped)
    assert not has_logged(killed)


def test_a_child_that_exits_waits_for_the_threads_that_tasks_left(start_worker: StartWorker):
    worker = start_worker(1, kill_grace_period=20.0)
    result = exit_tasks.log_in_thread_at_exit.enqueue().wait(30)

    worker.stop()

    assert has_logged(result)
