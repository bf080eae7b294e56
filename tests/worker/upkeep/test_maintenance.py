"""Maintenance of the whole queue: live workers keep their jobs, and no lock delays the worker."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from offload.conf import BackendOptions
from offload.lifecycle import JobState, succeeded
from offload.models import Job, Limit, LimitKey, Worker
from offload.notifier import Hint
from offload.store import deleted_parts, get_store, idle_keys, retention
from offload.store.base import Store
from offload.store.records import ClaimedJob, EndedJob, FinishedJob
from offload.timestamps import now_microseconds
from offload.worker.change_hints import ChangeHints
from offload.worker.claiming.poller import Poller
from offload.worker.claiming.served_queues import ServedQueues
from offload.worker.upkeep import maintenance as module
from offload.worker.upkeep.maintenance import CONFIRMATION_HEARTBEATS, Maintenance
from offload.worker.upkeep.registration import Registration
from tests.jobs import claim, register_worker
from tests.tasks import add
from tests.worker.clock import Clock
from tests.worker.fake_notifier import FakeNotifier
from tests.worker.locking import transaction_elsewhere
from tests.workflow_rows import E, Flow, S, delete_by_sql, workflow_notices

pytestmark = pytest.mark.django_db(transaction=True)

OPTIONS = BackendOptions(lease=30)
ENOUGH = CONFIRMATION_HEARTBEATS * OPTIONS.heartbeat_interval + 0.1
needs_server = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite has one lock, and waits for it"
)


class Pool:
    """Accepts finished jobs, and has no free slots."""

    processes, threads = 0, 1

    def held_up_jobs(self) -> list[Any]:
        return []

    def capacity(self, *, is_async: bool) -> int:
        return 0

    def announce_finished(self, finished: Sequence[FinishedJob]) -> None: ...

    def announce_ended(self, ended: Sequence[EndedJob]) -> None: ...


class LiveWorker:
    """A registered worker that runs no jobs, and whose maintenance the test calls."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.notifier = FakeNotifier()
        pool: Any = Pool()
        self.store: Store = get_store("default")
        self.registration = Registration(self.store, "default", [], pool, OPTIONS.lease)
        self.registration.ensure_registered()
        self.poller = Poller(
            self.store,
            self.notifier,
            served=ServedQueues("default"),
            poll_interval=OPTIONS.poll_interval,
            hints=ChangeHints(self.notifier, clock=clock),
            clock=clock,
        )
        self.maintenance = Maintenance(
            self.store, self.registration, OPTIONS, pool, self.poller, clock=clock
        )

    def rescue(self, *, after: float = 0.0) -> float | None:
        self.clock.now += after
        return self.maintenance.rescue()


@pytest.fixture
def worker() -> Iterator[LiveWorker]:
    worker = LiveWorker(Clock())
    yield worker
    worker.registration.host_lock.release()


@pytest.fixture
def other() -> UUID:
    """Another worker, whose lease has expired."""
    return UUID(register_worker(lease=-1))


@pytest.fixture
def job(other: UUID) -> ClaimedJob:
    """A job that the other worker runs."""
    add.enqueue(1)
    (job,) = claim(get_store("default").key(other))
    return job


def expire(worker: UUID) -> None:
    Worker.objects.filter(pk=worker).update(expires_at=timezone.now() - timedelta(seconds=1))


def is_lost(job: ClaimedJob) -> bool:
    return bool(Job.objects.get(pk=job.id).worker_losses)


# --- which workers are dead ---------------------------------------------------------------


def test_a_worker_whose_lease_expired_is_only_suspected_at_first(
    worker: LiveWorker, job: ClaimedJob
) -> None:
    again_in = worker.rescue()

    assert not is_lost(job)
    assert again_in == CONFIRMATION_HEARTBEATS * OPTIONS.heartbeat_interval


def test_a_worker_that_stays_silent_is_dead_and_its_jobs_run_again(
    worker: LiveWorker, job: ClaimedJob, other: UUID
) -> None:
    worker.rescue()
    worker.rescue(after=ENOUGH)

    assert is_lost(job)
    assert not Worker.objects.filter(pk=other).exists()


def test_a_worker_that_sends_a_heartbeat_after_a_stall_keeps_its_jobs(
    worker: LiveWorker, job: ClaimedJob, other: UUID
) -> None:
    worker.rescue()
    worker.store.heartbeat(other, lease=30)
    worker.rescue(after=ENOUGH)

    assert not is_lost(job)
    assert not worker.store.finish([(job, succeeded("1"))]).refused  # none is refused


def test_a_worker_that_sends_heartbeats_while_the_clock_jumps_is_suspected_anew(
    worker: LiveWorker, job: ClaimedJob, other: UUID
) -> None:
    worker.rescue()
    worker.store.heartbeat(other, lease=-1)
    worker.rescue(after=ENOUGH)
    assert not is_lost(job)

    worker.rescue(after=ENOUGH)
    assert is_lost(job)


def test_a_worker_does_not_suspect_itself(worker: LiveWorker) -> None:
    expire(worker.registration.id)

    for _ in range(3):
        assert worker.rescue(after=ENOUGH) is None

    assert worker.store.heartbeat(worker.registration.id, lease=30)


def test_after_an_outage_two_workers_do_not_declare_each_other_dead(worker: LiveWorker) -> None:
    second = LiveWorker(worker.clock)
    for each in (worker, second):
        expire(each.registration.id)

    worker.rescue()
    second.rescue()
    assert worker.registration.heartbeat()
    assert second.registration.heartbeat()
    worker.rescue(after=ENOUGH)
    second.rescue()
    second.registration.host_lock.release()

    assert Worker.objects.count() == 2


def test_the_time_of_an_outage_does_not_count_as_silence(
    worker: LiveWorker, job: ClaimedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.rescue()

    def fail() -> None:
        raise OperationalError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(worker.store, "expired_workers", fail)
        with pytest.raises(OperationalError):
            worker.rescue()
    worker.rescue(after=ENOUGH)
    assert not is_lost(job)

    worker.rescue(after=ENOUGH)
    assert is_lost(job)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /dev/shm")
def test_a_worker_of_this_host_that_exited_is_dead_within_its_lease(worker: LiveWorker) -> None:
    killed = LiveWorker(worker.clock)
    add.enqueue(1)
    (job,) = claim(killed.registration.key)
    worker.rescue()
    assert not is_lost(job)

    killed.registration.host_lock.close()  # as the kernel does
    worker.rescue()

    assert is_lost(job)
    assert not Worker.objects.filter(pk=killed.registration.id).exists()
    assert not worker.registration.host_lock.exited_workers()


def test_workers_and_subscribers_are_notified_of_rescued_jobs(
    worker: LiveWorker, job: ClaimedJob
) -> None:
    worker.poller.run_if_due(worker.clock.now)
    worker.rescue()
    assert not worker.notifier.sent
    assert worker.poller.due_at > worker.clock.now

    worker.rescue(after=ENOUGH)

    assert worker.notifier.sent == [Hint.WORK, Hint.CHANGED]
    assert worker.poller.expects_jobs
    assert worker.poller.due_at <= worker.clock.now + 1  # when the job runs again


# --- pruning ------------------------------------------------------------------------------


def age_jobs() -> None:
    Job.objects.update(finished_at=timezone.now() - timedelta(days=400))


@pytest.fixture
def set_batch_rows(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that sets how many rows a batch has."""

    def set_batch_rows(rows: int) -> None:
        for patched in (module, retention):
            monkeypatch.setattr(patched, "MAX_ROWS_PER_STATEMENT", rows)

    return set_batch_rows


def test_batches_follow_each_other_until_no_old_job_is_left(
    worker: LiveWorker, set_batch_rows: Callable[[int], None]
) -> None:
    """Jobs may finish faster than one batch in a minute."""
    set_batch_rows(3)
    for result in add.enqueue_many([((n,), {}) for n in range(7)]):
        result.cancel()
    age_jobs()

    pauses = [worker.maintenance.prune() for _ in range(3)]

    assert pauses == [module.MIN_PRUNE_PAUSE, module.MIN_PRUNE_PAUSE, None]
    assert not Job.objects.exists()


def test_keys_of_limits_are_pruned_in_batches(
    worker: LiveWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle_keys, "MAX_ROWS_PER_STATEMENT", 3)
    LimitKey.objects.bulk_create(
        LimitKey(limit_key=f"calls:{number}", name="calls", backend="default")
        for number in range(7)
    )

    pauses = [worker.maintenance.prune_keys() for _ in range(3)]

    assert pauses == [module.MIN_PRUNE_PAUSE, module.MIN_PRUNE_PAUSE, None]
    assert not LimitKey.objects.exists()


def test_workflows_from_which_sql_has_deleted_parts_are_found_in_batches(
    worker: LiveWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleted_parts, "MAX_LOOKED_AT", 2)
    for _ in range(5):
        delete_by_sql(Flow({"a": ((), S), "b": (("a",), E)}), "a")

    pauses = [worker.maintenance.find_deleted_parts() for _ in range(3)]

    assert pauses == [module.MIN_PRUNE_PAUSE, module.MIN_PRUNE_PAUSE, None]
    assert len(workflow_notices()) == 5


def test_limits_that_no_code_has_are_deleted_when_their_jobs_are(
    worker: LiveWorker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="offload.worker")
    now = now_microseconds()
    for days in (8, 31):  # failed jobs are kept for 30 days
        seen_at = now - days * 86_400_000_000
        Limit.objects.create(name=f"unseen-{days}", definition="{}", seen_at=seen_at)

    worker.maintenance.prune_limits()

    assert Limit.objects.get().name == "unseen-8"
    assert "Deleted the limit 'unseen-31': no code has had it for 30 days." in caplog.text


def test_slow_pruning_takes_a_part_of_the_time(
    worker: LiveWorker, set_batch_rows: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_batch_rows(1)
    add.enqueue(1).cancel()
    age_jobs()
    prune = worker.store.prune

    def prune_slowly(jobs: Any) -> Iterator[int]:
        for deleted in prune(jobs):
            if deleted:
                worker.clock.now += 3
            yield deleted

    monkeypatch.setattr(worker.store, "prune", prune_slowly)

    assert worker.maintenance.prune() == 3 * module.PRUNE_PAUSE_FACTOR


@needs_server
def test_pruning_skips_a_locked_row(worker: LiveWorker) -> None:
    """A retry of an old job in a long transaction must not keep the worker from its heartbeat."""
    result, other = add.enqueue(1), add.enqueue(2)
    result.cancel()
    other.cancel()
    age_jobs()

    with transaction_elsewhere(result.retry):
        worker.maintenance.prune()

        assert not Job.objects.filter(pk=other.id).exists()

    result.refresh()
    assert result.state == JobState.READY
