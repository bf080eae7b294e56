"""The contract of the store's verbs, on every database."""

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
    JobFailure,
    JobState,
    Outcome,
    failed,
    released,
    retried,
    snoozed,
    succeeded,
)
from offload.models import Attempt, Job, Worker
from offload.store import get_store
from offload.store.base import Store
from offload.store.records import ClaimedJob, ClaimRequest, ProgressUpdates
from offload.uuid7 import new_id
from tests.tasks import aadd, add, plain
from tests.worker.locking import lock, transaction_elsewhere

pytestmark = pytest.mark.django_db

SOME = '{"done": 1, "total": 2}'
FAILURE = JobFailure("builtins.ValueError", "no", "Traceback ...")


@pytest.fixture
def store() -> Store:
    return get_store("default")


@pytest.fixture
def worker(store: Store) -> str:
    return register(store)


def register(store: Store, lease: float = 30) -> str:
    worker = Worker(
        id=new_id(), backend="default", hostname="here", pid=1, queues="", processes=1, threads=1
    )
    store.register(worker, lease=lease)
    return store.key(worker.pk)


def room(threads: int = 10, slots: int = 10, *queues: str) -> ClaimRequest:
    return ClaimRequest("default", queues or ("default", "mail"), threads, slots)


def claim(store: Store, worker: str, *args: int) -> list[ClaimedJob]:
    return store.exchange(worker, [], room(*args)).claimed


def state_of(job: ClaimedJob) -> JobState:
    return JobState(Job.objects.get(pk=job.id).state)


def moved(*jobs: ClaimedJob) -> ProgressUpdates:
    return sorted((job.key, SOME) for job in jobs)


def progress_of(*jobs: ClaimedJob) -> list[str | None]:
    return [Job.objects.get(pk=job.id).progress for job in jobs]


def versions() -> dict[str, int]:
    store = get_store("default")
    return {store.key(pk): version for pk, version in Job.objects.values_list("pk", "version")}


def test_claims_the_most_urgent_first(store: Store, worker: str) -> None:
    late = add.using(priority=-5).enqueue(1)
    first, second = add.enqueue(2), add.enqueue(3)
    urgent = add.using(priority=50).enqueue(4)
    claimed = claim(store, worker)
    assert [str(UUID(job.id)) for job in claimed] == [urgent.id, first.id, second.id, late.id]
    assert [job.fence for job in claimed] == [1, 1, 1, 1]
    assert all(job.attempt == 1 and job.worker == worker for job in claimed)


@pytest.mark.parametrize(
    ("queues", "count", "each"),
    [(1, 500, 500), (2, 500, 500), (4, 500, 250), (100, 500, 16), (100, 5, 5), (3, 0, 0)],
)
def test_of_many_queues_a_claim_looks_at_a_share_of_each(queues, count, each) -> None:
    assert ClaimRequest("default", [f"q{n}" for n in range(queues)], count).per_queue(count) == each


def test_a_claim_from_many_queues_takes_the_most_urgent_of_each_share(
    store: Store, worker: str
) -> None:
    names = [f"q{n:02}" for n in range(20)]
    results = add.enqueue_many([((n,), {}) for n in range(20 * 20)])
    for place, name in enumerate(names):
        ids = [result.id for result in results[place::20]]
        Job.objects.filter(pk__in=ids).update(queue_name=name)
    Job.objects.filter(queue_name="q07").update(priority=9)
    wanted = ClaimRequest("default", names, 100)
    claimed = store.exchange(worker, [], wanted).claimed
    assert len(claimed) == 100
    assert [job.queue_name for job in claimed[:16]] == ["q07"] * 16
    assert [(-job.priority, job.id) for job in claimed] == sorted(
        (-job.priority, job.id) for job in claimed
    )
    while more := store.exchange(worker, [], wanted).claimed:
        claimed += more
    assert len({job.id for job in claimed}) == 400


def test_claims_no_more_than_there_is_room_for(store: Store, worker: str) -> None:
    add.enqueue_many([((n,), {}) for n in range(5)])
    aadd.enqueue_many([((n,), {}) for n in range(5)])
    plain.enqueue_many([((n,), {}) for n in range(5)])
    claimed = claim(store, worker, 3, 2)
    assert sum(not job.is_async for job in claimed) == 3
    assert sum(bool(job.is_async) for job in claimed) == 2
    assert not store.exchange(worker, [], ClaimRequest("default", (), 3, 3)).claimed
    assert not store.exchange(worker, [], ClaimRequest("other", ("default",), 3, 3)).claimed
    assert len(store.exchange(worker, [], room(10, 10, "mail")).claimed) == 5


def test_finishes_and_claims_in_one_exchange(store: Store, worker: str) -> None:
    add.enqueue(1)
    (job,) = claim(store, worker)
    add.enqueue(2)
    exchange = store.exchange(worker, [(job, succeeded("[1]"))], room())
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
def test_outcomes(store: Store, worker: str, outcome, state, attempt) -> None:  # type: ignore[no-untyped-def]
    add.enqueue(1)
    (job,) = claim(store, worker)
    store.exchange(worker, [(job, outcome)], room(0, 0))
    row = Job.objects.get(pk=job.id)
    assert (row.state, row.attempt, row.fence) == (state, attempt, 1)
    assert (row.finished_at is None) == (not state.is_finished)
    assert Attempt.objects.filter(job_id=job.id).count() == (1 if outcome.failure else 0)


def test_a_late_outcome_is_refused(store: Store, worker: str) -> None:
    add.enqueue(1)
    (job,) = claim(store, worker)
    store.exchange(worker, [(job, released())], room(0, 0))
    (again,) = claim(store, worker)
    assert again.fence == 2
    exchange = store.exchange(worker, [(job, succeeded("1")), (again, succeeded("2"))], room())
    assert exchange.refused == [job]
    assert Job.objects.get(pk=job.id).return_value == "2"


def test_a_retry_of_a_job_somebody_cancelled_is_a_cancel(store: Store, worker: str) -> None:
    add.enqueue(1)
    (job,) = claim(store, worker)
    assert store.cancel(UUID(job.id)) == JobState.RUNNING
    assert store.held_jobs(UUID(worker)) == {(job.id, 1): True}
    store.exchange(worker, [(job, retried(FAILURE, 5))], room())
    assert state_of(job) == JobState.CANCELLED


def test_progress_is_a_visible_change_of_the_running_job(store: Store, worker: str) -> None:
    add.enqueue_many([((n,), {}) for n in range(3)])
    one, two, three = claim(store, worker)
    before = versions()

    exchange = store.exchange(worker, [], room(0, 0), moved(one, two))

    assert exchange.progress_written == {one.key, two.key}
    assert progress_of(one, two, three) == [SOME, SOME, None]
    after = versions()
    assert [after[job.id] - before[job.id] for job in (one, two, three)] == [1, 1, 0]
    assert state_of(one) == JobState.RUNNING


def test_progress_is_refused_for_a_job_that_somebody_else_holds(store: Store, worker: str) -> None:
    add.enqueue_many([((n,), {}) for n in range(2)])
    lost, ended = claim(store, worker)
    store.exchange(worker, [(lost, released()), (ended, succeeded("1"))], room(0, 0))
    (again,) = claim(store, register(store))
    assert again.key == (lost.id, 2)
    before = versions()

    exchange = store.exchange(worker, [], room(0, 0), moved(lost, ended))

    assert exchange.progress_written == set()
    assert progress_of(again, ended) == [None, None]
    assert versions() == before


@pytest.mark.parametrize(
    "outcome", [succeeded("1"), failed(FAILURE), retried(FAILURE, 60), snoozed(60)]
)
def test_the_last_progress_is_written_with_the_outcome(
    store: Store, worker: str, outcome: Outcome
) -> None:
    add.enqueue_many([((n,), {}) for n in range(2)])
    ending, running = claim(store, worker)
    before = versions()

    exchange = store.exchange(worker, [(ending, outcome)], room(0, 0), moved(ending, running))

    assert not exchange.refused
    assert exchange.progress_written == {ending.key, running.key}
    assert progress_of(ending, running) == [SOME, SOME]
    assert state_of(ending) == outcome.state
    assert versions()[ending.id] > before[ending.id]


def test_the_last_progress_of_a_late_outcome_is_refused_with_it(store: Store, worker: str) -> None:
    add.enqueue(1)
    (job,) = claim(store, worker)
    store.exchange(worker, [(job, released())], room(0, 0))
    (again,) = claim(store, worker)

    exchange = store.exchange(worker, [(job, succeeded("1"))], room(0, 0), moved(job))

    assert (exchange.refused, exchange.progress_written) == ([job], set())
    assert progress_of(again) == [None]


def test_the_next_attempt_begins_without_progress(store: Store, worker: str) -> None:
    result = add.enqueue(1)
    (job,) = claim(store, worker)
    store.exchange(worker, [(job, retried(FAILURE, 0))], room(0, 0), moved(job))
    assert progress_of(job) == [SOME]

    (job,) = claim(store, worker)
    assert progress_of(job) == [None]

    store.exchange(worker, [(job, failed(FAILURE))], room(0, 0), moved(job))
    assert store.retry(UUID(result.id))
    assert progress_of(job) == [None]


def test_progress_of_hundreds_of_jobs_is_written_at_once(store: Store, worker: str) -> None:
    texts = [f'{{"done": {n}, "message": "\\"{n}\\" → \\\\ {{}} % %s 😀"}}' for n in range(300)]
    add.enqueue_many([((n,), {}) for n in range(300)])
    jobs = claim(store, worker, 300, 0)
    progress = sorted((job.key, text) for job, text in zip(jobs, texts, strict=True))

    with CaptureQueriesContext(connection) as queries:
        assert len(store.exchange(worker, [], room(0, 0), progress).progress_written) == 300

    assert progress_of(*jobs) == texts
    if connection.vendor != "sqlite":  # its store passes by Django's cursors
        assert sum("offload_job" in query["sql"] for query in queries) <= 2


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one lock for everything")
@pytest.mark.django_db(transaction=True)
def test_progress_waits_for_no_lock(store: Store, worker: str) -> None:
    add.enqueue_many([((n,), {}) for n in range(2)])
    locked, free = claim(store, worker)

    with transaction_elsewhere(lock(locked.id)):
        exchange = store.exchange(worker, [], room(0, 0), moved(locked, free))
        assert exchange.progress_written == {free.key}

    assert store.exchange(worker, [], room(0, 0), moved(locked)).progress_written == {locked.key}
    assert progress_of(locked, free) == [SOME, SOME]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the others lock rows")
@pytest.mark.django_db(transaction=True)
def test_progress_waits_not_for_the_lock_of_sqlite_either(store: Store, worker: str) -> None:
    add.enqueue(1)
    (job,) = claim(store, worker)

    with transaction_elsewhere(lambda: Job.objects.update(priority=1)):
        begun = time.monotonic()
        assert store.exchange(worker, [], room(0, 0), moved(job)).progress_written == set()
        assert time.monotonic() - begun < 1
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout")
            assert cursor.fetchone()[0] >= 5_000  # others wait as before

    assert store.exchange(worker, [], room(0, 0), moved(job)).progress_written == {job.key}


def test_cancel_is_for_jobs_that_have_not_ended(store: Store, worker: str) -> None:
    waiting = UUID(add.enqueue(1).id)
    assert store.cancel(waiting) == JobState.CANCELLED
    assert store.cancel(waiting) is None
    assert store.cancel(new_id()) is None
    assert store.retry(waiting)
    assert not store.retry(waiting)
    (job,) = claim(store, worker)
    assert job.fence == 1


def test_promotes_what_is_due(store: Store, worker: str) -> None:
    assert store.poll("default")[1] is None
    soon = add.using(run_after=timedelta(seconds=30)).enqueue(1)
    assert 20 < (store.poll("default")[1] or 0) <= 30
    assert store.promote() == 0
    Job.objects.filter(pk=soon.id).update(run_after=timezone.now() - timedelta(seconds=1))
    assert store.poll("default")[1] == 0
    assert store.promote() == 1
    assert len(claim(store, worker)) == 1


def test_due_deferred_jobs_do_not_overtake_older_ones(store: Store, worker: str) -> None:
    older = add.enqueue(1)
    deferred = add.using(run_after=timedelta(seconds=30)).enqueue(2)
    Job.objects.filter(pk=deferred.id).update(state=JobState.READY)
    claimed = claim(store, worker)
    assert [str(UUID(job.id)) for job in claimed] == [older.id, deferred.id]


def test_rescues_the_jobs_of_an_engine_that_stopped_beating(store: Store, worker: str) -> None:
    dead = register(store, lease=-1)
    add.enqueue(1)
    (job,) = claim(store, dead)
    add.enqueue(2)
    (alive,) = claim(store, worker)
    assert list(store.expired_workers()) == [UUID(dead)]
    assert store.rescue() == []  # expired is not dead yet
    ((rescued, _),) = store.rescue([UUID(dead), UUID(worker)])
    assert rescued.id == job.id
    assert not store.heartbeat(UUID(dead), lease=30)
    assert store.heartbeat(UUID(worker), lease=30)
    assert state_of(alive) == JobState.RUNNING
    row = Job.objects.get(pk=job.id)
    assert (row.state, row.attempt, row.worker_losses) == (JobState.SCHEDULED, 0, 1)
    assert store.run_now(row.pk)
    assert store.exchange(dead, [(job, succeeded("1"))], room(0, 0)).refused == [job]
    (again,) = claim(store, worker)
    assert [path for _, path, _ in again.previous] == ["offload.exceptions.WorkerLost"]


def test_a_job_that_keeps_losing_its_worker_is_stopped(store: Store) -> None:
    add.enqueue(1)
    for _ in range(4):
        Job.objects.filter(state=JobState.SCHEDULED).update(state=JobState.READY)
        (job,) = claim(store, register(store, lease=-1))
        store.rescue(store.expired_workers())
    row = Job.objects.get(pk=job.id)
    assert (row.state, row.worker_losses) == (JobState.FAILED, 4)


def test_prunes_only_old_ended_jobs(store: Store, worker: str) -> None:
    add.enqueue_many([((n,), {}) for n in range(3)])
    old, recent, running = claim(store, worker)
    store.exchange(worker, [(old, failed(FAILURE)), (recent, failed(FAILURE))], room(0, 0))
    Job.objects.filter(pk=old.id).update(finished_at=timezone.now() - timedelta(days=3))
    before = timezone.now() - timedelta(days=2)
    assert [*store.prune(store.finished_before("default", JobState.SUCCESSFUL, before=before))] == [
        0
    ]
    assert [*store.prune(store.finished_before("other", JobState.FAILED, before=before))] == [0]
    assert [*store.prune(store.finished_before("default", JobState.FAILED, before=before))] == [1]
    assert {str(pk) for pk in Job.objects.values_list("pk", flat=True)} == {
        str(UUID(recent.id)),
        str(UUID(running.id)),
    }
    assert Attempt.objects.count() == 1


def test_finds_the_queues_with_ready_jobs(store: Store) -> None:
    assert store.ready_queues("default") == []
    add.enqueue_many([((n,), {}) for n in range(3)])
    plain.enqueue(1)
    assert store.ready_queues("default") == ["default", "mail"]
    assert store.ready_queues("other") == []
    assert store.poll("default") == (["default", "mail"], None)
    assert store.poll("other") == ([], None)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has a JIT")
def test_an_exchange_compiles_nothing_and_waits_briefly_for_locks(
    store: Store, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def look(*_: object) -> list[ClaimedJob]:
        with connection.cursor() as cursor:
            for name in ("jit", "lock_timeout"):
                cursor.execute(f"SHOW {name}")
                seen.append(cursor.fetchone()[0])
        return []

    monkeypatch.setattr(store, "_claim", look)
    store.exchange(worker, [], room())
    assert seen == ["off", "1s"]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has a pipeline")
def test_an_exchange_needs_no_pipeline(
    store: Store, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver has none with libpq before version 14, which some systems still have."""
    capabilities = pytest.importorskip("psycopg._capabilities").capabilities
    monkeypatch.setitem(capabilities._cache, "Connection.pipeline()", "this libpq is too old")
    add.enqueue(1)

    (job,) = claim(store, worker)

    assert not store.exchange(worker, [(job, succeeded("1"))], room()).refused


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the others' drivers cannot")
@pytest.mark.django_db(transaction=True)
def test_who_asks_for_it_notices_a_server_that_is_gone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "keepalives_idle", 77)
    names = (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)
    found: list[int] = []

    def look() -> None:
        store.enable_keepalives()
        connection.ensure_connection()
        found.append(connection.get_connection_params()["connect_timeout"])
        with socket.socket(fileno=os.dup(connection.connection.fileno())) as end:
            found.extend(end.getsockopt(socket.IPPROTO_TCP, name) for name in names)
        connections.close_all()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()

    assert found == [10, 20_000, 77, 5]  # what the project says goes first
    assert "tcp_user_timeout" not in connection.settings_dict["OPTIONS"]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the others lock rows as they read")
@pytest.mark.django_db(transaction=True)
def test_pruning_waits_for_its_turn_where_transactions_begin_deferred(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.ensure_connection()
    monkeypatch.setattr(connections["default"], "transaction_mode", None)  # Django's default
    assert store.cancel(UUID(add.enqueue(1).id))
    old = store.finished_before(
        "default", JobState.CANCELLED, before=timezone.now() + timedelta(days=1)
    )
    tries: list[str] = []

    def write_after_it_has_read(execute: Any, sql: str, *arguments: Any) -> Any:
        result = execute(sql, *arguments)
        if sql.startswith("SELECT"):
            elsewhere = sqlite3.connect(connection.settings_dict["NAME"], timeout=0)
            with closing(elsewhere), suppress(sqlite3.OperationalError):  # locked
                tries.append(sql)
                elsewhere.execute("UPDATE offload_job SET priority = priority + 1")
                elsewhere.commit()
        return result

    with connection.execute_wrapper(write_after_it_has_read):
        assert [*store.prune(old)] == [1]
    assert tries
