"""Tasks in the processes of a worker."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.tasks.signals import task_finished

from offload.celery import chain, group
from offload.celery.exceptions import TaskRevokedError, TimeLimitExceeded, WorkerLostError
from offload.celery.result import AsyncResult
from offload.celery.runs.worker_signals import announce_end, announce_process
from offload.celery.signals import task_failure, task_revoked
from offload.exceptions import WorkerLost
from offload.lifecycle import JobState
from offload.models import Attempt
from offload.testing import run_jobs
from tests.celery import tasks
from tests.worker import event_log
from tests.worker.conftest import StartWorker, has_started, until

pytestmark = pytest.mark.django_db(transaction=True)


def states_of(result: AsyncResult, state: str) -> Any:
    return until(lambda: result.state == state and result.info)


@pytest.mark.parametrize("processes", [0, 1])
def test_get_waits_for_the_result_and_its_exception(start_worker: StartWorker, processes: int):
    start_worker(processes)

    assert tasks.add.delay(1, 2).get(timeout=60) == 3
    assert tasks.aadd.delay(1, 2).get(timeout=60) == 3
    with pytest.raises(tasks.AddressError, match="nowhere"):
        tasks.fail_with_keywords.delay("nowhere").get(timeout=60)


@pytest.mark.parametrize("processes", [0, 1])
def test_nothing_follows_a_task_that_raises_ignore(start_worker: StartWorker, processes: int):
    start_worker(processes)
    result = chain(tasks.ignore.si("NOT NEEDED"), tasks.fail.si("it ran"))()

    assert result.get(timeout=60) is None
    assert (result.state, result.parent.state) == ("IGNORED", "NOT NEEDED")


def test_a_state_is_visible_at_once_also_from_within_a_transaction(
    start_worker: StartWorker, gate: Path
):
    # On SQLite a transaction holds the only write lock.
    is_atomic = connection.vendor != "sqlite"
    start_worker(1)
    result = tasks.report_and_wait.delay(str(gate), is_atomic=is_atomic)

    assert states_of(result, "PROGRESS") == {"current": 1, "total": 3, "by": Decimal("0.5")}
    assert (result.job.progress.done, result.job.progress.total) == (1, 3)
    gate.touch()
    assert result.get(timeout=60) == "done"


def test_a_task_in_c_code_is_ended_by_its_hard_limit_and_not_retried(
    start_worker: StartWorker, fifo: Path
):
    start_worker(1)
    result = tasks.block_in_c.delay(str(fifo))

    with pytest.raises(TimeLimitExceeded):
        result.get(timeout=60)
    assert result.state == "FAILURE"
    assert Attempt.objects.count() == 1
    assert len(event_log.entries("running", result.id)) <= 1  # 0 if the limit came before


def test_a_task_whose_process_died_runs_again(start_worker: StartWorker, tmp_path: Path):
    start_worker(1)

    result = tasks.kill_own_process_once.delay(str(tmp_path / "marker"))

    assert result.get(timeout=60) == "second time"
    assert result.retries == 0


def test_a_task_with_early_acks_whose_process_died_has_failed(start_worker: StartWorker):
    start_worker(1)

    with pytest.raises(WorkerLostError):
        tasks.kill_own_process.delay().get(timeout=60)


def test_revoke_with_terminate_stops_a_running_task(start_worker: StartWorker):
    start_worker(1)
    result = tasks.wait_for_ever.delay()
    until(lambda: has_started(result))

    result.revoke(terminate=True)

    with pytest.raises(TaskRevokedError):
        result.get(timeout=60)
    assert result.state == "REVOKED"


def test_a_soft_limit_is_raised_in_the_threads_of_a_child(start_worker: StartWorker):
    start_worker(1)
    results = [tasks.clean_up_after_soft_limit.delay() for _ in range(3)]

    assert [result.get(timeout=60) for result in results] == ["cleaned up"] * 3


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite has one lock")
def test_no_hook_is_told_of_a_lock_after_which_the_task_is_called_again(
    start_worker: StartWorker, tmp_path: Path
):
    start_worker(1)
    result = tasks.meet_lock_once.delay(str(tmp_path / "marker"))

    assert result.get(timeout=60) == "done"
    assert result.retries == 0
    assert event_log.entries("on_retry", result.id) == []


def test_a_worker_announces_its_start(start_worker: StartWorker):
    kinds = ("worker_process_init", "worker_ready")
    before = [len(event_log.entries(kind)) for kind in kinds]
    start_worker(0)

    until(lambda: [len(event_log.entries(kind)) for kind in kinds] == [n + 1 for n in before])


def test_other_processes_of_a_worker_announce_no_worker(start_worker: StartWorker):
    before = len(event_log.entries("worker_ready"))
    announce_process(False)

    assert len(event_log.entries("worker_ready")) == before


@pytest.fixture
def ends() -> Iterator[list[Any]]:
    """What receivers learn of jobs whose task did not run, in this process."""
    ends: list[Any] = []

    def on_failure(sender: Any, exception: Any, task_id: str, **_: Any) -> None:
        ends.append((sender.name, type(exception).__name__, task_id))

    def on_revoked(sender: Any, request: Any, expired: bool, **_: Any) -> None:
        ends.append((sender.name, expired, request.id))

    task_failure.connect(on_failure)
    task_revoked.connect(on_revoked)
    yield ends
    task_failure.disconnect(on_failure)
    task_revoked.disconnect(on_revoked)
    task_finished.disconnect(dispatch_uid="offload.celery")


def test_receivers_learn_of_jobs_whose_task_did_not_run(ends: list[Any]):
    announce_process(False)
    expired = tasks.add.apply_async((1,), expires=0)
    failed = tasks.fail.delay()
    run_jobs()
    revoked = tasks.add.delay(1)
    revoked.revoke()
    lost = tasks.add.delay(1).job
    object.__setattr__(lost, "state", JobState.FAILED)
    try:
        raise WorkerLost("gone")  # noqa: TRY301  # as `announce_finished` does
    except WorkerLost:
        announce_end(lost)

    name = "tests.celery.tasks.add"
    assert ends[0] == (name, True, expired.id)
    assert ends[1] == ("tests.celery.tasks.fail", "ValueError", failed.id)
    assert ends[2] == (name, False, revoked.id)
    assert ends[3][:2] == (name, "WorkerLostError")


@pytest.mark.parametrize("processes", [0, 1])
def test_a_worker_runs_a_chain_with_a_chord(start_worker: StartWorker, processes: int):
    start_worker(processes)
    result = (tasks.add.s(1, 1) | group(tasks.add.s(i) for i in range(5)) | tasks.add_all.s())()
    failed = (tasks.fail.s("no") | tasks.add.s(1) | group(tasks.add.s(1), tasks.add.s(2)))()

    assert result.get(timeout=60) == 20
    assert result.parent.get() == [2, 3, 4, 5, 6]
    with pytest.raises(ValueError, match="no"):
        failed.get(timeout=60)
