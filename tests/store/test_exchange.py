"""The store's operations: claim, finish, promote, rescue, cancel and prune."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
from contextlib import closing, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from offload.lifecycle import (
    JobState,
    Outcome,
    failed,
    released,
    retried,
    snoozed,
    succeeded,
)
from offload.models import Attempt, Job
from offload.store import get_store
from offload.store.base import Store
from offload.store.losses import lost_outcome
from offload.store.records import ClaimedJob, ClaimRequest, ProgressUpdates
from offload.uuid7 import new_id
from tests.jobs import FAILURE, NO_CLAIM, register_worker
from tests.tasks import aadd, add, plain
from tests.worker.locking import lock, transaction_elsewhere

pytestmark = pytest.mark.django_db

PROGRESS = '{"done": 1, "total": 2}'


@pytest.fixture
def store() -> Store:
    return get_store("default")


@pytest.fixture
def worker(store: Store) -> str:
    return register_worker()


def request(sync_slots: int = 10, async_slots: int = 10, *queues: str) -> ClaimRequest:
    return ClaimRequest("default", queues or ("default", "mail"), sync_slots, async_slots)


def claim(store: Store, worker: str, *args: int) -> list[ClaimedJob]:
    return store.exchange(worker, [], request(*args)).claimed


def state_of(job: ClaimedJob) -> JobState:
    return JobState(Job.objects.get(pk=job.id).state)


def progress_for(*jobs: ClaimedJob) -> ProgressUpdates:
    return sorted((job.key, PROGRESS) for job in jobs)


def progress_of(*jobs: ClaimedJob) -> list[str | None]:
    return [Job.objects.get(pk=job.id).progress for job in jobs]


def versions() -> dict[str, int]:
    store = get_store("default")
    return {store.key(pk): version for pk, version in Job.objects.values_list("pk", "version")}


def test_a_claim_takes_the_most_urgent_jobs_first(store: Store, worker: str) -> None:
    late = add.using(priority=-5).enqueue(1)
    first, second = add.enqueue(2), add.enqueue(3)
    urgent = add.using(priority=50).enqueue(4)
    claimed = claim(store, worker)
    assert [str(UUID(job.id)) for job in claimed] == [urgent.id, first.id, second.id, late.id]
    assert [job.fence for job in claimed] == [1, 1, 1, 1]
    assert all(job.attempt == 1 and job.worker == worker for job in claimed)


@pytest.mark.parametrize(
    ("queues", "count", "per_queue"),
    [(1, 500, 500), (2, 500, 500), (4, 500, 250), (100, 500, 16), (100, 5, 5), (3, 0, 0)],
)
def test_a_claim_from_many_queues_reads_a_share_of_each(queues, count, per_queue) -> None:
    assert (
        ClaimRequest("default", [f"q{n}" for n in range(queues)], count).per_queue(count)
        == per_queue
    )


def test_a_claim_from_many_queues_takes_the_most_urgent_of_each_share(
    store: Store, worker: str
) -> None:
    names = [f"q{n:02}" for n in range(20)]
    results = add.enqueue_many([((n,), {}) for n in range(20 * 20)])
    for place, name in enumerate(names):
        ids = [result.id for result in results[place::20]]
        Job.objects.filter(pk__in=ids).update(queue_name=name)
    Job.objects.filter(queue_name="q07").update(priority=9)
    request = ClaimRequest("default", names, 100)
    claimed = store.exchange(worker, [], request).claimed
    assert len(claimed) == 100
    assert [job.queue_name for job in claimed[:16]] == ["q07"] * 16
    assert [(-job.priority, job.id) for job in claimed] == sorted(
        (-job.priority, job.id) for job in claimed
    )
    while more := store.exchange(worker, [], request).claimed:
        claimed += more
    assert len({job.id for job in claimed}) == 400


def test_a_claim_takes_no_more_jobs_than_requested(store: Store, worker: str) -> None:
    add.enqueue_many([((n,), {}) for n in range(5)])
    aadd.enqueue_many([((n,), {}) for n in range(5)])
    plain.enqueue_many([((n,), {}) for n in range(5)])
    claimed = claim(store, worker, 3, 2)
    assert sum(not job.is_async for job in claimed) == 3
    assert sum(bool(job.is_async) for job in claimed) == 2
    assert not store.exchange(worker, [], ClaimRequest("default", (), 3, 3)).claimed
    assert not store.exchange(worker, [], ClaimRequest("other", ("default",), 3, 3)).claimed
    assert len(store.exchange(worker, [], request(10, 10, "mail")).claimed) == 5


def test_one_exchange_finishes_and_claims_jobs(store: Store, worker: str) -> None:
    add.enqueue(1)
    (job,) = claim(store, worker)
    add.enqueue(2)
    exchange = store.exchange(worker, [(job, succeeded("[1]"))], request())
    assert not exchange.refused
    assert len(exchange.claimed) == 1
    row = Job.objects.get(pk=job.id)
    assert (row.state, row.return_value) == (JobState.SUCCESSFUL, "[1]")
    assert row.finished_at is not None
    assert timezone.now() - row.finished_at < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("outcome", "state", "attempt"),
    [
        (failed(FAILURE), JobState.FAILED, 1),
        (retried(FAILURE, 0), JobState.READY, 1),
        (retried(FAILURE, 60), JobState.SCHEDULED, 1),
        (snoozed(60), JobState.SCHEDULED, 0),
        (released(), JobState.READY, 0),
    ],
)
def test_an_outcome_sets_state_and_attempt(
    store: Store, worker: str, outcome, state, attempt
) -> None:  # type: ignore[no-untyped-def]
    add.enqueue(1)
    (job,) = claim(store, worker)
    store.exchange(worker, [(job, outcome)], NO_CLAIM)
    row = Job.objects.get(pk=job.id)
    assert (row.state, row.attempt, row.fence) == (state, attempt, 1)
    assert (row.finished_at is None) == (not state.is_finished)
    assert Attempt.objects.filter(job_id=job.id).count() == (1 if outcome.failure else 0)


def test_a_late_outcome_is_refused(store: Store, worker: str) -> None:
    add.enqueue(1)
    (job,) = claim(store, worker)
    store.exchange(worker, [(job, released())], NO_CLAIM)
    (again,) = claim(store, worker)
    assert again.fence == 2
    exchange = store.exchange(worker, [(job, succeeded("1")), (again, succeeded("2"))], request())
    assert exchange.refused == [job]
    assert Job.objects.get(pk=job.id).return_value == "2"


def test_a_job_with_a_cancel_request_is_cancelled_instead_of_retried(
    store: Store, worker: str
) -> None:
    add.enqueue(1)
    (job,) = claim(store, worker)
    assert store.cancel(UUID(job.id)) == JobState.RUNNING
    assert store.held_jobs(UUID(worker)) == {(job.id, 1): True}
    exchange = store.exchange(worker, [(job, retried(FAILURE, 5))], request())
    assert state_of(job) == JobState.CANCELLED
    ((cancelled, outcome),) = exchange.cancelled
    assert (cancelled, outcome.state, outcome.failure) == (job, JobState.CANCELLED, tuple(FAILURE))


@pytest.mark.parametrize("outcome", [retried(FAILURE, 60), snoozed(60), released(), None])
def test_a_job_that_does_not_run_again_keeps_the_time_from_which_it_could_run(
    store: Store, worker: str, outcome: Any
) -> None:
    add.enqueue(1)
    (job,) = claim(store, worker)
    if outcome is None:  # lost, although it may run at most once
        outcome = lost_outcome(job._replace(max_worker_losses=0), "killed")
    else:
        store.cancel(UUID(job.id))
    store.exchange(worker, [(job, outcome)], NO_CLAIM)
    row: Any = Job.objects.get(pk=job.id)
    assert JobState(row.state) in {JobState.CANCELLED, JobState.FAILED}
    assert row.run_after == row.enqueued_at
    assert row.run_after <= row.finished_at


def test_a_worker_without_a_row_claims_nothing(store: Store) -> None:
    add.enqueue(1)
    worker = store.key(new_id())
    assert claim(store, worker) == []
    assert len(claim(store, register_worker())) == 1


def test_a_worker_does_not_take_its_own_jobs_for_lost(store: Store, worker: str) -> None:
    add.enqueue(1)
    (job,) = claim(store, worker)
    store.deregister(UUID(worker))
    assert store.rescue(rescuer=UUID(worker)) == []
    assert [rescued for rescued, _ in store.rescue(rescuer=new_id())] == [job]


def test_progress_is_a_new_version_of_the_running_job(store: Store, worker: str) -> None:
    add.enqueue_many([((n,), {}) for n in range(3)])
    one, two, three = claim(store, worker)
    before = versions()

    exchange = store.exchange(worker, [], NO_CLAIM, progress_for(one, two))

    assert exchange.progress_written == {one.key, two.key}
    assert progress_of(one, two, three) == [PROGRESS, PROGRESS, None]
    after = versions()
    assert [after[job.id] - before[job.id] for job in (one, two, three)] == [1, 1, 0]
    assert state_of(one) == JobState.RUNNING


def test_progress_is_refused_for_a_job_that_another_worker_holds(store: Store, worker: str) -> None:
    add.enqueue_many([((n,), {}) for n in range(2)])
    lost, finished = claim(store, worker)
    store.exchange(worker, [(lost, released()), (finished, succeeded("1"))], NO_CLAIM)
    (again,) = claim(store, register_worker())
    assert again.key == (lost.id, 2)
    before = versions()

    exchange = store.exchange(worker, [], NO_CLAIM, progress_for(lost, finished))

    assert exchange.progress_written == set()
    assert progress_of(again, finished) == [None, None]
    assert versions() == before


@pytest.mark.parametrize(
    "outcome", [succeeded("1"), failed(FAILURE), retried(FAILURE, 60), snoozed(60)]
)
def test_the_last_progress_is_written_with_the_outcome(
    store: Store, worker: str, outcome: Outcome
) -> None:
    add.enqueue_many([((n,), {}) for n in range(2)])
    finishing, running = claim(store, worker)
    before = versions()

    exchange = store.exchange(
        worker, [(finishing, outcome)], NO_CLAIM, progress_for(finishing, running)
    )

    assert not exchange.refused
    assert exchange.progress_written == {finishing.key, running.key}
    assert progress_of(finishing, running) == [PROGRESS, PROGRESS]
    assert state_of(finishing) == outcome.state
    assert versions()[finishing.id] > before[finishing.id]


def test_the_last_progress_of_a_late_outcome_is_refused_with_it(store: Store, worker: str) -> None:
    add.enqueue(1)
    (job,) = claim(store, worker)
    store.exchange(worker, [(job, released())], NO_CLAIM)
    (again,) = claim(store, worker)

    exchange = store.exchange(worker, [(job, succeeded("1"))], NO_CLAIM, progress_for(job))

    assert (exchange.refused, exchange.progress_written) == ([job], set())
    assert progress_of(again) == [None]


def test_the_next_attempt_starts_without_progress(store: Store, worker: str) -> None:
    result = add.enqueue(1)
    (job,) = claim(store, worker)
    store.exchange(worker, [(job, retried(FAILURE, 0))], NO_CLAIM, progress_for(job))
    assert progress_of(job) == [PROGRESS]

    (job,) = claim(store, worker)
    assert progress_of(job) == [None]

    store.exchange(worker, [(job, failed(FAILURE))], NO_CLAIM, progress_for(job))
    assert store.retry(UUID(result.id))
    assert progress_of(job) == [None]


def test_progress_of_hundreds_of_jobs_is_written_in_one_statement(
    store: Store, worker: str
) -> None:
    texts = [f'{{"done": {n}, "message": "\\"{n}\\" → \\\\ {{}} % %s 😀"}}' for n in range(300)]
    add.enqueue_many([((n,), {}) for n in range(300)])
    jobs = claim(store, worker, 300, 0)
    progress = sorted((job.key, text) for job, text in zip(jobs, texts, strict=True))

    with CaptureQueriesContext(connection) as queries:
        assert len(store.exchange(worker, [], NO_CLAIM, progress).progress_written) == 300

    assert progress_of(*jobs) == texts
    if connection.vendor != "sqlite":  # its store bypasses Django's cursors
        assert sum("offload_job" in query["sql"] for query in queries) <= 2


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one lock for all rows")
@pytest.mark.django_db(transaction=True)
def test_progress_skips_locked_rows(store: Store, worker: str) -> None:
    add.enqueue_many([((n,), {}) for n in range(2)])
    locked, free = claim(store, worker)

    with transaction_elsewhere(lock(locked.id)):
        exchange = store.exchange(worker, [], NO_CLAIM, progress_for(locked, free))
        assert exchange.progress_written == {free.key}

    assert store.exchange(worker, [], NO_CLAIM, progress_for(locked)).progress_written == {
        locked.key
    }
    assert progress_of(locked, free) == [PROGRESS, PROGRESS]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases lock rows")
@pytest.mark.django_db(transaction=True)
def test_progress_does_not_wait_for_the_lock_of_sqlite(store: Store, worker: str) -> None:
    add.enqueue(1)
    (job,) = claim(store, worker)

    with transaction_elsewhere(lambda: Job.objects.update(priority=1)):
        started = time.monotonic()
        assert store.exchange(worker, [], NO_CLAIM, progress_for(job)).progress_written == set()
        assert time.monotonic() - started < 1
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout")
            assert cursor.fetchone()[0] >= 5_000  # other statements wait as before

    assert store.exchange(worker, [], NO_CLAIM, progress_for(job)).progress_written == {job.key}


def test_only_unfinished_jobs_can_be_cancelled(store: Store, worker: str) -> None:
    waiting = UUID(add.enqueue(1).id)
    assert store.cancel(waiting) == JobState.CANCELLED
    assert store.cancel(waiting) is None
    assert store.cancel(new_id()) is None
    assert store.retry(waiting)
    assert not store.retry(waiting)
    (job,) = claim(store, worker)
    assert job.fence == 1


def test_due_jobs_are_promoted(store: Store, worker: str) -> None:
    assert store.poll("default")[1] is None
    soon = add.using(run_after=timedelta(seconds=30)).enqueue(1)
    assert 20 < (store.poll("default")[1] or 0) <= 30
    assert store.promote() == 0
    Job.objects.filter(pk=soon.id).update(run_after=timezone.now() - timedelta(seconds=1))
    assert store.poll("default")[1] == 0
    assert store.promote() == 1
    assert len(claim(store, worker)) == 1


def test_promoted_jobs_do_not_overtake_older_ones(store: Store, worker: str) -> None:
    older = add.enqueue(1)
    deferred = add.using(run_after=timedelta(seconds=30)).enqueue(2)
    Job.objects.filter(pk=deferred.id).update(state=JobState.READY)
    claimed = claim(store, worker)
    assert [str(UUID(job.id)) for job in claimed] == [older.id, deferred.id]


def test_the_jobs_of_a_worker_whose_lease_expired_are_rescued(store: Store, worker: str) -> None:
    dead = register_worker(lease=-1)
    add.enqueue(1)
    (job,) = claim(store, dead)
    add.enqueue(2)
    (alive,) = claim(store, worker)
    assert list(store.expired_workers()) == [UUID(dead)]
    assert store.rescue() == []  # an expired worker may be alive
    ((rescued, _),) = store.rescue([UUID(dead), UUID(worker)])
    assert rescued.id == job.id
    assert not store.heartbeat(UUID(dead), lease=30)
    assert store.heartbeat(UUID(worker), lease=30)
    assert state_of(alive) == JobState.RUNNING
    row = Job.objects.get(pk=job.id)
    assert (row.state, row.attempt, row.worker_losses) == (JobState.SCHEDULED, 0, 1)
    assert store.run_now(row.pk)
    assert store.exchange(dead, [(job, succeeded("1"))], NO_CLAIM).refused == [job]
    (again,) = claim(store, worker)
    assert [path for _, path, _ in again.previous] == ["offload.exceptions.WorkerLost"]


def test_a_claim_of_a_job_that_was_retried_by_hand_has_its_earlier_attempts(store: Store) -> None:
    worker = register_worker()
    add.enqueue(1)
    (job,) = claim(store, worker)
    store.exchange(worker, [(job, failed(FAILURE))], NO_CLAIM)
    assert store.retry(UUID(job.id))

    (again,) = claim(store, worker)

    assert (again.attempt, [path for _, path, _ in again.previous]) == (1, [FAILURE[0]])


def test_a_job_that_keeps_losing_its_worker_fails(store: Store) -> None:
    add.enqueue(1)
    for _ in range(4):
        Job.objects.filter(state=JobState.SCHEDULED).update(state=JobState.READY)
        (job,) = claim(store, register_worker(lease=-1))
        store.rescue(store.expired_workers())
    row = Job.objects.get(pk=job.id)
    assert (row.state, row.worker_losses) == (JobState.FAILED, 4)
    last = Attempt.objects.filter(job_id=job.id).latest("fence")
    assert last.message == (
        "Worker process lost for the 4th time (its worker died): giving up after "
        "max_worker_losses=3."
    )


def test_the_error_of_a_job_that_runs_at_most_once_says_why_it_is_given_up(store: Store) -> None:
    add.enqueue(1)
    Job.objects.update(max_worker_losses=0)
    claim(store, register_worker(lease=-1))
    store.rescue(store.expired_workers())

    assert Attempt.objects.get().message == (
        "Worker process lost for the 1st time (its worker died): not running again, because of "
        "at_most_once or max_worker_losses=0."
    )


@pytest.mark.parametrize(
    ("losses", "ordinal"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (22, "22nd")],
)
def test_the_message_of_a_lost_job_counts_its_losses(
    store: Store, worker: str, losses: int, ordinal: str
) -> None:
    add.enqueue(1)
    (job,) = claim(store, worker)
    outcome = lost_outcome(job._replace(worker_losses=losses - 1, max_worker_losses=50), "killed")
    assert outcome.failure is not None
    assert outcome.failure[1] == (
        f"Worker process lost for the {ordinal} time (killed): running again."
    )


def test_only_old_finished_jobs_are_pruned(store: Store, worker: str) -> None:
    add.enqueue_many([((n,), {}) for n in range(3)])
    old, recent, running = claim(store, worker)
    store.exchange(worker, [(old, failed(FAILURE)), (recent, failed(FAILURE))], NO_CLAIM)
    Job.objects.filter(pk=old.id).update(finished_at=timezone.now() - timedelta(days=3))
    before = timezone.now() - timedelta(days=2)

    def prune(backend: str, state: JobState) -> list[int]:
        return list(store.prune(store.finished_before(backend, state, before=before)))

    assert prune("default", JobState.SUCCESSFUL) == [0]
    assert prune("other", JobState.FAILED) == [0]
    assert prune("default", JobState.FAILED) == [1]
    assert {str(pk) for pk in Job.objects.values_list("pk", flat=True)} == {
        str(UUID(recent.id)),
        str(UUID(running.id)),
    }
    assert Attempt.objects.count() == 1


def test_queues_with_ready_jobs_are_found(store: Store) -> None:
    assert store.ready_queues("default") == []
    add.enqueue_many([((n,), {}) for n in range(3)])
    plain.enqueue(1)
    assert store.ready_queues("default") == ["default", "mail"]
    assert store.ready_queues("other") == []
    assert store.poll("default") == (["default", "mail"], None, None, None, False, False)
    assert store.poll("other") == ([], None, None, None, False, False)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has a JIT")
def test_an_exchange_runs_without_jit_and_waits_briefly_for_locks(
    store: Store, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: list[str] = []

    def show(*_: object) -> list[ClaimedJob]:
        with connection.cursor() as cursor:
            for name in ("jit", "lock_timeout"):
                cursor.execute(f"SHOW {name}")
                settings.append(cursor.fetchone()[0])
        return []

    monkeypatch.setattr(store, "_claim", show)
    store.exchange(worker, [], request())
    assert settings == ["off", "1s"]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has a pipeline")
def test_an_exchange_needs_no_pipeline(
    store: Store, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver has none with libpq before version 14, which some systems still use."""
    capabilities = pytest.importorskip("psycopg._capabilities").capabilities
    monkeypatch.setitem(capabilities._cache, "Connection.pipeline()", "this libpq is too old")
    add.enqueue(1)

    (job,) = claim(store, worker)

    assert not store.exchange(worker, [(job, succeeded("1"))], request()).refused


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only its driver has such options")
@pytest.mark.django_db(transaction=True)
def test_a_connection_with_keepalives_notices_a_lost_server(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "keepalives_idle", 77)
    names = (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)
    values: list[int] = []

    def connect() -> None:
        store.dedicate_connection()
        connection.ensure_connection()
        values.append(connection.get_connection_params()["connect_timeout"])
        with socket.socket(fileno=os.dup(connection.connection.fileno())) as end:
            values.extend(end.getsockopt(socket.IPPROTO_TCP, name) for name in names)
        connections.close_all()

    thread = threading.Thread(target=connect)
    thread.start()
    thread.join()

    assert values == [10, 20_000, 77, 5]  # the project's own options win
    assert "tcp_user_timeout" not in connection.settings_dict["OPTIONS"]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases lock rows as they read")
@pytest.mark.django_db(transaction=True)
def test_pruning_takes_the_write_lock_first_where_transactions_start_deferred(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.ensure_connection()
    monkeypatch.setattr(connections["default"], "transaction_mode", None)  # Django's default
    assert store.cancel(UUID(add.enqueue(1).id))
    old = store.finished_before(
        "default", JobState.CANCELLED, before=timezone.now() + timedelta(days=1)
    )
    writes: list[str] = []

    def write_after_it_has_read(execute: Any, sql: str, *arguments: Any) -> Any:
        result = execute(sql, *arguments)
        if sql.startswith("SELECT"):
            elsewhere = sqlite3.connect(connection.settings_dict["NAME"], timeout=0)
            with closing(elsewhere), suppress(sqlite3.OperationalError):  # locked
                writes.append(sql)
                elsewhere.execute("UPDATE offload_job SET priority = priority + 1")
                elsewhere.commit()
        return result

    with connection.execute_wrapper(write_after_it_has_read):
        assert [*store.prune(old)] == [1]
    assert writes
