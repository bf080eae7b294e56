"""What one engine does for all: it takes none for dead that lives, and spins for no lock."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from offload import JobState
from offload.conf import BackendOptions
from offload.lifecycle import succeeded
from offload.models import Job, Worker
from offload.store import get_store, retention
from offload.store.base import Store
from offload.store.records import ClaimedJob, FinishedJob
from offload.worker import cooldown as rest
from offload.worker.claiming.watermarks import Watermarks
from offload.worker.upkeep import maintenance as module
from offload.worker.upkeep.maintenance import CONFIRMATION, Maintenance
from offload.worker.upkeep.registration import Registration
from tests.jobs import claim, register
from tests.tasks import add
from tests.worker.clock import Clock
from tests.worker.locking import lock, transaction_elsewhere

pytestmark = pytest.mark.django_db(transaction=True)

OPTIONS = BackendOptions(lease=30)
ENOUGH = CONFIRMATION * OPTIONS.heartbeat_interval + 0.1
needs_server = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite has one lock, and who meets it waits"
)


class Pool:
    processes, threads = 0, 1

    def announce_finished(self, ended: Sequence[FinishedJob]) -> None: ...


class Engine:
    """What another engine sees of one: its upkeep, whom it wakes, and its clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.looks: list[str] = []
        self.rings: list[str] = []
        pool: Any = Pool()
        self.store: Store = get_store("default")
        self.registration = Registration(self.store, "default", [], pool, OPTIONS.lease)
        self.registration.ensure()
        self.upkeep = Maintenance(
            Watermarks(self.store, "default"),
            self.registration,
            OPTIONS,
            pool,
            look=lambda queues: self.looks.append("look") if queues is None or queues else None,
            ring=lambda: self.rings.append("notify"),
        )

    def rescue(self, *, after: float = 0.0) -> float | None:
        self.clock.now += after
        return self.upkeep._rescue()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    clock = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    engine = Engine(clock)
    yield engine
    engine.registration.presence.leave()


@pytest.fixture
def other() -> UUID:
    """Another engine, whose lease ran out."""
    return UUID(register(lease=-1))


@pytest.fixture
def job(other: UUID) -> ClaimedJob:
    """A job that the other engine runs."""
    add.enqueue(1)
    (job,) = claim(get_store("default").key(other))
    return job


def expire(worker: UUID) -> None:
    Worker.objects.filter(pk=worker).update(expires_at=timezone.now() - timedelta(seconds=1))


def is_lost(job: ClaimedJob) -> bool:
    return bool(Job.objects.get(pk=job.id).worker_losses)


# --- who is dead --------------------------------------------------------------------------


def test_an_engine_whose_lease_ran_out_is_only_suspected_at_first(
    engine: Engine, job: ClaimedJob
) -> None:
    again_in = engine.rescue()

    assert not is_lost(job)
    assert again_in == CONFIRMATION * OPTIONS.heartbeat_interval


def test_an_engine_that_stays_silent_is_dead_and_its_jobs_run_again(
    engine: Engine, job: ClaimedJob, other: UUID
) -> None:
    engine.rescue()
    engine.rescue(after=ENOUGH)

    assert is_lost(job)
    assert not Worker.objects.filter(pk=other).exists()


def test_an_engine_that_beats_after_a_stall_keeps_its_jobs(
    engine: Engine, job: ClaimedJob, other: UUID
) -> None:
    engine.rescue()
    engine.store.heartbeat(other, lease=30)
    engine.rescue(after=ENOUGH)

    assert not is_lost(job)
    assert not engine.store.finish([(job, succeeded("1"))])  # it is not too late


def test_an_engine_that_beats_under_a_clock_that_jumped_is_suspected_anew(
    engine: Engine, job: ClaimedJob, other: UUID
) -> None:
    engine.rescue()
    engine.store.heartbeat(other, lease=-1)
    engine.rescue(after=ENOUGH)
    assert not is_lost(job)

    engine.rescue(after=ENOUGH)
    assert is_lost(job)


def test_an_engine_does_not_take_itself_for_dead(engine: Engine) -> None:
    expire(engine.registration.id)

    for _ in range(3):
        assert engine.rescue(after=ENOUGH) is None

    assert engine.store.heartbeat(engine.registration.id, lease=30)


def test_of_two_engines_after_an_outage_neither_takes_the_other_for_dead(
    engine: Engine,
) -> None:
    second = Engine(engine.clock)
    for each in (engine, second):
        expire(each.registration.id)

    engine.rescue()
    second.rescue()
    assert engine.registration.beat()
    assert second.registration.beat()
    engine.rescue(after=ENOUGH)
    second.rescue()
    second.registration.presence.leave()

    assert Worker.objects.count() == 2


def test_the_time_of_an_outage_is_no_silence_of_a_suspect(
    engine: Engine, job: ClaimedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.rescue()

    def fail() -> None:
        raise OperationalError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(engine.store, "expired_workers", fail)
        with pytest.raises(OperationalError):
            engine.rescue()
    engine.rescue(after=ENOUGH)
    assert not is_lost(job)

    engine.rescue(after=ENOUGH)
    assert is_lost(job)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /dev/shm")
def test_an_engine_of_this_host_that_is_gone_is_dead_within_its_lease(engine: Engine) -> None:
    killed = Engine(engine.clock)
    add.enqueue(1)
    (job,) = claim(killed.registration.key)
    engine.rescue()
    assert not is_lost(job)

    killed.registration.presence.close()  # as the kernel does
    engine.rescue()

    assert is_lost(job)
    assert not Worker.objects.filter(pk=killed.registration.id).exists()
    assert not engine.registration.presence.gone()


# --- who is woken -------------------------------------------------------------------------


def test_other_engines_hear_of_rescued_jobs(engine: Engine, job: ClaimedJob) -> None:
    engine.rescue()
    assert not engine.rings

    engine.rescue(after=ENOUGH)

    assert (engine.looks, engine.rings) == (["look"], ["notify"])


def test_other_engines_hear_of_promoted_jobs(engine: Engine) -> None:
    due_job()

    engine.upkeep._promote()

    assert (engine.looks, engine.rings) == (["look"], ["notify"])


def test_nobody_is_woken_if_no_job_is_due(engine: Engine) -> None:
    add.using(run_after=timedelta(hours=1)).enqueue(1)

    due = engine.upkeep._promote()

    assert due is not None
    assert due > 3000
    assert (engine.looks, engine.rings) == ([], [])


# --- what takes long ----------------------------------------------------------------------


@pytest.fixture
def glances(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The looks at the whole queue, each of which takes long from now on."""
    monkeypatch.setattr(rest, "SLOW", -1.0)
    monkeypatch.setattr(rest, "LEAST", 60.0)
    counted: list[str] = []
    glance = engine.store.poll

    def count(backend: str) -> tuple[list[str], float | None]:
        counted.append(backend)
        return glance(backend)

    monkeypatch.setattr(engine.store, "poll", count)
    return counted


def test_a_look_that_took_long_rests_and_jobs_are_expected_anywhere(
    engine: Engine, glances: list[str]
) -> None:
    """As over the entries of promoted jobs that a transaction elsewhere keeps."""
    first = engine.upkeep._promote()
    again = engine.upkeep._promote()

    assert len(glances) == 1
    assert engine.looks == ["look"]
    for pause in (first, again):
        assert pause is not None
        assert 0 < pause <= rest.LEAST


def test_a_job_that_was_known_is_promoted_in_time_although_looks_rest(
    engine: Engine, glances: list[str]
) -> None:
    result = add.using(run_after=timedelta(seconds=0.5)).enqueue(1)
    due = engine.upkeep._promote()
    assert due is not None
    assert 0 < due <= 0.5

    Job.objects.filter(pk=result.id).update(run_after=timezone.now() - timedelta(seconds=1))
    engine.clock.now += due
    assert engine.upkeep._promote() == 0
    result.refresh()
    assert result.state == JobState.READY

    pause = engine.upkeep._promote()
    assert pause is not None
    assert pause > 0
    assert len(glances) == 1


# --- pruning ------------------------------------------------------------------------------


def test_pruning_goes_on_soon_until_nothing_old_is_left(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue may be faster than one batch in a minute."""
    for patched in (module, retention):
        monkeypatch.setattr(patched, "MAX_ROWS_PER_STATEMENT", 3)
    for result in add.enqueue_many([((n,), {}) for n in range(7)]):
        result.cancel()
    Job.objects.update(finished_at=timezone.now() - timedelta(days=400))

    pauses = [engine.upkeep._prune() for _ in range(3)]

    assert pauses == [module.PRUNE_PAUSE, module.PRUNE_PAUSE, None]
    assert not Job.objects.exists()


def test_pruning_that_takes_long_takes_a_part_of_the_time(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    add.enqueue(1).cancel()
    Job.objects.update(finished_at=timezone.now() - timedelta(days=400))
    for patched in (module, retention):
        monkeypatch.setattr(patched, "MAX_ROWS_PER_STATEMENT", 1)
    forget = engine.store._delete

    def take_long(jobs: Sequence[UUID]) -> int:
        engine.clock.now += 3 * bool(jobs)
        return forget(jobs)

    monkeypatch.setattr(engine.store, "_delete", take_long)

    assert engine.upkeep._prune() == 3 * module.PRUNE_TIMES


# --- locks of others ----------------------------------------------------------------------


def due_job() -> Any:
    result = add.using(run_after=timedelta(hours=1)).enqueue(1)
    Job.objects.filter(pk=result.id).update(run_after=timezone.now() - timedelta(seconds=1))
    return result


@needs_server
def test_a_due_job_whose_row_is_locked_is_tried_again_a_little_later(engine: Engine) -> None:
    result = due_job()
    now = engine.clock.now
    promotion = engine.upkeep.promotion

    with transaction_elsewhere(lock(result.id)):
        promotion.due_at = now
        promotion.run_if_due(now)
        assert not engine.rings
        assert now + 0.1 <= promotion.due_at <= now + 1

    promotion.run_if_due(promotion.due_at)
    result.refresh()
    assert result.state == JobState.READY


@needs_server
def test_pruning_passes_over_a_locked_row(engine: Engine) -> None:
    """Who tries a job again in a long transaction must not keep the engine from beating."""
    result, other = add.enqueue(1), add.enqueue(2)
    result.cancel()
    other.cancel()
    Job.objects.update(finished_at=timezone.now() - timedelta(days=400))

    with transaction_elsewhere(result.retry):
        engine.upkeep._prune()

        assert not Job.objects.filter(pk=other.id).exists()

    result.refresh()
    assert result.state == JobState.READY
